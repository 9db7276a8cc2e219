//! Two-dimensional convolution.
//!
//! On x86-64 processors with AVX-512, `direct` computes those that move by one place, from a padded copy of an image.
//! Otherwise on the CPU each image is unrolled, a few rows of the output at a time, into a matrix with a column for every
//! position of the kernel; the convolution is then a matrix product (Chellapilla, Puri and Simard, 2006). The matrix is
//! not kept for the backward pass: unrolling an image again is cheaper than reading the matrix from memory.

mod bf16;
mod cpu;
mod cuda;
#[cfg_attr(not(target_arch = "x86_64"), path = "direct_absent.rs")]
mod direct;
mod geometry;
#[cfg(test)]
mod tests;

use candle_core::{DType, Device, Result, Shape, Tensor};

use super::op::{DeviceKernel, Op, apply, fitting};
use super::operand::{Gradient, Operand};
use crate::cpu::Real;
use cpu::Needed;
use geometry::Geometry;

/// Options of [`conv2d`], the same in both directions.
#[derive(Clone, Copy, Debug)]
pub struct Conv2d {
    /// Step from one position of the kernel to the next.
    pub stride: usize,
    /// Zeros added at each edge.
    pub padding: usize,
    /// Number of groups of channels, each convolved separately.
    pub groups: usize,
    /// Whether negative results are set to zero.
    pub relu: bool,
}

impl Default for Conv2d {
    fn default() -> Self {
        Self { stride: 1, padding: 0, groups: 1, relu: false }
    }
}

/// Cross-correlation of `x` `[rows, in, height, width]` with `weight` `[out, in / groups, kernel height, kernel width]`
/// plus `bias` `[out]`, as `torch.nn.Conv2d`; the result is `[rows, out, …, …]`, each side of which is
/// `(side + 2 padding - kernel) / stride + 1`, rounded down.
///
/// # Errors
/// The shapes do not fit or the device fails.
pub fn conv2d(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>, options: Conv2d) -> Result<Tensor> {
    let weight = fitting(&options, x, weight)?;
    match bias {
        Some(bias) => apply(options, &[x, &weight, &fitting(&options, x, bias)?]),
        None => apply(options, &[x, &weight]),
    }
}

impl Conv2d {
    fn geometry<'a>(self, mut dims: impl Iterator<Item = &'a [usize]>) -> Result<Geometry> {
        let mut next = || dims.next();
        Geometry::new(self, next().unwrap_or_default(), next().unwrap_or_default(), next())
    }
}

impl Op for Conv2d {
    fn name(&self) -> &'static str {
        "conv2d"
    }

    fn shape(&self, inputs: &[&Tensor]) -> Result<Shape> {
        Ok(self.geometry(inputs.iter().map(|x| x.dims()))?.shape())
    }

    fn forward<T: Real>(&self, inputs: &[Operand<'_, T>]) -> Result<Vec<T>> {
        let geometry = self.geometry(inputs.iter().map(Operand::dims))?;
        Ok(geometry.convolve(inputs[0].elements, inputs[1].elements, inputs.get(2).map(|bias| bias.elements)))
    }

    fn backward<T: Real>(
        &self,
        inputs: &[Operand<'_, T>],
        y: Operand<'_, T>,
        dy: Operand<'_, T>,
    ) -> Result<Vec<Gradient<T>>> {
        let geometry = self.geometry(inputs.iter().map(Operand::dims))?;
        let bias = inputs.get(2).is_some_and(|bias| bias.tracked);
        let needed = Needed { x: inputs[0].tracked, weight: inputs[1].tracked, bias };
        let operands = (inputs[0].elements, inputs[1].elements, y.elements, dy.elements);
        let (dx, dweight, dbias) = geometry.gradients(operands, needed);
        Ok([dx, dweight, dbias].into_iter().take(inputs.len()).map(Gradient::Elements).collect())
    }

    fn takes_wide_weights(&self) -> bool {
        true
    }

    fn device_kernel(&self, device: &Device, dtype: DType) -> Option<&dyn DeviceKernel> {
        super::bf16::kernel(self, device, dtype)
    }

    fn reference(&self, inputs: &[&Tensor]) -> Result<Tensor> {
        self.geometry(inputs.iter().map(|x| x.dims()))?.reference(inputs[0], inputs[1], inputs.get(2).copied())
    }
}
