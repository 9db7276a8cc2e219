//! The program's allocator: mimalloc for small blocks, and for others that of the C library, which puts them closer
//! together. Both are configured to keep memory, and large blocks have large pages.
//!
//! As it is, the C library returns the memory of a step to the system, and requests it again in the next: this took a
//! quarter of the time of a small GPT's step. With mimalloc alone, which has a place for each size and each thread, the
//! same step took 1.7 times the memory.

use std::alloc::{GlobalAlloc, Layout, System};
use std::ffi::c_long;

use mimalloc::MiMalloc;
#[cfg(target_os = "linux")]
use rekindle::memory::address_space_limit;

use self::out_of_memory::given;

// The benches include this file by its path.
#[path = "large_blocks.rs"]
mod large_blocks;
#[path = "out_of_memory.rs"]
mod out_of_memory;

#[global_allocator]
static ALLOCATOR: Allocator = Allocator;

/// `mi_option_purge_delay`, `mi_option_arena_eager_commit`, `mi_option_arena_reserve` and
/// `mi_option_arena_max_object_size` of `mimalloc.h`, which the crate does not name. The last two are in KiB.
const PURGE_DELAY: i32 = 15;
#[cfg(target_os = "linux")]
const ARENA_EAGER_COMMIT: i32 = 4;
#[cfg(target_os = "linux")]
const ARENA_RESERVE: i32 = 23;
#[cfg(target_os = "linux")]
const ARENA_MAX_OBJECT_SIZE: i32 = 45;

/// Called before `main`, and before mimalloc's own start (101), which reads its options and reserves memory.
#[cfg(target_os = "linux")]
#[used]
#[unsafe(link_section = ".init_array.00100")]
static BEFORE_ALL: extern "C" fn() = spare_memory;

#[cfg(target_os = "linux")]
extern "C" fn spare_memory() {
    spare_pages();
    spare_address_space();
}

/// Gives small blocks small pages: mimalloc requests large ones for memory that it may use from the start on. It has a place
/// for each size and each thread, and with a page of 2 MiB for each of a few such places, a small model took half as much
/// memory again. The environment variable `MIMALLOC_ARENA_EAGER_COMMIT` overrides this.
#[cfg(target_os = "linux")]
fn spare_pages() {
    // SAFETY: the call stores a number for a known option; no other thread has been started yet.
    unsafe { libmimalloc_sys::mi_option_set_default(ARENA_EAGER_COMMIT, 0) };
}

/// Reduces reservations if the address space is limited (`ulimit -v`). Otherwise mimalloc reserves 1 GiB at a time, and
/// the C library 64 MiB per thread. With the limit, large allocations come directly from the system and are returned at
/// once; small ones share a smaller reserve, or have none under a tight limit. The environment variables
/// `MIMALLOC_ARENA_RESERVE` and `MIMALLOC_ARENA_MAX_OBJECT_SIZE` override this.
#[cfg(target_os = "linux")]
fn spare_address_space() {
    const TIGHT: u64 = 512 << 20;
    const RESERVE: c_long = 64 << 10;
    const LARGEST: c_long = 4 << 10;
    let Some(limit) = address_space_limit() else { return };
    let reserve = if limit < TIGHT { 0 } else { RESERVE };
    // SAFETY: the calls store numbers for known options; no other thread has been started yet.
    unsafe {
        libmimalloc_sys::mi_option_set_default(ARENA_RESERVE, reserve);
        libmimalloc_sys::mi_option_set_default(ARENA_MAX_OBJECT_SIZE, LARGEST);
        #[cfg(target_env = "gnu")]
        libc::mallopt(libc::M_ARENA_MAX, 1);
    }
}

/// Makes the allocator keep freed memory, so that a step can reuse the memory of the step before. What the system takes
/// back it must clear again, which took a tenth of the time of a GPT of 11 million parameters, even if it is taken back
/// only every two seconds. The environment variable `MIMALLOC_PURGE_DELAY`, in milliseconds, overrides this for small
/// blocks.
pub fn keep_freed() {
    const NEVER: c_long = -1;
    // SAFETY: the calls store numbers for known options; no other thread exists yet that could read them.
    unsafe {
        libmimalloc_sys::mi_option_set_default(PURGE_DELAY, NEVER);
        #[cfg(all(target_os = "linux", target_env = "gnu"))]
        if address_space_limit().is_none() {
            // One heap for all threads, without blocks outside it, that never becomes smaller.
            libc::mallopt(libc::M_ARENA_MAX, 1);
            libc::mallopt(libc::M_MMAP_MAX, 0);
            libc::mallopt(libc::M_TRIM_THRESHOLD, -1);
        }
    }
}

/// Returns to the system what the start of a run has freed: files that were read, tables before they were converted,
/// initial weights that were replaced. After [`keep_freed`], nothing else does.
pub fn return_freed() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: the call changes no block that is in use; the C library locks its heap.
    unsafe {
        libc::malloc_trim(0);
    }
}

/// mimalloc and the C library, with large pages for large allocations. A new page costs the system the same at 4 KiB and
/// at 2 MiB, so loading a checkpoint into new memory is several times as fast.
struct Allocator;

/// Minimal size in bytes for large pages.
const LARGE: usize = 4 << 20;

/// Whether a block of `size` bytes comes from the C library.
const fn is_of_system(size: usize) -> bool {
    const LEAST: usize = 64 << 10;
    cfg!(all(target_os = "linux", target_env = "gnu")) && size >= LEAST
}

// SAFETY: a block returns to where it came from, which its size tells, and with the same layout.
unsafe impl GlobalAlloc for Allocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller keeps the promises that both require; so in all functions here.
        let memory = unsafe {
            match is_of_system(layout.size()) {
                true => large_blocks::alloc(layout),
                false => MiMalloc.alloc(layout),
            }
        };
        in_large_pages(given(memory, layout.size()), layout.size())
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as above.
        let memory = unsafe {
            match is_of_system(layout.size()) {
                true => large_blocks::alloc_zeroed(layout),
                false => MiMalloc.alloc_zeroed(layout),
            }
        };
        in_large_pages(given(memory, layout.size()), layout.size())
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: as above; a block that moves has the smaller of both sizes in it.
        unsafe {
            match (is_of_system(layout.size()), is_of_system(size)) {
                (true, true) if !large_blocks::is_placed(layout) => given(System.realloc(memory, layout, size), size),
                (false, false) => given(MiMalloc.realloc(memory, layout, size), size),
                _ => {
                    let moved = self.alloc(Layout::from_size_align_unchecked(size, layout.align()));
                    if !moved.is_null() {
                        moved.copy_from_nonoverlapping(memory, size.min(layout.size()));
                        self.dealloc(memory, layout);
                    }
                    moved
                }
            }
        }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe {
            match is_of_system(layout.size()) {
                true => large_blocks::dealloc(memory, layout),
                false => MiMalloc.dealloc(memory, layout),
            }
        }
    }
}

/// Requests large pages for a large allocation.
#[cfg(target_os = "linux")]
fn in_large_pages(memory: *mut u8, size: usize) -> *mut u8 {
    use rustix::mm::{Advice, madvise};
    const PAGE: usize = 2 << 20;
    if size >= LARGE && !memory.is_null() {
        let before = memory.align_offset(PAGE);
        let pages = size.saturating_sub(before) / PAGE;
        // SAFETY: these are whole pages within the allocation, and the size of pages does not change their content. A
        // system without large pages is not a failure.
        let _ = unsafe { madvise(memory.wrapping_add(before).cast(), pages * PAGE, Advice::LinuxHugepage) };
    }
    memory
}

#[cfg(not(target_os = "linux"))]
fn in_large_pages(memory: *mut u8, _: usize) -> *mut u8 {
    memory
}
