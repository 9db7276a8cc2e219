//! Normalization over the last dimension, and softmax. Candle's fused forms of these lose gradients.

mod cuda;
mod half;

use candle_core::{D, DType, Device, Result, Shape, Tensor, bail};

use super::cast;
use super::op::{DeviceKernel, Op, apply};
use super::operand::{Gradient, Operand, rows_and_width};
use super::widened::is_half_by_f32;
use crate::cpu::{self, Real};
use crate::cuda::Place;

/// `(x - mean) / sqrt(variance + eps) * weight + bias` over the last dimension, as `torch.nn.LayerNorm`: Ba, Kiros and
/// Hinton, "Layer normalization", 2016. `x` is `[…, width]`, `weight` and `bias` are `[width]`.
///
/// # Errors
/// The shapes do not fit or the device fails.
pub fn layer_norm(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>, eps: f64) -> Result<Tensor> {
    let norm = Norm { centered: true, eps };
    match bias {
        Some(bias) => norm.apply(&[x, weight, bias]),
        None => norm.apply(&[x, weight]),
    }
}

/// `x / sqrt(mean(x²) + eps) * weight` over the last dimension, as `torch.nn.RMSNorm`: Zhang and Sennrich, "Root mean
/// square layer normalization", NeurIPS 2019. `x` is `[…, width]`, `weight` `[width]`.
///
/// # Errors
/// The shapes do not fit or the device fails.
pub fn rms_norm(x: &Tensor, weight: &Tensor, eps: f64) -> Result<Tensor> {
    Norm { centered: false, eps }.apply(&[x, weight])
}

/// `exp(x) / sum(exp(x))` over the last dimension.
///
/// # Errors
/// The device fails.
pub fn softmax(x: &Tensor) -> Result<Tensor> {
    apply(Softmax, &[x])
}

/// Nothing is stored in the forward pass: recomputing the statistics of a row costs less than reading them back.
#[derive(Clone, Copy, Debug)]
struct Norm {
    /// Whether the mean is subtracted.
    centered: bool,
    eps: f64,
}

impl Norm {
    /// Applies it. If `x` has another type than the weight, it is normalized in the type of the weight.
    fn apply(self, inputs: &[&Tensor]) -> Result<Tensor> {
        let (x, weight) = (inputs[0], inputs[1]);
        if x.dtype() == weight.dtype() {
            return apply(self, inputs);
        }
        if is_half_by_f32(x, &inputs[1..]) {
            return half::normalize(self, inputs);
        }
        let wide = cast(x, weight.dtype())?;
        let inputs: Vec<&Tensor> = std::iter::once(&wide).chain(inputs[1..].iter().copied()).collect();
        cast(&apply(self, &inputs)?, x.dtype())
    }

    /// Returns a row's mean (0 if it is not subtracted) and the inverse of its standard deviation.
    #[inline(always)]
    fn statistics<T: Real>(self, row: &[T]) -> (T, T) {
        let count = T::of(row.len() as f64);
        let mean = if self.centered { cpu::sum(row, |x| x) / count } else { T::zero() };
        let variance = cpu::sum(row, |x| (x - mean) * (x - mean)) / count;
        (mean, T::one() / (variance + T::of(self.eps)).sqrt())
    }

    fn normalize<T: Real>(self, x: &[T], weight: &[T], bias: Option<&[T]>) -> Vec<T> {
        let width = weight.len();
        let mut result = vec![T::of(0.0); x.len()];
        cpu::for_rows(&mut result, width, |first, rows| {
            cpu::vectorized(
                #[inline(always)]
                || {
                    for (row, y) in x[first * width..].chunks_exact(width).zip(rows.chunks_exact_mut(width)) {
                        self.normalize_row(row, weight, bias, y);
                    }
                },
            );
        });
        result
    }

    #[inline(always)]
    fn normalize_row<T: Real>(self, row: &[T], weight: &[T], bias: Option<&[T]>, y: &mut [T]) {
        let (mean, scale) = self.statistics(row);
        for ((y, &x), &weight) in y.iter_mut().zip(row).zip(weight) {
            *y = (x - mean) * scale * weight;
        }
        for (y, &bias) in y.iter_mut().zip(bias.unwrap_or_default()) {
            *y += bias;
        }
    }

    /// Returns the gradients of input, weight and bias.
    fn gradients<T: Real>(self, x: &[T], weight: &[T], dy: &[T]) -> [Vec<T>; 3] {
        let width = weight.len();
        let parts = cpu::map_rows(x.len() / width, width, |rows| {
            let (x, dy) = (&x[rows.start * width..rows.end * width], &dy[rows.start * width..]);
            let mut dx = vec![T::of(0.0); x.len()];
            let (mut dweight, mut dbias) = (vec![T::of(0.0); width], vec![T::of(0.0); width]);
            cpu::vectorized(
                #[inline(always)]
                || {
                    let inputs = x.chunks_exact(width).zip(dy.chunks_exact(width));
                    for ((x, dy), dx) in inputs.zip(dx.chunks_exact_mut(width)) {
                        self.gradients_of_row(x, weight, dy, dx, [&mut dweight, &mut dbias]);
                    }
                },
            );
            (dx, dweight, dbias)
        });
        let (dx, [dweight, dbias]) = collect(parts, x.len(), width);
        [dx, dweight, dbias]
    }

    /// Writes the gradient of a row, and adds to those of weight and bias. With `n = (x - mean) scale` and
    /// `h = dy * weight`, that of the row is `scale (h - mean(h) - n mean(h n))`, without `mean(h)` if the mean was not
    /// subtracted.
    #[inline(always)]
    fn gradients_of_row<T: Real>(self, x: &[T], weight: &[T], dy: &[T], dx: &mut [T], [dweight, dbias]: [&mut [T]; 2]) {
        let (mean, scale) = self.statistics(x);
        for ((sum, &x), &dy) in dweight.iter_mut().zip(x).zip(dy) {
            *sum += dy * ((x - mean) * scale);
        }
        for (sum, &dy) in dbias.iter_mut().zip(dy) {
            *sum += dy;
        }
        for ((h, &dy), &weight) in dx.iter_mut().zip(dy).zip(weight) {
            *h = dy * weight;
        }
        let count = T::of(x.len() as f64);
        let mean_h = if self.centered { cpu::sum(dx, |h| h) / count } else { T::zero() };
        let mean_hn = cpu::sum2(dx, x, |h, x| h * ((x - mean) * scale)) / count;
        for (h, &x) in dx.iter_mut().zip(x) {
            *h = scale * (*h - mean_h - (x - mean) * scale * mean_hn);
        }
    }
}

/// Joins the gradients of `len` inputs from each task, and adds those of weight and bias.
fn collect<X: Copy, T: Real>(parts: Vec<(Vec<X>, Vec<T>, Vec<T>)>, len: usize, width: usize) -> (Vec<X>, [Vec<T>; 2]) {
    let mut dx = Vec::with_capacity(len);
    let (mut dweight, mut dbias) = (Vec::new(), Vec::new());
    for (part_dx, part_dweight, part_dbias) in parts {
        dx.extend_from_slice(&part_dx);
        dweight.push(part_dweight);
        dbias.push(part_dbias);
    }
    (dx, [cpu::total(dweight, width), cpu::total(dbias, width)])
}

impl Op for Norm {
    fn name(&self) -> &'static str {
        if self.centered { "layer norm" } else { "rms norm" }
    }

    fn shape(&self, inputs: &[&Tensor]) -> Result<Shape> {
        let (x, weight, bias) = (inputs[0].dims(), inputs[1].dims(), inputs.get(2).map(|bias| bias.dims()));
        let (_, width) = rows_and_width(self.name(), x)?;
        if weight != [width] || bias.is_some_and(|bias| bias != [width]) {
            bail!("{}: inputs {x:?}, weight {weight:?} and bias {bias:?} do not fit together", self.name());
        }
        Ok(inputs[0].shape().clone())
    }

    fn forward<T: Real>(&self, inputs: &[Operand<'_, T>]) -> Result<Vec<T>> {
        let bias = inputs.get(2).map(|bias| bias.elements);
        Ok(self.normalize(inputs[0].elements, inputs[1].elements, bias))
    }

    fn backward<T: Real>(
        &self,
        inputs: &[Operand<'_, T>],
        _: Operand<'_, T>,
        dy: Operand<'_, T>,
    ) -> Result<Vec<Gradient<T>>> {
        let gradients = self.gradients(inputs[0].elements, inputs[1].elements, dy.elements);
        Ok(gradients.into_iter().take(inputs.len()).map(Gradient::Elements).collect())
    }

    fn reference(&self, inputs: &[&Tensor]) -> Result<Tensor> {
        let x = inputs[0];
        let x = if self.centered { x.broadcast_sub(&x.mean_keepdim(D::Minus1)?)? } else { x.clone() };
        let deviation = (x.sqr()?.mean_keepdim(D::Minus1)? + self.eps)?.sqrt()?;
        let y = x.broadcast_div(&deviation)?.broadcast_mul(inputs[1])?;
        inputs.get(2).map_or(Ok(y.clone()), |bias| y.broadcast_add(bias))
    }

    fn device_kernel(&self, device: &Device, dtype: DType) -> Option<&dyn DeviceKernel> {
        Place::has_kernels(device, dtype).then_some(self)
    }
}

struct Softmax;

impl Op for Softmax {
    fn name(&self) -> &'static str {
        "softmax"
    }

    fn shape(&self, inputs: &[&Tensor]) -> Result<Shape> {
        rows_and_width("softmax", inputs[0].dims())?;
        Ok(inputs[0].shape().clone())
    }

    fn forward<T: Real>(&self, inputs: &[Operand<'_, T>]) -> Result<Vec<T>> {
        let (_, width) = rows_and_width("softmax", inputs[0].dims())?;
        let mut y = inputs[0].elements.to_vec();
        cpu::for_rows(&mut y, width, |_, rows| {
            cpu::vectorized(
                #[inline(always)]
                || rows.chunks_exact_mut(width).for_each(softmax_of_row),
            );
        });
        Ok(y)
    }

    /// `y (dy - sum(dy y))`.
    fn backward<T: Real>(
        &self,
        _: &[Operand<'_, T>],
        y: Operand<'_, T>,
        dy: Operand<'_, T>,
    ) -> Result<Vec<Gradient<T>>> {
        let (_, width) = rows_and_width("softmax", y.dims())?;
        let mut dx = dy.elements.to_vec();
        cpu::for_rows(&mut dx, width, |first, rows| {
            let results = y.elements[first * width..].chunks_exact(width);
            cpu::vectorized(
                #[inline(always)]
                || results.zip(rows.chunks_exact_mut(width)).for_each(|(y, dx)| softmax_grad_of_row(y, dx)),
            );
        });
        Ok(vec![Gradient::Elements(dx)])
    }

    fn reference(&self, inputs: &[&Tensor]) -> Result<Tensor> {
        candle_nn::ops::softmax(inputs[0], D::Minus1)
    }

    fn device_kernel(&self, device: &Device, dtype: DType) -> Option<&dyn DeviceKernel> {
        Place::has_kernels(device, dtype).then_some(self)
    }
}

/// Replaces a row by its softmax.
#[inline(always)]
pub(super) fn softmax_of_row<T: Real>(row: &mut [T]) {
    let largest = cpu::max(row);
    for x in row.iter_mut() {
        *x = (*x - largest).exponential();
    }
    let factor = T::one() / cpu::sum(row, |x| x);
    for x in row.iter_mut() {
        *x *= factor;
    }
}

/// Replaces the gradient of a row's softmax `y` by the gradient of the row.
#[inline(always)]
pub(super) fn softmax_grad_of_row<T: Real>(y: &[T], gradient: &mut [T]) {
    let sum = cpu::sum2(y, gradient, |y, dy| y * dy);
    for (dx, &y) in gradient.iter_mut().zip(y) {
        *dx = y * (*dx - sum);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Var;

    use crate::ops::testing::{Reference, check, check_kernels, numbers, to_vec};

    #[test]
    fn every_norm_and_softmax_have_their_gradients() {
        let (x, weight, bias) = (numbers(&[2, 3, 18], 1), numbers(&[18], 2), numbers(&[18], 3));
        check(Norm { centered: true, eps: 1e-5 }, &[&x, &weight, &bias], 1e-12);
        check(Norm { centered: true, eps: 1e-5 }, &[&x, &weight], 1e-12);
        check(Norm { centered: false, eps: 1e-6 }, &[&x, &weight], 1e-12);
        check(Softmax, &[&x], 1e-14);
    }

    #[test]
    fn values_and_gradients_are_those_of_pytorch() {
        let reference = Reference::open("gpt_reference.safetensors");
        reference.assert("layer_norm", 1e-11, |x| layer_norm(&x[0], &x[1], Some(&x[2]), 1e-5));
        reference.assert("layer_norm_plain", 1e-11, |x| layer_norm(&x[0], &x[1], None, 1e-5));
        reference.assert("rms_norm", 1e-11, |x| rms_norm(&x[0], &x[1], 1e-6));
        reference.assert("softmax", 1e-12, |x| softmax(&x[0]));
    }

    /// As models in half precision use it: by casts on devices without this kernel.
    #[test]
    fn a_norm_of_a_half_type_by_weights_in_f32_has_the_bits_of_casts() {
        let single = |shape: &[usize], seed| Var::from_tensor(&numbers(shape, seed).to_dtype(DType::F32).unwrap());
        let (weight, bias) = (single(&[300], 2).unwrap(), single(&[300], 3).unwrap());
        for dtype in [DType::BF16, DType::F16] {
            let x = Var::from_tensor(&numbers(&[7, 30, 300], 1).to_dtype(dtype).unwrap()).unwrap();
            let vars = [&x, &weight, &bias];
            for norm in [Norm { centered: true, eps: 1e-5 }, Norm { centered: false, eps: 1e-6 }] {
                let inputs: Vec<&Tensor> =
                    vars[..if norm.centered { 3 } else { 2 }].iter().map(|var| var.as_tensor()).collect();
                let by_casts = || {
                    let wide = cast(inputs[0], DType::F32).unwrap();
                    let inputs: Vec<&Tensor> = std::iter::once(&wide).chain(inputs[1..].iter().copied()).collect();
                    cast(&apply(norm, &inputs).unwrap(), dtype).unwrap()
                };
                let [found, expected] = [norm.apply(&inputs).unwrap(), by_casts()].map(|y| {
                    let dy = numbers(y.dims(), 4).to_dtype(dtype).unwrap();
                    let store = (&y * dy).unwrap().sum_all().unwrap().backward().unwrap();
                    let gradients =
                        inputs.iter().map(|x| (store.get(x).unwrap().dtype(), to_vec(store.get(x).unwrap())));
                    (y.dtype(), to_vec(&y), gradients.collect::<Vec<_>>())
                });
                assert!(found == expected, "{dtype:?} {norm:?}");
            }
        }
    }

    #[test]
    fn rows_of_several_tasks_are_those_of_the_reference() {
        let (x, weight, bias) = (numbers(&[90, 500], 1), numbers(&[500], 2), numbers(&[500], 3));
        check_kernels(Norm { centered: true, eps: 1e-5 }, &[&x, &weight, &bias], 1e-11);
        check_kernels(Norm { centered: false, eps: 1e-5 }, &[&x, &weight], 1e-11);
        check_kernels(Softmax, &[&x], 1e-14);
    }

    #[test]
    fn a_softmax_of_large_numbers_is_finite() {
        let x = Tensor::new(&[1e30f32, -1e30, 1e30], &candle_core::Device::Cpu).unwrap();
        assert_eq!(softmax(&x).unwrap().to_vec1::<f32>().unwrap(), [0.5, 0.0, 0.5]);
    }
}
