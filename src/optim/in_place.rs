//! Elements of CPU tensors as slices, so that an update is one pass over memory.
//!
//! Candle's in-place operations hand out one mutable tensor each; nesting them gives an update its parameter and
//! its moments together, and no copy is made.

use std::cell::RefCell;

use candle_core::{CpuStorage, DType, InplaceOp1, Layout, Result, Storage, Tensor, WithDType, bail};
use rayon::prelude::*;

/// Elements that one task works on: large enough to be worth a task, small enough to stay in cache.
const CHUNK: usize = 1 << 14;

/// An element type that updates are computed in on the CPU.
pub(super) trait Element: WithDType + num_traits::Float {
    /// The elements of a storage of this type.
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

/// Whether `tensor` is something whose elements can be visited as slices of `f32` or `f64`.
pub(super) fn is_sliceable(tensor: &Tensor) -> bool {
    tensor.device().is_cpu() && tensor.is_contiguous() && matches!(tensor.dtype(), DType::F32 | DType::F64)
}

/// Calls `visit` with the elements of `tensor`.
pub(super) fn read<T: WithDType, R>(tensor: &Tensor, visit: impl FnOnce(&[T]) -> Result<R>) -> Result<R> {
    let (storage, layout) = tensor.storage_and_layout();
    let Storage::Cpu(storage) = &*storage else { bail!("a tensor on the CPU was expected") };
    let (start, end) = range(layout)?;
    visit(&storage.as_slice::<T>()?[start..end])
}

/// Calls `visit` with the elements of `tensor`, which it may change.
pub(super) fn write<T: Element>(tensor: &Tensor, visit: impl FnOnce(&mut [T]) -> Result<()>) -> Result<()> {
    tensor.inplace_op1(&Visit(RefCell::new(Some(|storage: &mut CpuStorage, layout: &Layout| {
        let (start, end) = range(layout)?;
        visit(&mut T::elements_mut(storage)?[start..end])
    }))))
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

/// Runs `update` over `parameter` and `gradient` in chunks, on several threads where there is enough to do. Each
/// element is computed from its own neighbours in the other slices alone, so chunking does not change a bit.
pub(super) fn zip2<T: Send + Sync>(parameter: &mut [T], gradient: &[T], update: impl Fn(&mut [T], &[T]) + Sync) {
    if parameter.len() <= CHUNK {
        return update(parameter, gradient);
    }
    parameter.par_chunks_mut(CHUNK).zip(gradient.par_chunks(CHUNK)).for_each(|(p, g)| update(p, g));
}

/// [`zip2`] with one moment.
pub(super) fn zip3<T: Send + Sync>(
    parameter: &mut [T],
    moment: &mut [T],
    gradient: &[T],
    update: impl Fn(&mut [T], &mut [T], &[T]) + Sync,
) {
    if parameter.len() <= CHUNK {
        return update(parameter, moment, gradient);
    }
    let chunks = parameter.par_chunks_mut(CHUNK).zip(moment.par_chunks_mut(CHUNK)).zip(gradient.par_chunks(CHUNK));
    chunks.for_each(|((p, m), g)| update(p, m, g));
}

/// [`zip2`] with two moments.
pub(super) fn zip4<T: Send + Sync>(
    parameter: &mut [T],
    first: &mut [T],
    second: &mut [T],
    gradient: &[T],
    update: impl Fn(&mut [T], &mut [T], &mut [T], &[T]) + Sync,
) {
    if parameter.len() <= CHUNK {
        return update(parameter, first, second, gradient);
    }
    let moments = first.par_chunks_mut(CHUNK).zip(second.par_chunks_mut(CHUNK));
    let chunks = parameter.par_chunks_mut(CHUNK).zip(moments).zip(gradient.par_chunks(CHUNK));
    chunks.for_each(|((p, (m, v)), g)| update(p, m, v, g));
}

/// The sum of squares in f64, added up in chunks of fixed size and then in order: the same bits for any number of
/// threads.
pub(super) fn sum_of_squares<T: WithDType>(elements: &[T]) -> f64 {
    /// Partial sums that advance side by side, so that the additions need not wait for each other.
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
    let partial: Vec<f64> = elements.par_chunks(CHUNK).map(of_chunk).collect();
    partial.iter().sum()
}
