//! Normalization over the last dimension, and softmax: Candle's own forms of these lose gradients.

use candle_core::{CpuStorage, CustomOp1, CustomOp2, CustomOp3, D, Layout, Result, Shape, Tensor, bail};

use super::cpu::{self, Reading, with_float};
use super::math::Real;
use super::tape::{apply1, apply2, apply3};

/// `(x - mean) / sqrt(variance + eps) * weight + bias` over the last dimension, as `torch.nn.LayerNorm`: Ba, Kiros and
/// Hinton, "Layer normalization", 2016. `x` is `[…, width]`, `weight` and `bias` are `[width]`.
///
/// # Errors
/// When the shapes do not fit or the device fails.
pub fn layer_norm(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>, eps: f64) -> Result<Tensor> {
    let norm = Norm { centered: true, eps };
    norm.check("layer norm", x, weight, bias)?;
    if !cpu::is_fused(x) {
        return norm.composed(x, weight, bias);
    }
    match bias {
        Some(bias) => apply3(&x.contiguous()?, &weight.contiguous()?, &bias.contiguous()?, norm),
        None => apply2(&x.contiguous()?, &weight.contiguous()?, norm),
    }
}

/// `x / sqrt(mean(x²) + eps) * weight` over the last dimension, as `torch.nn.RMSNorm`: Zhang and Sennrich, "Root mean
/// square layer normalization", NeurIPS 2019. `x` is `[…, width]`, `weight` `[width]`.
///
/// # Errors
/// When the shapes do not fit or the device fails.
pub fn rms_norm(x: &Tensor, weight: &Tensor, eps: f64) -> Result<Tensor> {
    let norm = Norm { centered: false, eps };
    norm.check("rms norm", x, weight, None)?;
    if !cpu::is_fused(x) {
        return norm.composed(x, weight, None);
    }
    apply2(&x.contiguous()?, &weight.contiguous()?, norm)
}

/// `exp(x) / sum(exp(x))` over the last dimension.
///
/// # Errors
/// When the device fails.
pub fn softmax(x: &Tensor) -> Result<Tensor> {
    if cpu::is_fused(x) { apply1(&x.contiguous()?, Softmax) } else { candle_nn::ops::softmax(x, D::Minus1) }
}

/// Nothing is kept of the forward pass: the statistics of a row cost less than reading them back would.
#[derive(Clone, Copy)]
struct Norm {
    /// Whether the mean is taken out.
    centered: bool,
    eps: f64,
}

impl Norm {
    fn check(self, name: &str, x: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Result<()> {
        let (_, width) = cpu::rows_and_width(name, x.dims())?;
        if weight.dims() != [width] || bias.is_some_and(|bias| bias.dims() != [width]) {
            let bias = bias.map(Tensor::dims);
            bail!("{name}: inputs {:?}, weight {:?} and bias {bias:?} do not fit together", x.dims(), weight.dims());
        }
        Ok(())
    }

    fn composed(self, x: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
        let x = if self.centered { x.broadcast_sub(&x.mean_keepdim(D::Minus1)?)? } else { x.clone() };
        let deviation = (x.sqr()?.mean_keepdim(D::Minus1)? + self.eps)?.sqrt()?;
        let y = x.broadcast_div(&deviation)?.broadcast_mul(weight)?;
        bias.map_or(Ok(y.clone()), |bias| y.broadcast_add(bias))
    }

    /// What is taken out of a row, and what it is multiplied with.
    #[inline(always)]
    fn statistics<T: Real>(self, row: &[T]) -> (T, T) {
        let count = T::of(row.len() as f64);
        let mean = if self.centered { cpu::sum(row, |x| x) / count } else { T::zero() };
        let variance = cpu::sum(row, |x| (x - mean) * (x - mean)) / count;
        (mean, T::one() / (variance + T::of(self.eps)).sqrt())
    }

    fn forward<T: Real>(self, x: &[T], weight: &[T], bias: Option<&[T]>) -> Vec<T> {
        let width = weight.len();
        let mut result = vec![T::of(0.0); x.len()];
        cpu::for_rows(&mut result, width, |first, rows| {
            cpu::vectorized(
                #[inline(always)]
                || {
                    for (row, y) in x[first * width..].chunks_exact(width).zip(rows.chunks_exact_mut(width)) {
                        let (mean, scale) = self.statistics(row);
                        for ((y, &x), &weight) in y.iter_mut().zip(row).zip(weight) {
                            *y = (x - mean) * scale * weight;
                        }
                        for (y, &bias) in y.iter_mut().zip(bias.unwrap_or_default()) {
                            *y += bias;
                        }
                    }
                },
            );
        });
        result
    }

    /// The gradients of input, weight and bias. With `n = (x - mean) scale` and `h = gradient * weight`, that of the
    /// input is `scale (h - mean(h) - n mean(h n))`, without `mean(h)` where no mean was taken out.
    fn backward<T: Real>(self, x: &[T], weight: &[T], gradient: &[T]) -> (Vec<T>, Vec<T>, Vec<T>) {
        let width = weight.len();
        let parts = cpu::map_rows(x.len() / width, width, |rows| {
            let (x, gradient) = (&x[rows.start * width..rows.end * width], &gradient[rows.start * width..]);
            let mut result = vec![T::of(0.0); x.len()];
            let (mut of_weight, mut of_bias) = (vec![T::of(0.0); width], vec![T::of(0.0); width]);
            cpu::vectorized(
                #[inline(always)]
                || {
                    let inputs = x.chunks_exact(width).zip(gradient.chunks_exact(width));
                    for ((x, gradient), result) in inputs.zip(result.chunks_exact_mut(width)) {
                        let (mean, scale) = self.statistics(x);
                        for ((sum, &x), &g) in of_weight.iter_mut().zip(x).zip(gradient) {
                            *sum += g * ((x - mean) * scale);
                        }
                        for (sum, &g) in of_bias.iter_mut().zip(gradient) {
                            *sum += g;
                        }
                        for ((h, &g), &weight) in result.iter_mut().zip(gradient).zip(weight) {
                            *h = g * weight;
                        }
                        let count = T::of(width as f64);
                        let mean_h = if self.centered { cpu::sum(result, |h| h) / count } else { T::zero() };
                        let mean_hn = cpu::sum2(result, x, |h, x| h * ((x - mean) * scale)) / count;
                        for (h, &x) in result.iter_mut().zip(x) {
                            *h = scale * (*h - mean_h - (x - mean) * scale * mean_hn);
                        }
                    }
                },
            );
            (result, of_weight, of_bias)
        });
        let mut of_input = Vec::with_capacity(x.len());
        let (mut of_weight, mut of_bias) = (Vec::new(), Vec::new());
        for (input, weight, bias) in parts {
            of_input.extend_from_slice(&input);
            of_weight.push(weight);
            of_bias.push(bias);
        }
        (of_input, cpu::total(of_weight, width), cpu::total(of_bias, width))
    }

    fn gradients(self, x: &Tensor, weight: &Tensor, gradient: &Tensor) -> Result<[Tensor; 3]> {
        let gradient = gradient.contiguous()?;
        with_float!("a norm", x.dtype(), T => {
            let (read_x, read_w, read_g) = (Reading::of(x), Reading::of(weight), Reading::of(&gradient));
            let (of_x, of_weight, of_bias) =
                self.backward(read_x.elements::<T>()?, read_w.elements()?, read_g.elements()?);
            Ok([cpu::tensor(of_x, x)?, cpu::tensor(of_weight, weight)?, cpu::tensor(of_bias, weight)?])
        })
    }
}

impl CustomOp2 for Norm {
    fn name(&self) -> &'static str {
        "norm"
    }

    fn cpu_fwd(&self, x: &CpuStorage, xl: &Layout, w: &CpuStorage, wl: &Layout) -> Result<(CpuStorage, Shape)> {
        with_float!("a norm", cpu::dtype(x), T => {
            let y = self.forward::<T>(cpu::elements(x, xl)?, cpu::elements(w, wl)?, None);
            Ok((cpu::storage(y), xl.shape().clone()))
        })
    }

    fn bwd(&self, x: &Tensor, weight: &Tensor, _: &Tensor, g: &Tensor) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let [x, weight, _] = self.gradients(x, weight, g)?;
        Ok((Some(x), Some(weight)))
    }
}

impl CustomOp3 for Norm {
    fn name(&self) -> &'static str {
        "norm"
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
        with_float!("a norm", cpu::dtype(x), T => {
            let y = self.forward::<T>(cpu::elements(x, xl)?, cpu::elements(w, wl)?, Some(cpu::elements(b, bl)?));
            Ok((cpu::storage(y), xl.shape().clone()))
        })
    }

    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        _: &Tensor,
        _: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let [x, weight, bias] = self.gradients(x, weight, gradient)?;
        Ok((Some(x), Some(weight), Some(bias)))
    }
}

struct Softmax;

impl CustomOp1 for Softmax {
    fn name(&self) -> &'static str {
        "softmax"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (_, width) = cpu::rows_and_width("softmax", layout.dims())?;
        with_float!("softmax", cpu::dtype(x), T => {
            let mut y = cpu::elements::<T>(x, layout)?.to_vec();
            cpu::for_rows(&mut y, width, |_, rows| {
                cpu::vectorized(#[inline(always)] || rows.chunks_exact_mut(width).for_each(softmax_of_row));
            });
            Ok((cpu::storage(y), layout.shape().clone()))
        })
    }

    /// `y (gradient - sum(gradient y))`.
    fn bwd(&self, x: &Tensor, y: &Tensor, gradient: &Tensor) -> Result<Option<Tensor>> {
        let (_, width) = cpu::rows_and_width("softmax", x.dims())?;
        let gradient = gradient.contiguous()?;
        with_float!("softmax", x.dtype(), T => {
            let (read_y, read_g) = (Reading::of(y), Reading::of(&gradient));
            let (y, mut result) = (read_y.elements::<T>()?, read_g.elements::<T>()?.to_vec());
            cpu::for_rows(&mut result, width, |first, rows| {
                let inputs = y[first * width..].chunks_exact(width);
                cpu::vectorized(#[inline(always)] || {
                    inputs.zip(rows.chunks_exact_mut(width)).for_each(|(y, g)| softmax_gradient_of_row(y, g));
                });
            });
            cpu::tensor(result, x).map(Some)
        })
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

/// Replaces the gradient of a row's softmax `y` by that of the row.
#[inline(always)]
pub(super) fn softmax_gradient_of_row<T: Real>(y: &[T], gradient: &mut [T]) {
    let along = cpu::sum2(y, gradient, |y, g| y * g);
    for (g, &y) in gradient.iter_mut().zip(y) {
        *g = y * (*g - along);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::testing::{Reference, assert_gradients, assert_same_numbers, numbers};

    #[test]
    fn gradients_agree_with_finite_differences() {
        let (x, weight, bias) = (numbers(&[2, 3, 18], 1), numbers(&[18], 2), numbers(&[18], 3));
        assert_gradients(&[&x, &weight, &bias], |x| layer_norm(&x[0], &x[1], Some(&x[2]), 1e-5));
        assert_gradients(&[&x, &weight], |x| layer_norm(&x[0], &x[1], None, 1e-5));
        assert_gradients(&[&x, &weight], |x| rms_norm(&x[0], &x[1], 1e-6));
        assert_gradients(&[&x], |x| softmax(&x[0]));
    }

    #[test]
    fn values_and_gradients_are_those_of_pytorch() {
        let reference = Reference::open("gpt_reference.safetensors");
        reference.assert("layer_norm", 1e-11, |x| layer_norm(&x[0], &x[1], Some(&x[2]), 1e-5));
        reference.assert("layer_norm_plain", 1e-11, |x| layer_norm(&x[0], &x[1], None, 1e-5));
        reference.assert("rms_norm", 1e-11, |x| rms_norm(&x[0], &x[1], 1e-6));
        reference.assert("softmax", 1e-12, |x| softmax(&x[0]));
    }

    #[test]
    fn the_composed_forms_agree_with_the_fused_ones() {
        let (x, weight, bias) = (numbers(&[90, 500], 1), numbers(&[500], 2), numbers(&[500], 3));
        for (centered, bias) in [(true, Some(&bias)), (true, None), (false, None)] {
            let norm = Norm { centered, eps: 1e-5 };
            let fused = match bias {
                Some(bias) => x.apply_op3(&weight, bias, norm).unwrap(),
                None => x.apply_op2(&weight, norm).unwrap(),
            };
            assert_same_numbers(&fused, &norm.composed(&x, &weight, bias).unwrap(), 1e-12);
        }
        assert_same_numbers(&softmax(&x).unwrap(), &candle_nn::ops::softmax(&x, D::Minus1).unwrap(), 1e-14);
    }

    #[test]
    fn a_softmax_of_large_numbers_is_finite() {
        let x = Tensor::new(&[1e30f32, -1e30, 1e30], &candle_core::Device::Cpu).unwrap();
        assert_eq!(softmax(&x).unwrap().to_vec1::<f32>().unwrap(), [0.5, 0.0, 0.5]);
    }
}
