//! Work on many shards or blocks, some at a time on other threads.

use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::data::DataError;
use crate::threads;

/// Returns what `make` returns for each number in order, up to `most` of them made at one time. After an error no others
/// are begun.
pub(super) fn at_once<T: Send>(
    numbers: Range<usize>,
    most: usize,
    make: impl Fn(usize) -> Result<T, DataError> + Sync,
) -> Result<Vec<T>, DataError> {
    let (next, made) = (AtomicUsize::new(numbers.start), Mutex::new(Vec::with_capacity(numbers.len())));
    let work = || {
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            if at >= numbers.end {
                return;
            }
            let one = make(at);
            if one.is_err() {
                next.store(numbers.end, Ordering::Relaxed);
            }
            made.lock().unwrap_or_else(PoisonError::into_inner).push((at, one));
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..most.min(numbers.len()) {
            // Without the thread, the others do its work.
            drop(threads::builder("shards").spawn_scoped(scope, work));
        }
        work();
    });
    let mut made = made.into_inner().unwrap_or_else(PoisonError::into_inner);
    made.sort_by_key(|(at, _)| *at);
    made.into_iter().map(|(_, one)| one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_in_order_and_the_first_error_is_returned() {
        for most in [1, 3, 50] {
            assert_eq!(at_once(3..20, most, |at| Ok(at * at)).unwrap(), (3..20).map(|at| at * at).collect::<Vec<_>>());
            let failing = |at| if at < 5 { Ok(at) } else { Err(DataError::NoSuchRow { row: at, rows: 5 }) };
            assert!(matches!(at_once(0..20, most, failing), Err(DataError::NoSuchRow { row: 5.., .. })));
        }
        assert_eq!(at_once(0..0, 4, Ok::<usize, DataError>).unwrap(), [0; 0]);
    }
}
