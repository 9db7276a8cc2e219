//! Work in fixed chunks, on several threads if it is large enough.

use std::mem::MaybeUninit;

use num_traits::Float;

use super::workers;

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
    let (whole, start) = (target.len(), Start(target.as_mut_ptr()));
    let compute = |i: usize| {
        let first = i * length;
        // SAFETY: the chunk is within `target`, which is borrowed for the whole call, and no other task has it.
        let chunk = unsafe { std::slice::from_raw_parts_mut(start.at(first), length.min(whole - first)) };
        work(i, chunk);
    };
    run(whole.div_ceil(length), effort > WORTH_A_THREAD, &compute);
}

/// Calls `work` with each number below `tasks`, on several threads if `parallel`. It takes a reference, so that `work`
/// is compiled once and not for each way to call it.
fn run(tasks: usize, parallel: bool, work: &(dyn Fn(usize) + Sync)) {
    if parallel { workers::for_each(tasks, work) } else { (0..tasks).for_each(work) }
}

/// The address of the first element of a slice, whose chunks are written by different tasks.
struct Start<T>(*mut T);

// SAFETY: tasks use different elements, which may be sent to their threads.
unsafe impl<T: Send> Sync for Start<T> {}

impl<T> Start<T> {
    fn at(&self, index: usize) -> *mut T {
        self.0.wrapping_add(index)
    }
}

/// Returns the result of `work` for each number below `tasks`, in order, on several threads if `parallel`.
pub(crate) fn map_tasks<R: Send>(tasks: usize, parallel: bool, work: impl Fn(usize) -> R + Sync) -> Vec<R> {
    let mut results: Vec<Option<R>> = (0..tasks).map(|_| None).collect();
    let effort = if parallel { usize::MAX } else { 0 };
    for_chunks(&mut results, 1, effort, |task, result| result[0] = Some(work(task)));
    results.into_iter().flatten().collect()
}

/// Returns a vector of `len` elements, all of which `fill` writes.
///
/// # Safety
/// `fill` writes every element.
pub(crate) unsafe fn filled<T: Copy>(len: usize, fill: impl FnOnce(&mut [MaybeUninit<T>])) -> Vec<T> {
    let mut result = Vec::<T>::with_capacity(len);
    if cfg!(test) {
        // NaN of every type of numbers, so that a test sees what is not written.
        // SAFETY: the memory is that of the vector.
        unsafe { result.as_mut_ptr().write_bytes(u8::MAX, len) };
    }
    fill(&mut result.spare_capacity_mut()[..len]);
    // SAFETY: all elements are written.
    unsafe { result.set_len(len) };
    result
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
    map_tasks(tasks, rows * width > WORTH_A_THREAD, |task| work(range(task)))
}

/// Applies `f` to each element.
pub(crate) fn map<A: Copy + Sync, B: Copy + Send>(x: &[A], f: impl Fn(A) -> B + Sync) -> Vec<B> {
    let fill = |result: &mut [MaybeUninit<B>]| {
        for_rows(result, 1, |start, result| {
            vectorized(
                #[inline(always)]
                || {
                    for (y, &x) in result.iter_mut().zip(&x[start..]) {
                        y.write(f(x));
                    }
                },
            );
        });
    };
    // SAFETY: the result is as long as `x`.
    unsafe { filled(x.len(), fill) }
}

/// Applies `f` to the elements of two slices of equal length.
pub(crate) fn zip<T: Copy + Send + Sync>(a: &[T], b: &[T], f: impl Fn(T, T) -> T + Sync) -> Vec<T> {
    assert_eq!(a.len(), b.len(), "lengths of operands");
    let fill = |result: &mut [MaybeUninit<T>]| {
        for_rows(result, 1, |start, result| {
            vectorized(
                #[inline(always)]
                || {
                    for ((y, &a), &b) in result.iter_mut().zip(&a[start..]).zip(&b[start..]) {
                        y.write(f(a, b));
                    }
                },
            );
        });
    };
    // SAFETY: the result is as long as both operands.
    unsafe { filled(a.len(), fill) }
}

/// Applies `f` to the elements of three slices of equal length.
pub(crate) fn zip3<T: Copy + Send + Sync>(a: &[T], b: &[T], c: &[T], f: impl Fn(T, T, T) -> T + Sync) -> Vec<T> {
    assert!(a.len() == b.len() && a.len() == c.len(), "lengths of operands");
    let fill = |result: &mut [MaybeUninit<T>]| {
        for_rows(result, 1, |start, result| {
            vectorized(
                #[inline(always)]
                || {
                    for (((y, &a), &b), &c) in result.iter_mut().zip(&a[start..]).zip(&b[start..]).zip(&c[start..]) {
                        y.write(f(a, b, c));
                    }
                },
            );
        });
    };
    // SAFETY: the result is as long as all operands.
    unsafe { filled(a.len(), fill) }
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
    column_sums_by(x, width, |x| x)
}

/// Returns the [`column_sums`] of `f` of each element.
pub(crate) fn column_sums_by<A: Copy + Sync, T: Float + Send>(
    x: &[A],
    width: usize,
    f: impl Fn(A) -> T + Sync,
) -> Vec<T> {
    let parts = map_rows(x.len() / width.max(1), width, |rows| {
        let mut sums = vec![T::zero(); width];
        vectorized(
            #[inline(always)]
            || {
                for row in x[rows.start * width..rows.end * width].chunks_exact(width) {
                    for (sum, &x) in sums.iter_mut().zip(row) {
                        *sum = *sum + f(x);
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
