//! The standard output of the programs, which may be closed.
//!
//! In the place of a closed one Rust opens `/dev/null` before `main`, where everything could be written and would be lost.
//! So it is looked at earlier.

use std::io::{self, Stdout};
use std::sync::atomic::{AtomicBool, Ordering};

/// Whether it was closed when the program began.
static WAS_CLOSED: AtomicBool = AtomicBool::new(false);

/// Called before the start of Rust's own library.
#[cfg(target_os = "linux")]
#[used]
#[unsafe(link_section = ".init_array")]
static BEFORE_MAIN: extern "C" fn() = look;

extern "C" fn look() {
    // SAFETY: this asks for the flags of a descriptor, and touches no memory.
    let is_closed = unsafe { libc::fcntl(libc::STDOUT_FILENO, libc::F_GETFD) } == -1;
    WAS_CLOSED.store(is_closed, Ordering::Relaxed);
}

/// Returns the standard output.
///
/// # Errors
/// It was closed when the program began.
pub fn stdout() -> io::Result<Stdout> {
    // Keeps it in the program.
    #[cfg(target_os = "linux")]
    std::hint::black_box(&BEFORE_MAIN);
    match WAS_CLOSED.load(Ordering::Relaxed) {
        true => Err(io::Error::from_raw_os_error(libc::EBADF)),
        false => Ok(io::stdout()),
    }
}
