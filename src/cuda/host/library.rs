//! The kernels compiled for the processor, and opened as a library. `tests/kernels` uses this file as well.

use std::ffi::{CStr, CString, OsString, c_void};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

/// The folder of the sources.
pub const SOURCES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/cuda/kernels");

/// As `EXPORT` in `kernels/host.h` makes it: the blocks `first`, `first + step`, … of `grid`, in an order that `order`
/// decides; then the address of each argument.
pub type Kernel = unsafe extern "C" fn(grid: u32, first: u32, step: u32, order: u64, arguments: *const *mut c_void);

/// The C++ compiler.
pub fn compiler() -> OsString {
    env::var_os("CXX").unwrap_or_else(|| "c++".into())
}

/// The files in the folder `sources`, in order.
pub fn files(sources: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = fs::read_dir(sources).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

/// Compiles the kernels in the folder `sources` to `library`, as one file of C++, with `flags` added.
pub fn compile(sources: &Path, flags: &[&str], library: &Path) {
    let kernels = files(sources).into_iter().filter(|file| file.extension().is_some_and(|end| end == "cu"));
    let text: String = kernels.map(|file| format!("#include \"{}\"\n", file.display())).collect();
    let source = library.with_extension("cpp");
    fs::write(&source, text).unwrap();
    let mut command = Command::new(compiler());
    command.args(["-std=c++20", "-ffp-contract=off", "-pthread", "-fPIC", "-shared"]).args(flags);
    let output = command.arg(&source).arg("-o").arg(library).output().unwrap_or_else(|error| {
        panic!(
            "the tests of kernels need a C++ compiler, and {:?} cannot be started: {error}; install `g++`, or name a \
             compiler of C++20 in the environment variable `CXX`",
            compiler()
        )
    });
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// A library, by the handle that the system gave it.
pub struct Library(usize);

impl Library {
    /// Opens a library, which is never closed.
    pub fn open(path: &Path) -> Self {
        let path = CString::new(path.to_str().unwrap()).unwrap();
        // SAFETY: the path ends with a zero, and the library has nothing that runs when it is opened.
        let handle = unsafe { libc::dlopen(path.as_ptr(), libc::RTLD_NOW | libc::RTLD_LOCAL) };
        assert!(!handle.is_null(), "{}", last_error());
        Self(handle as usize)
    }

    /// The kernel of this name, if there is one.
    pub fn find(&self, kernel: &str) -> Option<Kernel> {
        let symbol = CString::new(format!("host_{kernel}")).ok()?;
        // SAFETY: the handle is that of a library that is never closed, and the name ends with a zero.
        let found = unsafe { libc::dlsym(self.0 as *mut c_void, symbol.as_ptr()) };
        // SAFETY: `EXPORT` in `host.h` gives every function of such a name this signature.
        (!found.is_null()).then(|| unsafe { std::mem::transmute::<*mut c_void, Kernel>(found) })
    }
}

fn last_error() -> String {
    // SAFETY: after a failure it is a string of this thread that lives until the next call.
    unsafe { CStr::from_ptr(libc::dlerror()) }.to_string_lossy().into_owned()
}
