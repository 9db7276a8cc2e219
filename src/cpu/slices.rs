//! Elements of CPU tensors as slices, so that an update is one pass over memory.
//!
//! Candle's in-place operations give access to one mutable tensor each; nesting them gives an update its parameter and
//! its moments together, without a copy.

use std::cell::RefCell;

use candle_core::{CpuStorage, DType, InplaceOp1, Layout, Result, Storage, Tensor, WithDType, bail};

use super::chunks::{for_chunks, map_tasks};
use super::has_kernels;

/// Elements per task: large enough to be worth a task, small enough to stay in cache.
const CHUNK: usize = 1 << 14;

/// An element type of updates on the CPU.
pub(crate) trait Element: WithDType + num_traits::Float {
    /// Returns the elements of a storage of this type.
    fn elements_mut(storage: &mut CpuStorage) -> Result<&mut [Self]>;
}

impl Element for f32 {
    fn elements_mut(storage: &mut CpuStorage) -> Result<&mut [Self]> {
        match storage {
            CpuStorage::F32(elements) => Ok(elements),
            _ => bail!("a tensor of f32 was expected"),
        }
    }
}

impl Element for f64 {
    fn elements_mut(storage: &mut CpuStorage) -> Result<&mut [Self]> {
        match storage {
            CpuStorage::F64(elements) => Ok(elements),
            _ => bail!("a tensor of f64 was expected"),
        }
    }
}

/// Whether the elements of `tensor` can be accessed as slices of `f32` or `f64`, and kernels are on.
pub(crate) fn is_sliceable(tensor: &Tensor) -> bool {
    has_kernels()
        && tensor.device().is_cpu()
        && tensor.is_contiguous()
        && matches!(tensor.dtype(), DType::F32 | DType::F64)
}

/// Calls `visit` with the elements of `tensor`.
pub(crate) fn read<T: WithDType, R>(tensor: &Tensor, visit: impl FnOnce(&[T]) -> Result<R>) -> Result<R> {
    let (storage, layout) = tensor.storage_and_layout();
    let Storage::Cpu(storage) = &*storage else { bail!("a tensor on the CPU was expected") };
    let (start, end) = range(layout)?;
    visit(&storage.as_slice::<T>()?[start..end])
}

/// Calls `visit` with the elements of `tensor`, which it may change.
fn write<T: Element, R>(tensor: &Tensor, visit: impl FnOnce(&mut [T]) -> Result<R>) -> Result<R> {
    let result = RefCell::new(None);
    tensor.inplace_op1(&Visit(RefCell::new(Some(|storage: &mut CpuStorage, layout: &Layout| {
        let (start, end) = range(layout)?;
        result.replace(Some(visit(&mut T::elements_mut(storage)?[start..end])?));
        Ok(())
    }))))?;
    match result.into_inner() {
        Some(result) => Ok(result),
        None => bail!("a tensor is visited once"),
    }
}

fn range(layout: &Layout) -> Result<(usize, usize)> {
    match layout.contiguous_offsets() {
        Some(range) => Ok(range),
        None => bail!("a contiguous tensor was expected"),
    }
}

struct Visit<F>(RefCell<Option<F>>);

impl<F: FnOnce(&mut CpuStorage, &Layout) -> Result<()>> InplaceOp1 for Visit<F> {
    fn name(&self) -> &'static str {
        "visit"
    }

    fn cpu_fwd(&self, storage: &mut CpuStorage, layout: &Layout) -> Result<()> {
        match self.0.take() {
            Some(visit) => visit(storage, layout),
            None => bail!("a tensor is visited once"),
        }
    }
}

/// Runs `update` over the elements of `tensors` and `gradient` in chunks, on several threads if there are enough
/// elements. Each element is computed only from the elements at its index in the other slices, so chunking does not
/// change a bit.
pub(crate) fn update_in_place<T: Element, const N: usize>(
    tensors: [&Tensor; N],
    gradient: &Tensor,
    update: impl Fn([&mut [T]; N], &[T]) + Sync,
) -> Result<()> {
    let update = |elements: [&mut [T]; N], gradient: &[T]| {
        update(elements, gradient);
        []
    };
    update_and_sum(tensors, gradient, update).map(|[]| ())
}

/// The same with an `update` that returns sums over its chunk; those of all chunks are added in order.
pub(crate) fn update_and_sum<T: Element, const N: usize, const K: usize>(
    tensors: [&Tensor; N],
    gradient: &Tensor,
    update: impl Fn([&mut [T]; N], &[T]) -> [f64; K] + Sync,
) -> Result<[f64; K]> {
    update_chunks(tensors, gradient, CHUNK, &|_, elements, gradient| update(elements, gradient))
}

/// The same for whole rows of `width` elements; `update` also gets the number of its first row.
pub(crate) fn update_rows_and_sum<T: Element, const N: usize, const K: usize>(
    tensors: [&Tensor; N],
    gradient: &Tensor,
    width: usize,
    update: impl Fn(usize, [&mut [T]; N], &[T]) -> [f64; K] + Sync,
) -> Result<[f64; K]> {
    let rows = (CHUNK / width.max(1)).max(1);
    let update = |chunk: usize, elements: [&mut [T]; N], gradient: &[T]| update(chunk * rows, elements, gradient);
    update_chunks(tensors, gradient, rows * width.max(1), &update)
}

/// Updates the elements of a chunk of this number with their gradient, and returns sums over the chunk.
type Update<'a, T, const N: usize, const K: usize> = &'a (dyn Fn(usize, [&mut [T]; N], &[T]) -> [f64; K] + Sync);

/// Calls `update` with the number and the elements of each chunk of `length`, and adds its sums in order. It takes a
/// reference, so that it is compiled for each number of tensors and not for each rule.
fn update_chunks<T: Element, const N: usize, const K: usize>(
    tensors: [&Tensor; N],
    gradient: &Tensor,
    length: usize,
    update: Update<'_, T, N, K>,
) -> Result<[f64; K]> {
    read::<T, _>(gradient, |gradient| {
        let elements = std::array::from_fn(|_| Default::default());
        write_all::<T, _, N>(&tensors, elements, |elements| {
            if tensors.iter().any(|tensor| tensor.elem_count() != gradient.len()) {
                bail!("tensors of one size were expected")
            }
            if gradient.len() <= length {
                return Ok(update(0, elements, gradient));
            }
            let mut chunks: Vec<_> = chunks(elements, length).into_iter().map(|chunk| (chunk, [0.0; K])).collect();
            for_chunks(&mut chunks, 1, gradient.len(), |i, chunk| {
                let (elements, sums) = &mut chunk[0];
                let elements = elements.each_mut().map(|elements| &mut **elements);
                *sums = update(i, elements, &gradient[i * length..gradient.len().min((i + 1) * length)]);
            });
            Ok(std::array::from_fn(|k| chunks.iter().map(|(_, sums)| sums[k]).sum()))
        })
    })
}

/// Calls `visit` with the elements of all of `tensors`, after the `elements` already collected: each tensor is entered
/// from inside the one before it.
fn write_all<T: Element, R, const N: usize>(
    tensors: &[&Tensor],
    elements: [&mut [T]; N],
    visit: impl FnOnce([&mut [T]; N]) -> Result<R>,
) -> Result<R> {
    let Some((first, rest)) = tensors.split_first() else { return visit(elements) };
    write::<T, R>(first, |slice| {
        let mut elements: [&mut [T]; N] = elements;
        elements[N - tensors.len()] = slice;
        write_all(rest, elements, visit)
    })
}

/// Splits slices of equal length into chunks of `length`, with the chunks at one position together.
fn chunks<T, const N: usize>(slices: [&mut [T]; N], length: usize) -> Vec<[&mut [T]; N]> {
    let count = slices.first().map_or(0, |slice| slice.len().div_ceil(length));
    let mut chunks = slices.map(|slice| slice.chunks_mut(length));
    (0..count).map(|_| chunks.each_mut().map(|chunks| chunks.next().unwrap_or_default())).collect()
}

/// Returns the sum of squares in f64, added in chunks of fixed size and then in order: the same bits for any number of
/// threads.
pub(crate) fn sum_of_squares<T: WithDType>(elements: &[T]) -> f64 {
    /// Independent partial sums, so that the additions need not wait for each other.
    const LANES: usize = 8;
    let of_chunk = |chunk: &[T]| {
        let mut lanes = [0f64; LANES];
        let (blocks, rest) = chunk.as_chunks::<LANES>();
        for block in blocks {
            for (lane, x) in lanes.iter_mut().zip(block) {
                *lane += x.to_f64() * x.to_f64();
            }
        }
        let rest: f64 = rest.iter().map(|x| x.to_f64() * x.to_f64()).sum();
        lanes.iter().sum::<f64>() + rest
    };
    if elements.len() <= CHUNK {
        return of_chunk(elements);
    }
    let chunk = |i: usize| &elements[i * CHUNK..elements.len().min((i + 1) * CHUNK)];
    let partial = map_tasks(elements.len().div_ceil(CHUNK), true, |i| of_chunk(chunk(i)));
    partial.iter().sum()
}
