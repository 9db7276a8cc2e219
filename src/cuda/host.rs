//! The kernels on the processor, for tests: the same sources, compiled by a C++ compiler, and called with the same
//! launches.

use std::cell::Cell;
use std::ffi::{CString, c_void};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::{env, fs, mem, ptr};

use candle_core::{Result, bail};

use super::launch::Argument;

thread_local! {
    static ORDER: Cell<Option<u64>> = const { Cell::new(None) };
    static LAUNCHES: Cell<usize> = const { Cell::new(0) };
}

/// Whether operations on this thread run their GPU kernels.
pub fn is_on() -> bool {
    ORDER.get().is_some()
}

/// Calls `work`, in which operations on this thread run their GPU kernels, blocks and threads in an order that `order`
/// decides.
pub fn with_kernels<R>(order: u64, work: impl FnOnce() -> R) -> R {
    let before = ORDER.replace(Some(order));
    let result = work();
    ORDER.set(before);
    result
}

/// Returns how many kernels were launched on this thread.
pub fn launches() -> usize {
    LAUNCHES.get()
}

/// As `EXPORT` in `kernels/host.h` makes it: blocks `first`, `first + step`, … of `grid`.
type Kernel = unsafe extern "C" fn(grid: u32, first: u32, step: u32, order: u64, arguments: *mut *mut c_void);

impl Argument {
    /// Where the value lies, as a launch wants it.
    fn pointer(&self) -> *mut c_void {
        match self {
            Self::U64(value) => ptr::from_ref(value).cast_mut().cast(),
            Self::U32(value) => ptr::from_ref(value).cast_mut().cast(),
            Self::F64(value) => ptr::from_ref(value).cast_mut().cast(),
        }
    }
}

/// Runs a kernel to its end.
pub(super) fn launch(kernel: &str, blocks: u32, arguments: &[Argument]) -> Result<()> {
    let Some(function) = library().find(kernel) else { bail!("no kernel is called {kernel}") };
    let mut pointers: Vec<*mut c_void> = arguments.iter().map(Argument::pointer).collect();
    LAUNCHES.set(LAUNCHES.get() + 1);
    // SAFETY: the arguments are those of the kernel's parameters, and the addresses are of memory that lives until the
    // call is over.
    unsafe { function(blocks, 0, 1, ORDER.get().unwrap_or_default(), pointers.as_mut_ptr()) };
    Ok(())
}

/// The compiled kernels.
struct Library(*mut c_void);

// SAFETY: a handle of `dlopen` may be used by any thread.
unsafe impl Send for Library {}
// SAFETY: as above.
unsafe impl Sync for Library {}

impl Library {
    fn find(&self, kernel: &str) -> Option<Kernel> {
        let name = CString::new(format!("host_{kernel}")).ok()?;
        // SAFETY: the handle is open for as long as the process lives, and every such name is an `EXPORT`.
        unsafe {
            let symbol = libc::dlsym(self.0, name.as_ptr());
            (!symbol.is_null()).then(|| mem::transmute::<*mut c_void, Kernel>(symbol))
        }
    }
}

fn library() -> &'static Library {
    static LIBRARY: OnceLock<Library> = OnceLock::new();
    LIBRARY.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("kernels.so");
        compile(&sources(), &file);
        let name = CString::new(file.to_str().unwrap()).unwrap();
        // SAFETY: the library has no code that runs when it is opened.
        let handle = unsafe { libc::dlopen(name.as_ptr(), libc::RTLD_NOW) };
        assert!(!handle.is_null(), "{}: cannot be opened", file.display());
        Library(handle)
    })
}

fn sources() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/cuda/kernels");
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut sources: Vec<PathBuf> = entries.filter(|path| path.extension().is_some_and(|end| end == "cu")).collect();
    sources.sort();
    sources
}

/// Compiles the sources as C++: as one, and without optimization, which takes the least time in all.
fn compile(sources: &[PathBuf], library: &Path) {
    let all = library.with_extension("cpp");
    let includes = sources.iter().map(|source| format!("#include \"{}\"\n", source.display()));
    fs::write(&all, includes.collect::<String>()).unwrap();
    let compiler = env::var("CXX").unwrap_or_else(|_| "c++".to_owned());
    let mut command = Command::new(&compiler);
    command.args(["-DHOST_FIBERS", "-std=c++20", "-O0", "-ffp-contract=off", "-fPIC", "-shared", "-pthread"]);
    let output = command.arg(&all).arg("-o").arg(library).output();
    let output = output
        .unwrap_or_else(|error| panic!("{compiler}: {error}; the tests of kernels need a C++ compiler, such as g++"));
    assert!(output.status.success(), "{compiler}: {}", String::from_utf8_lossy(&output.stderr));
}
