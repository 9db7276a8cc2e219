//! The kernels on the processor, for tests: the same sources, compiled by a C++ compiler, and called with the same
//! launches.

mod library;

use std::cell::Cell;
use std::ffi::c_void;
use std::path::Path;
use std::ptr;
use std::sync::OnceLock;

use candle_core::{Result, bail};

use self::library::{Library, SOURCES, compile};
use super::launch::Argument;

thread_local! {
    static ORDER: Cell<Option<u64>> = const { Cell::new(None) };
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
    let Some(function) = compiled().find(kernel) else { bail!("no kernel is called {kernel}") };
    let pointers: Vec<*mut c_void> = arguments.iter().map(Argument::pointer).collect();
    // SAFETY: the arguments are those of the kernel's parameters, and the addresses are of memory that lives until the
    // call is over.
    unsafe { function(blocks, 0, 1, ORDER.get().unwrap_or_default(), pointers.as_ptr()) };
    Ok(())
}

/// The kernels, compiled without optimization, which takes the least time in all.
fn compiled() -> &'static Library {
    static LIBRARY: OnceLock<Library> = OnceLock::new();
    LIBRARY.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("kernels.so");
        compile(Path::new(SOURCES), &["-DHOST_FIBERS", "-O0"], &file);
        Library::open(&file)
    })
}
