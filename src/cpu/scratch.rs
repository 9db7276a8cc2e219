//! Memory that a thread keeps for the intermediate numbers of its tasks.

use std::cell::RefCell;

use bytemuck::Pod;

thread_local! {
    /// Memory that is not in use.
    static FREE: RefCell<Vec<Vec<u64>>> = const { RefCell::new(Vec::new()) };
}

/// Calls `work` with `len` numbers of any value.
pub(crate) fn with_scratch<T: Pod, R>(len: usize, work: impl FnOnce(&mut [T]) -> R) -> R {
    let mut memory = FREE.with_borrow_mut(Vec::pop).unwrap_or_default();
    let words = (len * size_of::<T>()).div_ceil(size_of::<u64>());
    if memory.len() < words {
        memory.resize(words, 0);
    }
    if cfg!(test) {
        // NaN of every type, so that a test sees what is read before it is written.
        memory.fill(u64::MAX);
    }
    let result = work(&mut bytemuck::cast_slice_mut(&mut memory[..words])[..len]);
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
        assert_eq!(with_scratch::<u16, _>(5, |numbers| numbers.len()), 5);
        assert_eq!(with_scratch::<f32, _>(0, |numbers| numbers.len()), 0);
    }
}
