//! Work in fixed chunks, on several threads if it is large enough.

use num_traits::Float;
use rayon::prelude::*;

/// Elements per task of dropout, pooling or batch norm.
pub(crate) const LARGE_CHUNK: usize = 1 << 15;

/// Elements per task.
const CHUNK: usize = 1 << 13;

/// Minimal number of elements for a second thread.
const WORTH_A_THREAD: usize = 1 << 15;

/// Runs `f`, compiled for the best instructions of this processor. Functions called by `f` must be inlined into it.
#[inline(always)]
pub(crate) fn vectorized<R>(f: impl FnOnce() -> R) -> R {
    pulp::Arch::new().dispatch(f)
}

/// Returns the number of rows of `width` elements per task.
fn rows_per_task(width: usize) -> usize {
    (CHUNK / width.max(1)).max(1)
}

/// Calls `work` with each chunk of `length` elements of `target` and its number, on several threads if at least
/// `effort` elements are visited.
pub(crate) fn for_chunks<T: Send>(
    target: &mut [T],
    length: usize,
    effort: usize,
    work: impl Fn(usize, &mut [T]) + Sync,
) {
    let length = length.max(1);
    if effort <= WORTH_A_THREAD {
        target.chunks_mut(length).enumerate().for_each(|(i, chunk)| work(i, chunk));
    } else {
        target.par_chunks_mut(length).enumerate().for_each(|(i, chunk)| work(i, chunk));
    }
}

/// Fills `target`, rows of `width`, one task's rows at a time: `work` gets the number of the first row and the rows.
pub(crate) fn for_rows<T: Send>(target: &mut [T], width: usize, work: impl Fn(usize, &mut [T]) + Sync) {
    let (rows, effort) = (rows_per_task(width), target.len());
    for_chunks(target, rows * width, effort, |i, chunk| work(i * rows, chunk));
}

/// Returns one result per task for `rows` rows of `width`, in order: `work` gets the range of the rows.
pub(crate) fn map_rows<R: Send>(
    rows: usize,
    width: usize,
    work: impl Fn(std::ops::Range<usize>) -> R + Sync + Send,
) -> Vec<R> {
    let each = rows_per_task(width);
    let tasks = rows.div_ceil(each);
    let range = |task: usize| task * each..((task + 1) * each).min(rows);
    if rows * width <= WORTH_A_THREAD {
        (0..tasks).map(|task| work(range(task))).collect()
    } else {
        (0..tasks).into_par_iter().map(|task| work(range(task))).collect()
    }
}

/// Applies `f` to each element.
pub(crate) fn map<T: Float + Send + Sync>(x: &[T], f: impl Fn(T) -> T + Sync) -> Vec<T> {
    let mut result = vec![T::zero(); x.len()];
    for_rows(&mut result, 1, |start, result| {
        vectorized(
            #[inline(always)]
            || {
                for (y, &x) in result.iter_mut().zip(&x[start..]) {
                    *y = f(x);
                }
            },
        );
    });
    result
}

/// Applies `f` to the elements of two slices of equal length.
pub(crate) fn zip<T: Float + Send + Sync>(a: &[T], b: &[T], f: impl Fn(T, T) -> T + Sync) -> Vec<T> {
    let mut result = vec![T::zero(); a.len()];
    for_rows(&mut result, 1, |start, result| {
        vectorized(
            #[inline(always)]
            || {
                for ((y, &a), &b) in result.iter_mut().zip(&a[start..]).zip(&b[start..]) {
                    *y = f(a, b);
                }
            },
        );
    });
    result
}

/// Adds vectors in order; the sum of no vectors is `width` zeros.
pub(crate) fn total<T: Float>(parts: Vec<Vec<T>>, width: usize) -> Vec<T> {
    let mut parts = parts.into_iter();
    let mut total = parts.next().unwrap_or_else(|| vec![T::zero(); width]);
    for part in parts {
        for (total, part) in total.iter_mut().zip(part) {
            *total = *total + part;
        }
    }
    total
}

/// Returns the sum of each column of `x`, rows of `width`: the rows of each task first, then the tasks in order.
pub(crate) fn column_sums<T: Float + Send + Sync>(x: &[T], width: usize) -> Vec<T> {
    let parts = map_rows(x.len() / width.max(1), width, |rows| {
        let mut sums = vec![T::zero(); width];
        vectorized(
            #[inline(always)]
            || {
                for row in x[rows.start * width..rows.end * width].chunks_exact(width) {
                    for (sum, &x) in sums.iter_mut().zip(row) {
                        *sum = *sum + x;
                    }
                }
            },
        );
        sums
    });
    total(parts, width)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_summed_over_all_rows() {
        for (rows, width) in [(1, 5), (700, 3), (300, 900), (0, 4)] {
            let x: Vec<f64> = (0..rows * width).map(|i| (i % 13) as f64).collect();
            let expected: Vec<f64> = (0..width).map(|j| (0..rows).map(|i| x[i * width + j]).sum()).collect();
            assert_eq!(column_sums(&x, width), expected);
        }
    }
}
