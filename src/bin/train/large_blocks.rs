//! Large blocks, from the C library. Those with a wide alignment are placed by hand in blocks without one.
//!
//! Its own function for them returns what remains before and after such a block at once, and keeps the smallest of these
//! remains for later blocks of their size. They do not join the memory around them then: where the block was, no other of
//! its size and alignment fits, and the next one is put elsewhere. An MLP of two million parameters took half as much
//! memory again.

use std::alloc::{GlobalAlloc, Layout, System};
use std::ptr;

/// The alignment of all its blocks, with room for a pointer.
const USUAL: usize = 2 * size_of::<*mut u8>();

/// Whether a block with this alignment is placed in another one.
pub fn is_placed(layout: Layout) -> bool {
    around(layout).is_some()
}

/// Returns the block around one with a wide alignment. `None` if the alignment is not wide, or if no block is so large, which
/// the C library will say.
fn around(layout: Layout) -> Option<Layout> {
    let size = Some(layout.align()).filter(|align| *align > USUAL)?.checked_add(layout.size())?;
    Layout::from_size_align(size, USUAL).ok()
}

/// # Safety
/// As for [`GlobalAlloc::alloc`].
pub unsafe fn alloc(layout: Layout) -> *mut u8 {
    // SAFETY: the caller's promises; a block that is placed has room for the pointer before it.
    unsafe {
        match around(layout) {
            Some(around) => placed(System.alloc(around), layout.align()),
            None => System.alloc(layout),
        }
    }
}

/// # Safety
/// As for [`GlobalAlloc::alloc_zeroed`].
pub unsafe fn alloc_zeroed(layout: Layout) -> *mut u8 {
    // SAFETY: as above.
    unsafe {
        match around(layout) {
            Some(around) => placed(System.alloc_zeroed(around), layout.align()),
            None => System.alloc_zeroed(layout),
        }
    }
}

/// # Safety
/// As for [`GlobalAlloc::dealloc`], for a block of these functions.
pub unsafe fn dealloc(memory: *mut u8, layout: Layout) {
    // SAFETY: the caller's promises; the pointer before a block that was placed is that of the block around it.
    unsafe {
        match around(layout) {
            Some(around) => System.dealloc(memory.cast::<*mut u8>().sub(1).read(), around),
            None => System.dealloc(memory, layout),
        }
    }
}

/// Returns the first place in the block `around` that is so aligned, after room for the pointer to it.
///
/// # Safety
/// `around` is null, or a block of the C library of a size above `align`, which is wide.
unsafe fn placed(around: *mut u8, align: usize) -> *mut u8 {
    if around.is_null() {
        return ptr::null_mut();
    }
    // Both are multiples of the usual alignment, and so is the distance, which is at least that and at most `align`.
    let distance = align - around.addr() % align;
    // SAFETY: the place and the pointer before it are within the block.
    unsafe {
        let place = around.add(distance);
        place.cast::<*mut u8>().sub(1).write(around);
        place
    }
}

#[cfg(test)]
mod tests {
    /// With the program's allocator, from small blocks to large ones and back.
    #[test]
    fn a_block_of_any_size_and_alignment_is_aligned_and_keeps_its_content_where_it_moves() {
        // Here, because the benches that include this file leave functions of tests out.
        use std::alloc::{Layout, alloc, alloc_zeroed, dealloc, realloc};
        use std::slice;

        let sizes = [1000, 70_000, 3_000_000, 65_536, 5_000_000, 4096];
        for align in [1, 8, 16, 32, 64, 128, 4096, 1 << 16] {
            let layout = |size| Layout::from_size_align(size, align).unwrap();
            // SAFETY: each block is used within its size, and is given back once, with its layout.
            unsafe {
                let zeroed = alloc_zeroed(layout(sizes[2]));
                assert!(
                    zeroed.addr().is_multiple_of(align) && *slice::from_raw_parts(zeroed, sizes[2]) == [0; 3_000_000]
                );
                let (mut memory, mut size) = (alloc(layout(sizes[0])), sizes[0]);
                slice::from_raw_parts_mut(memory, size).fill(align.ilog2() as u8 + 1);
                for next in sizes {
                    memory = realloc(memory, layout(size), next);
                    assert!(memory.addr().is_multiple_of(align), "{next} bytes aligned to {align}");
                    let kept = slice::from_raw_parts(memory, size.min(next));
                    assert!(
                        kept.iter().all(|&byte| byte == align.ilog2() as u8 + 1),
                        "{next} bytes aligned to {align}"
                    );
                    slice::from_raw_parts_mut(memory, next).fill(align.ilog2() as u8 + 1);
                    size = next;
                }
                dealloc(memory, layout(size));
                dealloc(zeroed, layout(sizes[2]));
            }
        }
    }
}
