//! What the fused operations share on the CPU: tensors as slices, fixed chunks, and sums in a fixed order.
//!
//! Bits do not depend on the number of threads, for chunks are the same for any number, nor on how wide the
//! processor's registers are, for sums run in a fixed number of lanes.

use candle_core::{CpuStorage, Layout, Result, Storage, StorageRef, Tensor, WithDType, bail};
use num_traits::Float;

/// Partial sums that advance side by side: as many as the widest registers hold numbers.
const LANES: usize = 16;

/// Calls `$body` with the type of a tensor's elements, `f32` or `f64`, under the name `$T`.
macro_rules! with_float {
    ($operation:expr, $dtype:expr, $T:ident => $body:expr) => {
        match $dtype {
            candle_core::DType::F32 => {
                type $T = f32;
                $body
            }
            candle_core::DType::F64 => {
                type $T = f64;
                $body
            }
            other => candle_core::bail!("{} needs f32 or f64, not {other:?}", $operation),
        }
    };
}
pub(super) use with_float;

/// Whether the fused form of an operation can take `x`; other devices and dtypes get the composed one.
pub(super) fn is_fused(x: &Tensor) -> bool {
    x.device().is_cpu() && matches!(x.dtype(), candle_core::DType::F32 | candle_core::DType::F64)
}

/// The elements of a contiguous layout.
pub(super) fn elements<'a, T: WithDType>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [T]> {
    let Some((start, end)) = layout.contiguous_offsets() else { bail!("a contiguous tensor was expected") };
    Ok(&storage.as_slice::<T>()?[start..end])
}

/// A contiguous tensor whose elements are being read.
pub(super) struct Reading<'a>(StorageRef<'a>, &'a Layout);

impl<'a> Reading<'a> {
    pub fn of(tensor: &'a Tensor) -> Self {
        let (storage, layout) = tensor.storage_and_layout();
        Self(storage, layout)
    }

    pub fn elements<T: WithDType>(&self) -> Result<&[T]> {
        match &*self.0 {
            Storage::Cpu(storage) => elements(storage, self.1),
            _ => bail!("a tensor on the CPU was expected"),
        }
    }
}

/// A tensor on the CPU of these elements.
pub(super) fn tensor<T: WithDType>(elements: Vec<T>, like: &Tensor) -> Result<Tensor> {
    Tensor::from_vec(elements, like.shape(), &candle_core::Device::Cpu)
}

/// Runs `f`, compiled for the best instructions that this processor has. What `f` calls must be inlined into it.
#[inline(always)]
pub(super) fn vectorized<R>(f: impl FnOnce() -> R) -> R {
    pulp::Arch::new().dispatch(f)
}

/// Adds up vectors in their order; none of them is a vector of `width` zeros.
pub(super) fn total<T: Float>(parts: Vec<Vec<T>>, width: usize) -> Vec<T> {
    let mut parts = parts.into_iter();
    let mut total = parts.next().unwrap_or_else(|| vec![T::zero(); width]);
    for part in parts {
        for (total, part) in total.iter_mut().zip(part) {
            *total = *total + part;
        }
    }
    total
}

/// The sum of `f` over the elements of a row.
#[inline(always)]
pub(super) fn sum<T: Float>(x: &[T], f: impl Fn(T) -> T) -> T {
    let mut lanes = [T::zero(); LANES];
    let (blocks, rest) = x.as_chunks::<LANES>();
    for block in blocks {
        for (lane, &x) in lanes.iter_mut().zip(block) {
            *lane = *lane + f(x);
        }
    }
    for (lane, &x) in lanes.iter_mut().zip(rest) {
        *lane = *lane + f(x);
    }
    collapse(lanes)
}

#[inline(always)]
fn collapse<T: Float>(lanes: [T; LANES]) -> T {
    lanes.iter().fold(T::zero(), |sum, &lane| sum + lane)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whole numbers, whose sums are exact in any order.
    #[test]
    fn sums_visit_every_element() {
        for length in [1, 15, 16, 17, 40, 1000] {
            let x: Vec<f64> = (0..length).map(|i| f64::from(i * 7 % 11) - 3.0).collect();
            assert_eq!(sum(&x, |x| x * x), x.iter().map(|x| x * x).sum::<f64>());
        }
    }
}
