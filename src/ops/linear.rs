//! The affine map of a layer, in one differentiable operation.

use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, CustomOp2, CustomOp3, Layout, Result, Shape, Tensor, bail};

use super::cpu::{self, Reading, column_sums, for_rows, with_float, zip};
use super::math::Real;
use super::pointwise::{passed, rectified};
use super::tape::{apply2, apply3};

/// `x weightᵀ + bias` over the last dimension, as `torch.nn.Linear`: `x` is `[…, in]`, `weight` `[out, in]`, `bias`
/// `[out]`, and the result `[…, out]`.
///
/// # Errors
/// When the shapes do not fit or the device fails.
pub fn linear(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
    Affine { transposed: true, relu: false }.apply(x, weight, bias)
}

/// [`linear`] and then [`super::relu`], in one operation.
///
/// # Errors
/// As [`linear`].
pub fn linear_relu(x: &Tensor, weight: &Tensor, bias: &Tensor) -> Result<Tensor> {
    Affine { transposed: true, relu: true }.apply(x, weight, Some(bias))
}

/// `x weight + bias` over the last dimension, as the `Conv1D` of Hugging Face's GPT-2: as [`linear`], but `weight` is
/// `[in, out]`.
///
/// # Errors
/// As [`linear`].
pub fn affine(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
    Affine { transposed: false, relu: false }.apply(x, weight, bias)
}

/// Candle differentiates the same map as four operations, makes zeros and adds for each, and computes the gradient of
/// inputs that nobody asks for. Here a gradient is computed where it is needed, and the products are Candle's own.
#[derive(Clone, Copy)]
struct Affine {
    /// Whether the weight is `[out, in]`.
    transposed: bool,
    /// Whether negative results are set to zero; then there is a bias.
    relu: bool,
}

impl Affine {
    fn apply(self, x: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
        self.check(x, weight, bias)?;
        if !cpu::is_fused(x) {
            return self.composed(x, weight, bias);
        }
        let x = x.contiguous()?;
        match bias {
            Some(bias) => apply3(&x, weight, &bias.contiguous()?, self),
            None => apply2(&x, weight, self),
        }
    }

    fn check(self, x: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Result<()> {
        let (inputs, outputs) = self.widths(weight.dims2()?);
        if x.dims().last() != Some(&inputs) || bias.is_some_and(|bias| bias.dims() != [outputs]) {
            let bias = bias.map(Tensor::dims);
            bail!("linear: inputs {:?}, weight {:?} and bias {bias:?} do not fit together", x.dims(), weight.dims());
        }
        Ok(())
    }

    /// Numbers in and out, from the shape of the weight.
    fn widths(self, (first, second): (usize, usize)) -> (usize, usize) {
        if self.transposed { (second, first) } else { (first, second) }
    }

    fn composed(self, x: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
        let (inputs, outputs) = self.widths(weight.dims2()?);
        let weight = if self.transposed { weight.t()? } else { weight.clone() };
        let y = x.reshape(((), inputs))?.matmul(&weight)?;
        let y = bias.map_or(Ok(y.clone()), |bias| y.broadcast_add(bias))?.reshape(with_last(x.dims(), outputs))?;
        if self.relu { super::relu(&y) } else { Ok(y) }
    }

    fn product(self, x: &CpuStorage, xl: &Layout, w: &CpuStorage, wl: &Layout) -> Result<(CpuStorage, Shape)> {
        let (inputs, outputs) = self.widths(wl.shape().dims2()?);
        let rows = xl.shape().elem_count() / inputs.max(1);
        let flat = Layout::contiguous_with_offset((rows, inputs), xl.start_offset());
        let weight = if self.transposed { wl.transpose(0, 1)? } else { wl.clone() };
        let y = x.matmul(w, (1, rows, outputs, inputs), &flat, &weight)?;
        Ok((y, with_last(xl.dims(), outputs)))
    }

    /// What follows the product.
    fn finish<T: Real>(self, y: &mut [T], bias: &[T]) {
        for_rows(y, bias.len(), |_, rows| {
            cpu::vectorized(
                #[inline(always)]
                || {
                    for row in rows.chunks_exact_mut(bias.len()) {
                        for (y, &bias) in row.iter_mut().zip(bias) {
                            *y = if self.relu { rectified(*y + bias) } else { *y + bias };
                        }
                    }
                },
            );
        });
    }

    /// The gradients of input and weight, those that are needed.
    fn gradients(
        self,
        x: &Tensor,
        weight: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Tensor, Option<Tensor>, Option<Tensor>)> {
        let (inputs, outputs) = self.widths(weight.dims2()?);
        let gradient = gradient.contiguous()?.reshape(((), outputs))?;
        let of_input = || {
            let weight = weight.detach();
            gradient.matmul(&if self.transposed { weight } else { weight.t()? })?.reshape(x.shape())
        };
        let of_weight = || {
            let x = x.detach().reshape(((), inputs))?;
            if self.transposed { gradient.t()?.matmul(&x) } else { x.t()?.matmul(&gradient) }
        };
        let x = x.track_op().then(of_input).transpose()?;
        let weight = weight.track_op().then(of_weight).transpose()?;
        Ok((gradient, x, weight))
    }
}

impl CustomOp2 for Affine {
    fn name(&self) -> &'static str {
        "linear"
    }

    fn cpu_fwd(&self, x: &CpuStorage, xl: &Layout, w: &CpuStorage, wl: &Layout) -> Result<(CpuStorage, Shape)> {
        self.product(x, xl, w, wl)
    }

    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        _: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let (_, x, weight) = self.gradients(x, weight, gradient)?;
        Ok((x, weight))
    }
}

impl CustomOp3 for Affine {
    fn name(&self) -> &'static str {
        "linear"
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
        let (mut y, shape) = self.product(x, xl, w, wl)?;
        match &mut y {
            CpuStorage::F32(y) => self.finish(y, cpu::elements(b, bl)?),
            CpuStorage::F64(y) => self.finish(y, cpu::elements(b, bl)?),
            other => bail!("linear needs f32 or f64, not {:?}", other.dtype()),
        }
        Ok((y, shape))
    }

    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        bias: &Tensor,
        y: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let gradient = if self.relu { &through_relu(y, &gradient.contiguous()?)? } else { gradient };
        let (gradient, x, weight) = self.gradients(x, weight, gradient)?;
        let of_bias = || {
            with_float!("linear", gradient.dtype(), T => {
                let sums = column_sums(Reading::of(&gradient).elements::<T>()?, bias.elem_count());
                cpu::tensor(sums, bias)
            })
        };
        let bias = bias.track_op().then(of_bias).transpose()?;
        Ok((x, weight, bias))
    }
}

fn with_last(dims: &[usize], width: usize) -> Shape {
    let outer = &dims[..dims.len().saturating_sub(1)];
    Shape::from([outer, &[width]].concat())
}

/// The gradient that passes through a rectifier whose results are `y`.
fn through_relu(y: &Tensor, gradient: &Tensor) -> Result<Tensor> {
    with_float!("linear", y.dtype(), T => {
        let (read_y, read_g) = (Reading::of(y), Reading::of(gradient));
        cpu::tensor(zip(read_y.elements::<T>()?, read_g.elements()?, passed), y)
    })
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device, Var};

    use super::*;
    use crate::ops::testing::{Reference, assert_gradients, assert_same_numbers, numbers};

    #[test]
    fn gradients_agree_with_finite_differences() {
        let (x, bias) = (numbers(&[2, 3, 4], 1), numbers(&[5], 3));
        for (map, shape) in [(linear as fn(&_, &_, Option<&_>) -> _, [5, 4]), (affine, [4, 5])] {
            let weight = numbers(&shape, 2);
            assert_gradients(&[&x, &weight, &bias], |x| map(&x[0], &x[1], Some(&x[2])));
            assert_gradients(&[&x, &weight], |x| map(&x[0], &x[1], None));
        }
        let weight = numbers(&[5, 4], 2);
        assert_gradients(&[&x, &weight, &bias], |x| linear_relu(&x[0], &x[1], &x[2]));
    }

    #[test]
    fn values_and_gradients_are_those_of_pytorch() {
        let reference = Reference::open("gpt_reference.safetensors");
        reference.assert("linear", 1e-12, |x| linear(&x[0], &x[1], Some(&x[2])));
    }

    #[test]
    fn the_composed_form_agrees_with_the_fused_one() {
        let (x, weight, bias) = (numbers(&[7, 2, 6], 1), numbers(&[9, 6], 2), numbers(&[9], 3));
        for (transposed, relu) in [(true, false), (true, true), (false, false)] {
            let weight = if transposed { weight.clone() } else { weight.t().unwrap() };
            let affine = Affine { transposed, relu };
            let fused = affine.apply(&x, &weight, Some(&bias)).unwrap();
            assert_same_numbers(&fused, &affine.composed(&x, &weight, Some(&bias)).unwrap(), 1e-14);
        }
    }

    #[test]
    fn an_input_that_nobody_trains_gets_no_gradient() {
        let x = Tensor::ones((3, 2), DType::F32, &Device::Cpu).unwrap();
        let weight = Var::ones((4, 2), DType::F32, &Device::Cpu).unwrap();
        let bias = Var::ones(4, DType::F32, &Device::Cpu).unwrap();
        let loss = linear(&x, &weight, Some(&bias)).unwrap().sum_all().unwrap();
        let gradients = loss.backward().unwrap();
        assert!(gradients.get(&x).is_none());
        assert_eq!(gradients.get(&bias).unwrap().to_vec1::<f32>().unwrap(), [3.0; 4]);
    }

    #[test]
    fn shapes_that_do_not_fit_are_refused_with_all_of_them() {
        let (x, weight, bias) = (numbers(&[3, 4], 1), numbers(&[5, 3], 2), numbers(&[5], 3));
        let message = linear(&x, &weight, Some(&bias)).unwrap_err().to_string();
        assert!(message.contains("[3, 4]") && message.contains("[5, 3]") && message.contains("[5]"), "{message}");
    }
}
