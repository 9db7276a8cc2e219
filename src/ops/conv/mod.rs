//! Two-dimensional convolution.
//!
//! On the CPU each image is unrolled, a few rows of the output at a time, into a matrix that has a column for every
//! position of the kernel; then convolving is a product of matrices (Chellapilla, Puri and Simard, 2006). Nothing of it
//! is kept for the backward pass: to unroll an image again is cheaper than to bring the matrix back from memory.

mod geometry;
mod passes;
#[cfg(test)]
mod tests;

use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, CustomOp2, CustomOp3, Layout, Result, Shape, Tensor, WithDType};

use super::cpu::{self, Reading, elements, with_float};
use super::tape::{apply2, apply3};
use geometry::Geometry;
use passes::{Gradients, Wanted};

/// How [`conv2d`] moves over an image, alike in both directions, and what becomes of its result.
#[derive(Clone, Copy, Debug)]
pub struct Conv2d {
    /// Step from one position of the kernel to the next.
    pub stride: usize,
    /// Zeros added at each edge.
    pub padding: usize,
    /// Groups of channels that are convolved each by itself.
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
/// When the shapes do not fit or the device fails.
pub fn conv2d(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>, options: Conv2d) -> Result<Tensor> {
    let geometry = Geometry::new(options, x.dims(), weight.dims(), bias.map(Tensor::dims))?;
    if !cpu::is_fused(x) {
        return geometry.composed(x, weight, bias);
    }
    let (x, weight) = (x.contiguous()?, weight.contiguous()?);
    match bias {
        Some(bias) => apply3(&x, &weight, &bias.contiguous()?, options),
        None => apply2(&x, &weight, options),
    }
}

type Operand<'a> = (&'a CpuStorage, &'a Layout);

impl Conv2d {
    fn run(self, x: Operand<'_>, weight: Operand<'_>, bias: Option<Operand<'_>>) -> Result<(CpuStorage, Shape)> {
        let geometry = Geometry::new(self, x.1.dims(), weight.1.dims(), bias.map(|(_, layout)| layout.dims()))?;
        let y = with_float!("conv2d", x.0.dtype(), T => {
            let bias = bias.map(|(storage, layout)| elements::<T>(storage, layout)).transpose()?;
            T::to_cpu_storage_owned(geometry.forward::<T>(elements(x.0, x.1)?, elements(weight.0, weight.1)?, bias))
        });
        Ok((y, geometry.shape()))
    }

    /// The gradients of input, weight and bias.
    fn gradients(
        self,
        x: &Tensor,
        weight: &Tensor,
        bias: Option<&Tensor>,
        y: &Tensor,
        gradient: &Tensor,
    ) -> Result<[Option<Tensor>; 3]> {
        let geometry = Geometry::new(self, x.dims(), weight.dims(), bias.map(Tensor::dims))?;
        let wanted =
            Wanted { input: x.track_op(), weight: weight.track_op(), bias: bias.is_some_and(Tensor::track_op) };
        let gradient = gradient.contiguous()?;
        with_float!("conv2d", x.dtype(), T => {
            let [x_read, weight_read, y, gradient] = [x, weight, y, &gradient].map(Reading::of);
            let operands = (x_read.elements()?, weight_read.elements()?, y.elements()?, gradient.elements()?);
            let found: Gradients<T> = geometry.backward(operands, wanted);
            let tensor = |values: Vec<T>, like: Option<&Tensor>| {
                like.filter(|like| like.track_op()).map(|like| cpu::tensor(values, like)).transpose()
            };
            Ok([
                tensor(found.input, Some(x))?,
                tensor(found.weight, Some(weight))?,
                tensor(found.bias, bias)?,
            ])
        })
    }
}

impl CustomOp2 for Conv2d {
    fn name(&self) -> &'static str {
        "conv2d"
    }

    fn cpu_fwd(&self, x: &CpuStorage, xl: &Layout, w: &CpuStorage, wl: &Layout) -> Result<(CpuStorage, Shape)> {
        self.run((x, xl), (w, wl), None)
    }

    fn bwd(&self, x: &Tensor, w: &Tensor, y: &Tensor, gradient: &Tensor) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let [x, w, _] = self.gradients(x, w, None, y, gradient)?;
        Ok((x, w))
    }
}

impl CustomOp3 for Conv2d {
    fn name(&self) -> &'static str {
        "conv2d"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        xl: &Layout,
        w: &CpuStorage,
        wl: &Layout,
        b: &CpuStorage,
        bl: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        self.run((x, xl), (w, wl), Some((b, bl)))
    }

    fn bwd(
        &self,
        x: &Tensor,
        w: &Tensor,
        b: &Tensor,
        y: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let [x, w, b] = self.gradients(x, w, Some(b), y, gradient)?;
        Ok((x, w, b))
    }
}
