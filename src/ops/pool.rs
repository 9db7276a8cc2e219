//! Pooling: the maximum or the mean of each window of an image.

mod cpu;
mod cuda;
mod half;

use std::ops::Range;

use candle_core::{DType, Device, Result, Shape, Tensor, bail};

use super::op::{DeviceKernel, Op, apply};
use super::operand::{Gradient, Operand};
use crate::cpu::{Half, Real};
use crate::cuda::Place;

/// Pooling windows, the same in both directions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pool2d {
    /// Side of a window, in pixels.
    pub kernel: usize,
    /// Step from one window to the next, in pixels.
    pub stride: usize,
    /// Number of pixels by which windows extend beyond each edge; at most half of `kernel`.
    pub padding: usize,
}

impl Pool2d {
    /// Creates adjacent windows of side `kernel`.
    pub fn new(kernel: usize) -> Self {
        Self { kernel, stride: kernel, padding: 0 }
    }

    /// Returns the windows along a side, clipped to the image.
    fn windows(self, side: usize) -> Result<Vec<Range<usize>>> {
        let Self { kernel, stride, padding } = self;
        if kernel == 0 || stride == 0 || padding > kernel / 2 {
            bail!(
                "pooling needs a kernel and a stride of at least 1, and a padding of at most half the kernel: {self:?}"
            );
        }
        let Some(last) = (side + 2 * padding).checked_sub(kernel) else {
            bail!("pooling: a side of {side} is smaller than the window: {self:?}")
        };
        let window = |start: usize| start.saturating_sub(padding)..(start + kernel - padding).min(side);
        Ok((0..=last).step_by(stride).map(window).collect())
    }
}

/// Returns the maximum of each window of `x` `[rows, channels, height, width]`, like `torch.nn.MaxPool2d`. Each side of
/// the result is `(side + 2 padding - kernel) / stride + 1`, rounded down. If several numbers are the maximum, the
/// first receives the gradient.
///
/// # Errors
/// The image is smaller than a window, or the device fails.
pub fn max_pool2d(x: &Tensor, pool: Pool2d) -> Result<Tensor> {
    let (_, _, height, width) = x.dims4()?;
    apply(Windows { rows: pool.windows(height)?, columns: pool.windows(width)?, kind: Kind::Max }, &[x])
}

/// Returns the mean of each window of `x` `[rows, channels, height, width]`, with zeros beyond the edges, like
/// `torch.nn.AvgPool2d`. The shape is that of [`max_pool2d`].
///
/// # Errors
/// The image is smaller than a window, or the device fails.
pub fn avg_pool2d(x: &Tensor, pool: Pool2d) -> Result<Tensor> {
    let (_, _, height, width) = x.dims4()?;
    let kind = Kind::Mean { size: Some(pool.kernel * pool.kernel) };
    apply(Windows { rows: pool.windows(height)?, columns: pool.windows(width)?, kind }, &[x])
}

/// Returns the means of `height` by `width` windows that cover each image of `x` `[rows, channels, …, …]`, like
/// `torch.nn.AdaptiveAvgPool2d`: window `i` of `n` along a side covers `i side / n`, rounded down, to `(i + 1) side /
/// n`, rounded up. With 1 and 1 it is the mean of each channel.
///
/// # Errors
/// A size is 0, or the device fails.
pub fn adaptive_avg_pool2d(x: &Tensor, height: usize, width: usize) -> Result<Tensor> {
    let (_, _, x_height, x_width) = x.dims4()?;
    if [height, width, x_height, x_width].contains(&0) {
        bail!("adaptive pooling needs sides of at least 1: from {x_height} by {x_width} to {height} by {width}");
    }
    let windows = |side: usize, n: usize| (0..n).map(move |i| i * side / n..((i + 1) * side).div_ceil(n)).collect();
    let kind = Kind::Mean { size: None };
    apply(Windows { rows: windows(x_height, height), columns: windows(x_width, width), kind }, &[x])
}

/// The windows: every pair of a row range and a column range.
#[derive(Clone, Debug)]
struct Windows {
    rows: Vec<Range<usize>>,
    columns: Vec<Range<usize>>,
    kind: Kind,
}

/// The reduction of a window.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Max,
    /// The sum divided by `size`, or by the number of elements in the window.
    Mean {
        size: Option<usize>,
    },
}

impl Windows {
    /// Reduces one side of the images: takes the maximum or the sum of the first elements of all windows, then of the
    /// second elements and so on. A window with fewer elements repeats its last one, or has it masked.
    fn reduce_along(&self, x: &Tensor, dimension: usize, windows: &[Range<usize>]) -> Result<Tensor> {
        let most = windows.iter().map(Range::len).max().unwrap_or(0);
        let mut pooled: Option<Tensor> = None;
        for offset in 0..most {
            let index = |window: &Range<usize>| (window.start + offset).min(window.end - 1) as u32;
            let indices = Tensor::from_vec(windows.iter().map(index).collect(), windows.len(), x.device())?;
            let mut numbers = x.index_select(&indices, dimension)?;
            if let Kind::Mean { .. } = self.kind {
                let mask: Vec<f32> = windows.iter().map(|window| f32::from(u8::from(offset < window.len()))).collect();
                let shape = if dimension == 2 { (windows.len(), 1) } else { (1, windows.len()) };
                numbers = numbers.broadcast_mul(&Tensor::from_vec(mask, shape, x.device())?.to_dtype(x.dtype())?)?;
            }
            pooled = Some(match (pooled, self.kind) {
                (None, _) => numbers,
                // Not `maximum`, which would split the gradient among several maxima. NaN is preserved.
                (Some(pooled), Kind::Max) => {
                    let stays = (pooled.ge(&numbers)? + pooled.ne(&pooled)?)?;
                    stays.where_cond(&pooled, &numbers)?
                }
                (Some(pooled), Kind::Mean { .. }) => (pooled + numbers)?,
            });
        }
        pooled.ok_or_else(|| candle_core::Error::Msg("pooling: no windows".to_owned()))
    }
}

impl Op for Windows {
    fn name(&self) -> &'static str {
        "pooling"
    }

    fn shape(&self, inputs: &[&Tensor]) -> Result<Shape> {
        let (batch, channels, ..) = inputs[0].dims4()?;
        Ok(Shape::from((batch, channels, self.rows.len(), self.columns.len())))
    }

    fn forward<T: Real>(&self, inputs: &[Operand<'_, T>]) -> Result<Vec<T>> {
        let (_, _, height, width) = inputs[0].layout.shape().dims4()?;
        Ok(self.pool(inputs[0].elements, width, height * width))
    }

    fn backward<T: Real>(
        &self,
        inputs: &[Operand<'_, T>],
        y: Operand<'_, T>,
        dy: Operand<'_, T>,
    ) -> Result<Vec<Gradient<T>>> {
        let (_, _, height, width) = inputs[0].layout.shape().dims4()?;
        let dx = || self.gradient(inputs[0].elements, y.elements, dy.elements, width, height * width);
        Ok(vec![Gradient::of(inputs[0], dx)])
    }

    fn forward_in_half<H: Half>(&self, inputs: &[Operand<'_, H>]) -> Option<Vec<H>> {
        let &[.., height, width] = inputs[0].dims() else { return None };
        Some(self.pool_in_half(inputs[0].elements, width, height * width))
    }

    fn backward_in_half<H: Half>(
        &self,
        inputs: &[Operand<'_, H>],
        y: Operand<'_, H>,
        dy: Operand<'_, H>,
    ) -> Option<Vec<Gradient<H>>> {
        let &[.., height, width] = inputs[0].dims() else { return None };
        let dx = || self.gradient_in_half(inputs[0].elements, y.elements, dy.elements, width, height * width);
        Some(vec![Gradient::of(inputs[0], dx)])
    }

    /// Each row is pooled first, then the rows; of several maxima the first remains.
    fn reference(&self, inputs: &[&Tensor]) -> Result<Tensor> {
        let x = inputs[0];
        let columns = self.reduce_along(x, 3, &self.columns)?;
        let pooled = self.reduce_along(&columns, 2, &self.rows)?;
        let Kind::Mean { size } = self.kind else { return Ok(pooled) };
        let pairs = self.rows.iter().flat_map(|rows| self.columns.iter().map(|columns| rows.len() * columns.len()));
        let factors: Vec<f32> = pairs.map(|numbers| 1.0 / size.unwrap_or(numbers) as f32).collect();
        let factors = Tensor::from_vec(factors, (self.rows.len(), self.columns.len()), x.device())?;
        pooled.broadcast_mul(&factors.to_dtype(x.dtype())?)
    }

    fn device_kernel(&self, device: &Device, dtype: DType) -> Option<&dyn DeviceKernel> {
        Place::has_kernels(device, dtype).then_some(self)
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Reference, assert_gradients, check, check_kernels, numbers, to_vec};
    use super::*;

    fn pools() -> [Pool2d; 5] {
        let pool = |kernel, stride, padding| Pool2d { kernel, stride, padding };
        [Pool2d::new(2), pool(3, 2, 1), pool(3, 1, 0), pool(2, 3, 1), pool(1, 2, 0)]
    }

    #[test]
    fn values_and_gradients_are_those_of_pytorch() {
        let reference = Reference::open("image_reference.safetensors");
        let (plain, padded) = (Pool2d::new(2), Pool2d { kernel: 3, stride: 2, padding: 1 });
        reference.assert("max_pool2d.plain", 1e-12, |t| max_pool2d(&t[0], plain));
        reference.assert("max_pool2d.padded", 1e-12, |t| max_pool2d(&t[0], padded));
        reference.assert("avg_pool2d.plain", 1e-12, |t| avg_pool2d(&t[0], plain));
        reference.assert("avg_pool2d.padded", 1e-12, |t| avg_pool2d(&t[0], padded));
        reference.assert("adaptive_avg_pool2d.one", 1e-12, |t| adaptive_avg_pool2d(&t[0], 1, 1));
        reference.assert("adaptive_avg_pool2d.uneven", 1e-12, |t| adaptive_avg_pool2d(&t[0], 3, 4));
    }

    fn windows(pool: Pool2d, [height, width]: [usize; 2], kind: Kind) -> Windows {
        Windows { rows: pool.windows(height).unwrap(), columns: pool.windows(width).unwrap(), kind }
    }

    #[test]
    fn every_pool_has_its_gradient() {
        let x = numbers(&[2, 3, 7, 6], 0);
        for pool in pools() {
            for kind in [Kind::Max, Kind::Mean { size: Some(9) }, Kind::Mean { size: None }] {
                check(windows(pool, [7, 6], kind), &[&x], 1e-6);
            }
        }
        for (height, width) in [(1, 1), (3, 2), (7, 6), (9, 4)] {
            assert_gradients(&[&x], |t| adaptive_avg_pool2d(&t[0], height, width));
        }
    }

    #[test]
    fn of_several_largest_both_forms_give_the_gradient_route_to_first_max() {
        // Whole numbers from 0 to 2, so that most windows have several maxima; those of the first image differ in
        // order.
        let x = Tensor::from_iter((0..252_u32).map(|i| f64::from(i * i / 3 % 3)), &candle_core::Device::Cpu).unwrap();
        let x = x.reshape((2, 3, 7, 6)).unwrap();
        let across = Tensor::new(&[[[[0.0, 1.0], [1.0, 0.0]]]], &candle_core::Device::Cpu).unwrap();
        for (x, [height, width], pool) in
            pools().map(|pool| (&x, [7, 6], pool)).into_iter().chain([(&across, [2, 2], Pool2d::new(2))])
        {
            check_kernels(windows(pool, [height, width], Kind::Max), &[x], 0.0);
        }
    }

    #[test]
    fn the_first_of_several_largest_has_the_gradient_and_a_nan_is_the_largest() {
        let nan = f64::NAN;
        let x = Tensor::new(
            &[[[[1.0, 1.0, 2.0, 0.0], [1.0, 0.0, 0.0, 2.0], [0.0, nan, -1.0, -3.0], [5.0, 0.0, -2.0, -1.0]]]],
            &candle_core::Device::Cpu,
        );
        let x = candle_core::Var::from_tensor(&x.unwrap()).unwrap();
        let y = max_pool2d(&x, Pool2d::new(2)).unwrap();
        let largest = to_vec(&y);
        assert_eq!(largest[..2], [1.0, 2.0]);
        assert!(largest[2].is_nan() && largest[3] == -1.0);
        let gradients = y.sum_all().unwrap().backward().unwrap();
        let expected = [1.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0];
        assert_eq!(to_vec(gradients.get(&x).unwrap()), expected);
    }

    #[test]
    fn windows_that_do_not_fit_are_refused() {
        let x = numbers(&[1, 1, 2, 5], 0);
        let refusal = |pool| max_pool2d(&x, pool).unwrap_err().to_string();
        assert!(refusal(Pool2d::new(3)).contains("a side of 2 is smaller than the window"));
        assert!(refusal(Pool2d { padding: 2, ..Pool2d::new(3) }).contains("at most half the kernel"));
        assert!(refusal(Pool2d { stride: 0, ..Pool2d::new(2) }).contains("at least 1"));
        assert!(adaptive_avg_pool2d(&x, 0, 1).is_err());
    }
}
