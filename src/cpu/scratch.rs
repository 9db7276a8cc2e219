//! Memory that a thread keeps for the intermediate numbers of its tasks.

use std::cell::RefCell;

use bytemuck::{Pod, Zeroable};

/// A line of the cache.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Line([u64; 8]);

// SAFETY: it has no padding, and every value is valid.
unsafe impl Zeroable for Line {}
// SAFETY: as above.
unsafe impl Pod for Line {}

thread_local! {
    /// Memory that is not in use.
    static FREE: RefCell<Vec<Vec<Line>>> = const { RefCell::new(Vec::new()) };
}

/// Calls `work` with `len` numbers of any value, which begin where a line of the cache does.
pub(crate) fn with_scratch<T: Pod, R>(len: usize, work: impl FnOnce(&mut [T]) -> R) -> R {
    let mut memory = FREE.with_borrow_mut(Vec::pop).unwrap_or_default();
    let lines = (len * size_of::<T>()).div_ceil(size_of::<Line>());
    if memory.len() < lines {
        memory.resize(lines, Line::zeroed());
    }
    if cfg!(test) {
        // NaN of every type, so that a test sees what is read before it is written.
        memory.fill(Line([u64::MAX; 8]));
    }
    let result = work(&mut bytemuck::cast_slice_mut(&mut memory[..lines])[..len]);
    FREE.with_borrow_mut(|free| free.push(memory));
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_kept_and_calls_within_calls_have_their_own() {
        let address = with_scratch::<f32, _>(10, |outer| {
            outer.fill(1.0);
            with_scratch::<f64, _>(10, |inner| inner.fill(2.0));
            assert_eq!(outer, [1.0; 10]);
            outer.as_ptr() as usize
        });
        let again = [3, 7].map(|len| with_scratch::<f32, _>(len, |numbers| numbers.as_ptr() as usize));
        assert!(again.contains(&address) || again[0] == again[1]);
        assert_eq!(address % 64, 0);
        assert_eq!(with_scratch::<u16, _>(5, |numbers| numbers.len()), 5);
        assert_eq!(with_scratch::<f32, _>(0, |numbers| numbers.len()), 0);
    }
}
