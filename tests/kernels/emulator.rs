//! The kernels' sources, compiled for this machine and called.

use std::env;
use std::ffi::{CStr, CString, OsString, c_void};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use super::arguments::{Argument, Laid};

/// The folder of the sources.
pub const SOURCES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/cuda/kernels");
/// Libraries that a process is to use in the place of those that it would compile, for [`searches_races`].
pub const LIBRARIES: &str = "REKINDLE_TEST_KERNELS";

/// Copies of the library: the blocks of a grid run on all of them at once, since one runs its blocks in turn.
const COPIES: usize = 2;

/// Whether this process only runs each kernel, for ThreadSanitizer to watch: fewer launches are enough.
pub fn searches_races() -> bool {
    env::var_os(LIBRARIES).is_some()
}

/// The C++ compiler.
pub fn compiler() -> OsString {
    env::var_os("CXX").unwrap_or_else(|| "c++".into())
}

/// Compiles the kernels in the folder `sources` with `flags` added, unless it has been done; the paths of the copies.
pub fn compile(sources: &Path, flags: &[&str]) -> [PathBuf; COPIES] {
    let mut files: Vec<PathBuf> = fs::read_dir(sources).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let mut hasher = blake3::Hasher::new();
    for file in &files {
        hasher.update(&fs::read(file).unwrap());
    }
    hasher.update(format!("{:?} {flags:?} {}", compiler(), version()).as_bytes());
    let key = &hasher.finalize().to_hex()[..16];
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let copies = std::array::from_fn(|copy| folder.join(format!("kernels-{key}-{copy}.so")));
    if copies.iter().all(|copy| copy.exists()) {
        return copies;
    }
    let beside = tempfile::tempdir_in(folder).unwrap();
    let (source, library) = (beside.path().join("kernels.cpp"), beside.path().join("kernels.so"));
    let kernels = files.iter().filter(|file| file.extension().is_some_and(|extension| extension == "cu"));
    let text: String = kernels.map(|file| format!("#include \"{}\"\n", file.display())).collect();
    fs::write(&source, text).unwrap();
    let mut command = Command::new(compiler());
    command.args(["-std=c++20", "-O1", "-ffp-contract=off", "-pthread", "-fPIC", "-shared"]);
    command.args(["-Wall", "-Wextra", "-Wno-unknown-pragmas", "-Werror"]).args(flags);
    if !version().contains("clang") {
        // Or variables of templates would be one for both copies.
        command.arg("-fno-gnu-unique");
    }
    let output = command.arg(&source).arg("-o").arg(&library).output().unwrap_or_else(|error| no_compiler(&error));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    for copy in &copies {
        let temporary = beside.path().join("copy.so");
        fs::copy(&library, &temporary).unwrap();
        fs::rename(&temporary, copy).unwrap();
    }
    copies
}

/// The compiler's name and version.
fn version() -> String {
    let output = Command::new(compiler()).arg("--version").output().unwrap_or_else(|error| no_compiler(&error));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn no_compiler(error: &std::io::Error) -> ! {
    panic!(
        "the kernels' tests need a C++ compiler, and {:?} cannot be started: {error}; install `g++`, or name a \
         compiler of C++20 in the environment variable `CXX`",
        compiler()
    )
}

/// Blocks of a grid: the grid, the first of them, the distance to the next, the order; then the arguments' addresses.
type Kernel = unsafe extern "C" fn(u32, u32, u32, u64, *const *mut c_void);

/// A copy of the library, by the handle that the system gave it.
struct Library(usize);

impl Library {
    fn open(path: &Path) -> Self {
        let path = CString::new(path.to_str().unwrap()).unwrap();
        // SAFETY: the path ends with a zero, and the library has nothing that runs when it is opened.
        let handle = unsafe { libc::dlopen(path.as_ptr(), libc::RTLD_NOW | libc::RTLD_LOCAL) };
        assert!(!handle.is_null(), "{}", last_error());
        Self(handle as usize)
    }

    fn kernel(&self, name: &str) -> Kernel {
        let symbol = CString::new(format!("host_{name}")).unwrap();
        // SAFETY: the handle is that of a library that is never closed, and the name ends with a zero.
        let found = unsafe { libc::dlsym(self.0 as *mut c_void, symbol.as_ptr()) };
        assert!(!found.is_null(), "{}", last_error());
        // SAFETY: `EXPORT` in `host.h` gives every function of such a name this signature.
        unsafe { std::mem::transmute::<*mut c_void, Kernel>(found) }
    }
}

fn last_error() -> String {
    // SAFETY: after a failure it is a string of this thread that lives until the next call.
    unsafe { CStr::from_ptr(libc::dlerror()) }.to_string_lossy().into_owned()
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
            let (call, addresses) = (library.kernel(kernel), &addresses);
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
