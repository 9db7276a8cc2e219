//! Newton and Schulz' iteration, which makes a matrix nearly orthogonal, with numbers that are rounded to bf16 in most forms.

use candle_core::{DType, Result, Tensor};
use half::bf16;

use super::super::formula::square_sum;
use super::super::number::{Number, Whole};
use super::muon::MuonVariant;
use super::paired::{Pair, paired};
use crate::cpu;
use crate::ops::{linear_in_out, product_with_transpose};

/// An iteration `x <- a x + b (x xᵀ) x + c (x xᵀ)² x`.
pub(super) struct NewtonSchulz<'a> {
    /// Of each iteration; those after the last have its.
    pub coefficients: &'a [[f64; 3]],
    pub steps: u32,
    pub eps: f64,
    pub variant: MuonVariant,
}

impl NewtonSchulz<'_> {
    /// Returns the nearly orthogonal matrix, in f32. `is_tall` says that it has more rows than columns.
    pub fn orthogonal(&self, matrix: &Tensor, is_tall: bool) -> Result<Tensor> {
        let matrix = self.rounded(matrix)?;
        let x = if is_tall { matrix.t()?.contiguous()? } else { matrix };
        let norm = square_sum(&x)?.sqrt();
        let norm = match self.variant {
            MuonVariant::Pytorch | MuonVariant::Timm => to_bf16(norm).max(to_bf16(self.eps)),
            MuonVariant::KellerJordan => to_bf16(to_bf16(norm) + self.eps),
            MuonVariant::Keras | MuonVariant::Optax => norm + self.eps,
        };
        // Not by the reciprocal, which rounds in another way.
        let mut x = self.rounded(&x.broadcast_div(&Tensor::new(norm as f32, x.device())?)?)?;
        let Some(last) = self.coefficients.last() else { return Ok(x) };
        for coefficients in self.coefficients.iter().chain(std::iter::repeat(last)).take(self.steps as usize) {
            x = self.iterated(&x, *coefficients)?;
        }
        if is_tall { x.t()?.contiguous() } else { Ok(x) }
    }

    fn rounded(&self, tensor: &Tensor) -> Result<Tensor> {
        if self.variant.rounds() { rounded(tensor) } else { Ok(tensor.clone()) }
    }

    fn iterated(&self, x: &Tensor, [a, b, c]: [f64; 3]) -> Result<Tensor> {
        let square = self.rounded(&product_with_transpose(x)?)?;
        match self.variant {
            MuonVariant::Pytorch | MuonVariant::Timm | MuonVariant::Keras | MuonVariant::Optax => {
                // It is symmetric, so this is its product with itself.
                let fourth = product_with_transpose(&square)?;
                let rounds = self.variant.rounds();
                let polynomial = paired(Combined { of_x: b, of_y: c, rounds }, &square, &fourth)?;
                paired(Combined { of_x: a, of_y: 1.0, rounds }, x, &linear_in_out(&polynomial, x, None)?)
            }
            MuonVariant::KellerJordan => {
                let fourth = linear_in_out(&rounded(&(&square * c)?)?, &square, None)?;
                let polynomial = paired(Rounded { of_x: b }, &square, &fourth)?;
                paired(Rounded { of_x: a }, x, &linear_in_out(&polynomial, x, None)?)
            }
        }
    }
}

/// `of_x x + of_y y`, rounded to bf16 if `rounds`.
#[derive(Clone, Copy)]
struct Combined {
    of_x: f64,
    of_y: f64,
    rounds: bool,
}

impl Pair for Combined {
    #[inline(always)]
    fn of<X: Number>(self, x: X, y: X) -> X {
        let sum = x.times(self.of_x) + y.times(self.of_y);
        if self.rounds { sum.to_bf16() } else { sum }
    }
}

/// `of_x x + y`, of which each part and the sum are rounded to bf16.
#[derive(Clone, Copy)]
struct Rounded {
    of_x: f64,
}

impl Pair for Rounded {
    #[inline(always)]
    fn of<X: Number>(self, x: X, y: X) -> X {
        (x.times(self.of_x).to_bf16() + y.to_bf16()).to_bf16()
    }
}

/// Returns a tensor of f32 with each number rounded to the nearest of bf16.
pub(super) fn rounded(tensor: &Tensor) -> Result<Tensor> {
    if !cpu::is_sliceable(tensor) || tensor.dtype() != DType::F32 {
        return Whole::from(Ok(tensor.detach())).to_bf16().tensor();
    }
    let values = cpu::read(tensor, |x: &[f32]| Ok(cpu::map(x, Number::to_bf16)))?;
    Tensor::from_vec(values, tensor.shape(), tensor.device())
}

fn to_bf16(number: f64) -> f64 {
    bf16::from_f32(number as f32).to_f64()
}
