//! The program's allocator: mimalloc, told to keep memory and to ask for it in large pages.
//!
//! The system's allocator gives the memory of a step back, and takes it again in the next: a quarter of the time of a
//! small GPT's step went to that.

use std::alloc::{GlobalAlloc, Layout};
use std::ffi::c_long;

use mimalloc::MiMalloc;

use self::out_of_memory::given;

// The benches take this file by its path.
#[path = "out_of_memory.rs"]
mod out_of_memory;

#[global_allocator]
static ALLOCATOR: Allocator = Allocator;

/// `mi_option_purge_delay`, `mi_option_arena_reserve` and `mi_option_arena_max_object_size` of `mimalloc.h`, which the
/// crate has no names for. The last two are in KiB.
const PURGE_DELAY: i32 = 15;
#[cfg(target_os = "linux")]
const ARENA_RESERVE: i32 = 23;
#[cfg(target_os = "linux")]
const ARENA_MAX_OBJECT_SIZE: i32 = 45;

/// Called before `main`, and before mimalloc's own start (101), which reads its options: its first allocation reserves.
#[cfg(target_os = "linux")]
#[used]
#[unsafe(link_section = ".init_array.00100")]
static BEFORE_ALL: extern "C" fn() = spare_address_space;

/// Where the address space is limited (`ulimit -v`), keeps it for what is needed. Else mimalloc reserves 1 GiB at a
/// time, and the C library 64 MiB for each thread. Large pieces are then of the system and go back to it at once; small
/// ones share a smaller reserve, or under a tight limit have none. The environment variables `MIMALLOC_ARENA_RESERVE`
/// and `MIMALLOC_ARENA_MAX_OBJECT_SIZE` say otherwise.
#[cfg(target_os = "linux")]
extern "C" fn spare_address_space() {
    use rustix::process::{Resource, getrlimit};
    const TIGHT: u64 = 512 << 20;
    const RESERVE: c_long = 64 << 10;
    const LARGEST: c_long = 4 << 10;
    let Some(limit) = getrlimit(Resource::As).current else { return };
    let reserve = if limit < TIGHT { 0 } else { RESERVE };
    // SAFETY: they store numbers for known options; no other thread has been started yet.
    unsafe {
        libmimalloc_sys::mi_option_set_default(ARENA_RESERVE, reserve);
        libmimalloc_sys::mi_option_set_default(ARENA_MAX_OBJECT_SIZE, LARGEST);
        #[cfg(target_env = "gnu")]
        libc::mallopt(libc::M_ARENA_MAX, 1);
    }
}

/// Lets the allocator keep memory that is freed for two seconds, so that a step finds that of the one before: after the
/// ten milliseconds that are usual, the system has it back, and has to clear it for its return. The environment
/// variable `MIMALLOC_PURGE_DELAY`, in milliseconds, says otherwise.
pub fn keep_freed() {
    const MILLISECONDS: c_long = 2000;
    // SAFETY: it stores a number for a known option; there is no other thread yet that could read it meanwhile.
    unsafe { libmimalloc_sys::mi_option_set_default(PURGE_DELAY, MILLISECONDS) };
}

/// mimalloc, whose large pieces the system may make of large pages. A new page costs it the same whether it is of 4 KiB
/// or of 2 MiB, so a checkpoint is loaded into new memory several times as fast.
struct Allocator;

/// Bytes from which on large pages are asked for.
const LARGE: usize = 4 << 20;

// SAFETY: all memory is mimalloc's, by the same layouts.
unsafe impl GlobalAlloc for Allocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller keeps the promises that mimalloc wants of it.
        in_large_pages(given(unsafe { MiMalloc.alloc(layout) }, layout.size()), layout.size())
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as above.
        in_large_pages(given(unsafe { MiMalloc.alloc_zeroed(layout) }, layout.size()), layout.size())
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: as above.
        given(unsafe { MiMalloc.realloc(memory, layout, size) }, size)
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { MiMalloc.dealloc(memory, layout) }
    }
}

/// Asks for large pages where a piece of memory is large.
#[cfg(target_os = "linux")]
fn in_large_pages(memory: *mut u8, size: usize) -> *mut u8 {
    use rustix::mm::{Advice, madvise};
    const PAGE: usize = 2 << 20;
    if size >= LARGE && !memory.is_null() {
        let before = memory.align_offset(PAGE);
        let pages = size.saturating_sub(before) / PAGE;
        // SAFETY: these are whole pages within the piece, and of what pages they are made changes nothing in them. That
        // a system does not have large pages is no failure.
        let _ = unsafe { madvise(memory.wrapping_add(before).cast(), pages * PAGE, Advice::LinuxHugepage) };
    }
    memory
}

#[cfg(not(target_os = "linux"))]
fn in_large_pages(memory: *mut u8, _: usize) -> *mut u8 {
    memory
}
