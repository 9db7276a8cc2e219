//! The kernels' sources, compiled for this machine and called.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use super::arguments::{Argument, Laid};
use super::library::{self, Library, SOURCES, compiler};

/// Libraries that a process is to use in the place of those that it would compile, for [`searches_races`].
pub const LIBRARIES: &str = "REKINDLE_TEST_KERNELS";

/// Copies of the library: the blocks of a grid run on all of them at once, since one runs its blocks in turn.
const COPIES: usize = 2;

/// Whether this process only runs each kernel, for ThreadSanitizer to watch: fewer launches are enough.
pub fn searches_races() -> bool {
    env::var_os(LIBRARIES).is_some()
}

/// Compiles the kernels in the folder `sources` with `flags` added, unless it has been done; the paths of the copies.
pub fn compile(sources: &Path, flags: &[&str]) -> [PathBuf; COPIES] {
    let mut hasher = blake3::Hasher::new();
    for file in library::files(sources) {
        hasher.update(&fs::read(file).unwrap());
    }
    // Without a compiler, compiling says so.
    let version = Command::new(compiler()).arg("--version").output().map_or_else(|_| Vec::new(), |told| told.stdout);
    let version = String::from_utf8_lossy(&version);
    hasher.update(format!("{:?} {flags:?} {version}", compiler()).as_bytes());
    let key = &hasher.finalize().to_hex()[..16];
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let copies = std::array::from_fn(|copy| folder.join(format!("kernels-{key}-{copy}.so")));
    if copies.iter().all(|copy| copy.exists()) {
        return copies;
    }
    let beside = tempfile::tempdir_in(folder).unwrap();
    let library = beside.path().join("kernels.so");
    let mut all = vec!["-O1", "-Wall", "-Wextra", "-Wno-unknown-pragmas", "-Werror"];
    if !version.contains("clang") {
        // Or variables of templates would be one for both copies.
        all.push("-fno-gnu-unique");
    }
    library::compile(sources, &[&all, flags].concat(), &library);
    for copy in &copies {
        let temporary = beside.path().join("copy.so");
        fs::copy(&library, &temporary).unwrap();
        fs::rename(&temporary, copy).unwrap();
    }
    copies
}

fn libraries() -> &'static [Library; COPIES] {
    static LIBRARIES_OPEN: OnceLock<[Library; COPIES]> = OnceLock::new();
    LIBRARIES_OPEN.get_or_init(|| {
        let paths = match env::var_os(LIBRARIES) {
            Some(paths) => env::split_paths(&paths).collect::<Vec<_>>().try_into().unwrap(),
            None => compile(Path::new(SOURCES), &[]),
        };
        paths.map(|path| Library::open(&path))
    })
}

/// Returns the results of `kernel`, in the order of the arguments, with a grid of `blocks` blocks or fewer.
///
/// It is started several times: with the order of blocks and threads shuffled, with another number of blocks, and with
/// arrays that are not aligned. All give the same bits.
pub fn launch(kernel: impl AsRef<str>, blocks: usize, arguments: &[Argument]) -> Vec<Vec<f64>> {
    let (kernel, blocks) = (kernel.as_ref(), blocks.max(1) as u32);
    let first = launch_once(kernel, blocks, 0, 0, arguments);
    if !searches_races() {
        for (grid, order, shift) in [(blocks + 1, 1, 1), (blocks.div_ceil(2), 2, 0)] {
            let again = launch_once(kernel, grid, order, shift, arguments);
            let bits = |results: &[Vec<f64>]| results.concat().into_iter().map(f64::to_bits).collect::<Vec<_>>();
            assert!(
                bits(&first) == bits(&again),
                "{kernel}: {grid} blocks in order {order}, {shift} elements off, give other bits than {blocks} in turn"
            );
        }
    }
    first
}

fn launch_once(kernel: &str, grid: u32, order: u64, shift: usize, arguments: &[Argument]) -> Vec<Vec<f64>> {
    let laid = Laid::out(arguments, shift);
    let addresses = laid.addresses();
    std::thread::scope(|scope| {
        let of_copy = |(first, library): (usize, &Library)| {
            let (call, addresses) =
                (library.find(kernel).unwrap_or_else(|| panic!("no kernel is called {kernel}")), &addresses);
            scope.spawn(move || {
                // SAFETY: the arguments are those of the kernel, and live until it has ended. Both copies write to
                // their arrays, each element from one of its blocks.
                unsafe { call(grid, first as u32, COPIES as u32, order, addresses.as_ptr().cast()) }
            })
        };
        let started: Vec<_> = libraries().iter().enumerate().map(of_copy).collect();
        // Each is joined by name: ThreadSanitizer does not see that a scope waits for its threads.
        started.into_iter().for_each(|thread| thread.join().unwrap());
    });
    laid.results()
}
