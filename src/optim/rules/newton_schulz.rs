//! Newton and Schulz' iteration, which makes a matrix nearly orthogonal, with numbers that are rounded to bf16 in most forms.

use candle_core::{DType, Result, Tensor};
use half::bf16;

use super::super::formula::square_sum;
use super::super::number::{Number, Whole};
use super::muon::MuonVariant;
use super::paired::{Pair, paired};
use crate::cpu;
use crate::ops::{linear, linear_in_out};

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

/// Returns `x xᵀ`. On the CPU, bands of rows begin at the diagonal, and the other half is copied.
fn product_with_transpose(x: &Tensor) -> Result<Tensor> {
    const BANDS: usize = 4;
    /// Rows of a matrix whose bands are large enough for products as fast as that of the whole.
    const WORTH_IT: usize = 256;
    let rows = x.dim(0)?;
    if rows < WORTH_IT || !cpu::is_sliceable(x) || x.dtype() != DType::F32 {
        return Ok(linear(x, x, None)?.detach());
    }
    let mut product = vec![0f32; rows * rows];
    let height = rows.div_ceil(BANDS);
    for start in (0..rows).step_by(height) {
        let (count, width) = (height.min(rows - start), rows - start);
        let band = linear(&x.narrow(0, start, count)?, &x.narrow(0, start, width)?, None)?.detach();
        cpu::read(&band, |band: &[f32]| {
            for (row, band) in band.chunks_exact(width).enumerate() {
                product[(start + row) * rows + start..][..width].copy_from_slice(band);
            }
            Ok(())
        })?;
    }
    mirror(&mut product, rows, height);
    Tensor::from_vec(product, (rows, rows), x.device())
}

/// Copies what is above the diagonal of bands of `height` to below it.
fn mirror(matrix: &mut [f32], rows: usize, height: usize) {
    let (done, mut rest) = matrix.split_at_mut(height.min(rows) * rows);
    let mut above: Vec<&mut [f32]> = vec![done];
    let mut start = height;
    while start < rows {
        let count = height.min(rows - start);
        let (band, after) = rest.split_at_mut(count * rows);
        for (number, earlier) in above.iter().enumerate() {
            for (row, target) in band.chunks_exact_mut(rows).enumerate() {
                let column = earlier.chunks_exact(rows).map(|earlier| earlier[start + row]);
                target[number * height..].iter_mut().zip(column).for_each(|(below, above)| *below = above);
            }
        }
        above.push(band);
        rest = after;
        start += count;
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

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;

    #[test]
    fn a_product_of_bands_is_that_of_the_whole() {
        for rows in [256, 301] {
            let x = Tensor::rand(-1f32, 1.0, (rows, 33), &Device::Cpu).unwrap();
            let product = product_with_transpose(&x).unwrap();
            let apart = (&product - x.matmul(&x.t().unwrap()).unwrap()).unwrap().abs().unwrap();
            assert!(apart.max_all().unwrap().to_scalar::<f32>().unwrap() < 1e-5);
            let of = |tensor: &Tensor| tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap();
            assert_eq!(of(&product), of(&product.t().unwrap().contiguous().unwrap()));
        }
    }
}
