//! Formulas of the numbers of two tensors, in one pass over their memory where it is accessible.

use candle_core::{DType, Result, Tensor};

use super::super::number::{Number, Whole};
use crate::cpu;

/// A formula of two numbers at the same place of two tensors.
pub(super) trait Pair: Copy + Sync {
    fn of<X: Number>(self, x: X, y: X) -> X;
}

/// Applies a formula to the numbers of two tensors of one shape.
pub(super) fn paired(pair: impl Pair, x: &Tensor, y: &Tensor) -> Result<Tensor> {
    let (x, y) = (x.detach(), y.detach());
    if !(cpu::is_sliceable(&x) && cpu::is_sliceable(&y) && x.dtype() == DType::F32) {
        return pair.of(Whole::from(Ok(x)), Whole::from(Ok(y))).tensor();
    }
    let of = |x: &[f32], y: &[f32]| cpu::zip(x, y, |x, y| pair.of(x, y));
    let values = cpu::read(&x, |x| cpu::read(&y, |y| Ok(of(x, y))))?;
    Tensor::from_vec(values, x.shape(), x.device())
}
