//! The program's allocator.

use std::ffi::c_long;

/// The system's allocator gives the memory of a step back, and takes it anew in the next: a quarter of the time of a small
/// GPT's step went to that.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// `mi_option_purge_delay` of `mimalloc.h`, which the crate has no name for.
const PURGE_DELAY: i32 = 15;

/// Lets the allocator keep memory that is freed for two seconds, so that a step finds that of the one before: after the
/// ten milliseconds that are usual, the system has it back, and has to clear it for its return. The environment variable
/// `MIMALLOC_PURGE_DELAY`, in milliseconds, says otherwise.
pub fn keep_freed() {
    const MILLISECONDS: c_long = 2000;
    // SAFETY: it stores a number for a known option; there is no other thread yet that could read it meanwhile.
    unsafe { libmimalloc_sys::mi_option_set_default(PURGE_DELAY, MILLISECONDS) };
}
