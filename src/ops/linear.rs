//! Affine map of a layer as one differentiable operation.

mod bf16;
mod cuda;

use candle_core::{DType, Device, Layout, Result, Shape, Tensor, bail};

use super::gemm::{Factor, Finish, product_of_factors};
use super::op::{DeviceKernel, Op, apply, fitting};
use super::operand::{Gradient, Operand};
use super::pointwise::relu_grad;
use crate::cpu::{Real, column_sums, zip};

/// Returns `x weightᵀ + bias` over the last dimension, like `torch.nn.Linear`: `x` is `[…, in]`, `weight` `[out, in]`,
/// `bias` `[out]`, and the result `[…, out]`. Weight and bias are computed in the type of `x`.
///
/// # Errors
/// The shapes do not fit or the device fails.
pub fn linear(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
    Linear { transposed: true, relu: false }.apply(x, weight, bias)
}

/// Returns [`linear`] followed by [`super::relu`], in one operation.
///
/// # Errors
/// As [`linear`].
pub fn linear_relu(x: &Tensor, weight: &Tensor, bias: &Tensor) -> Result<Tensor> {
    Linear { transposed: true, relu: true }.apply(x, weight, Some(bias))
}

/// Returns `x weight + bias` over the last dimension, like the `Conv1D` of Hugging Face's GPT-2: as [`linear`], but
/// `weight` is `[in, out]`.
///
/// # Errors
/// As [`linear`].
pub fn linear_in_out(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
    Linear { transposed: false, relu: false }.apply(x, weight, bias)
}

/// Inputs: `x`, a weight, and optionally a bias. Candle differentiates the same map as four operations, allocates zeros
/// and adds for each, and also computes the gradient of the data. This operation computes only the gradients that are
/// needed, with Candle's matrix product.
#[derive(Clone, Copy)]
struct Linear {
    /// Whether the weight is `[out, in]`.
    transposed: bool,
    /// Whether negative results are set to zero; requires a bias.
    relu: bool,
}

impl Linear {
    fn apply(self, x: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
        let weight = fitting(&self, x, weight)?;
        match bias {
            Some(bias) => apply(self, &[x, &weight, &fitting(&self, x, bias)?]),
            None => apply(self, &[x, &weight]),
        }
    }

    /// Returns the input and output widths from the shape of the weight.
    fn widths(self, weight: &[usize]) -> Result<(usize, usize)> {
        match *weight {
            [first, second] if self.transposed => Ok((second, first)),
            [first, second] => Ok((first, second)),
            _ => bail!("linear: a weight of two dimensions was expected, not of {weight:?}"),
        }
    }

    /// Returns the weight as `[in, out]`, or for the way `back` as `[out, in]`.
    fn weight<T>(self, weight: Operand<'_, T>, back: bool) -> Result<Factor<'_>> {
        let same = self.transposed == back;
        let layout = if same { weight.layout.clone() } else { weight.layout.transpose(0, 1)? };
        Ok(Factor::new(weight.storage, layout))
    }
}

/// Returns an operand as `[rows, width]`.
fn rows<T>(x: Operand<'_, T>, width: usize) -> Factor<'_> {
    let rows = x.elements.len() / width.max(1);
    Factor::new(x.storage, Layout::contiguous_with_offset((rows, width), x.layout.start_offset()))
}

impl Op for Linear {
    fn name(&self) -> &'static str {
        "linear"
    }

    fn shape(&self, inputs: &[&Tensor]) -> Result<Shape> {
        let (x, weight, bias) = (inputs[0].dims(), inputs[1].dims(), inputs.get(2).map(|bias| bias.dims()));
        let (width, outputs) = self.widths(weight)?;
        match x.split_last() {
            Some((last, outer)) if *last == width && bias.is_none_or(|bias| bias == [outputs]) => {
                Ok(Shape::from([outer, &[outputs]].concat()))
            }
            _ => bail!("linear: inputs {x:?}, weight {weight:?} and bias {bias:?} do not fit together"),
        }
    }

    fn forward<T: Real>(&self, inputs: &[Operand<'_, T>]) -> Result<Vec<T>> {
        let (width, _) = self.widths(inputs[1].dims())?;
        let finish = Finish { bias: inputs.get(2).map(|bias| bias.elements), relu: self.relu };
        product_of_factors(&rows(inputs[0], width), &self.weight(inputs[1], false)?, finish)
    }

    fn backward<T: Real>(
        &self,
        inputs: &[Operand<'_, T>],
        y: Operand<'_, T>,
        dy: Operand<'_, T>,
    ) -> Result<Vec<Gradient<T>>> {
        let (x, weight) = (inputs[0], inputs[1]);
        let (width, outputs) = self.widths(weight.dims())?;
        let through_relu = self.relu.then(|| T::to_cpu_storage_owned(zip(y.elements, dy.elements, relu_grad)));
        let dy = match &through_relu {
            Some(storage) => Factor::new(storage, Layout::contiguous((y.elements.len() / outputs.max(1), outputs))),
            None => rows(dy, outputs),
        };
        let dx = || product_of_factors(&dy, &self.weight(weight, true)?, Finish::NONE);
        let dweight = || {
            let x = rows(x, width);
            if self.transposed {
                product_of_factors(&dy.transposed()?, &x, Finish::NONE)
            } else {
                product_of_factors(&x.transposed()?, &dy, Finish::NONE)
            }
        };
        let mut gradients = vec![Gradient::try_of(x, dx)?, Gradient::try_of(weight, dweight)?];
        if let Some(&bias) = inputs.get(2) {
            gradients.push(Gradient::try_of(bias, || Ok(column_sums(dy.elements()?, outputs)))?);
        }
        Ok(gradients)
    }

    fn reference(&self, inputs: &[&Tensor]) -> Result<Tensor> {
        let (x, weight) = (inputs[0], inputs[1]);
        let (width, _) = self.widths(weight.dims())?;
        let weight = if self.transposed { weight.t()? } else { weight.clone() };
        let y = x.reshape(((), width))?.matmul(&weight)?;
        let y = inputs.get(2).map_or(Ok(y.clone()), |bias| y.broadcast_add(bias))?.reshape(self.shape(inputs)?)?;
        if self.relu { super::relu(&y) } else { Ok(y) }
    }

    fn takes_wide_weights(&self) -> bool {
        true
    }

    fn device_kernel(&self, device: &Device, dtype: DType) -> Option<&dyn DeviceKernel> {
        super::bf16::kernel(self, device, dtype)
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device, Var};

    use super::*;
    use crate::ops::testing::{Reference, check, check_nan_before_relu, check_wide_weights, numbers};

    #[test]
    fn every_form_has_its_gradients() {
        let (x, bias) = (numbers(&[2, 3, 4], 1), numbers(&[5], 3));
        for (transposed, relu) in [(true, false), (true, true), (false, false)] {
            let weight = numbers(if transposed { &[5, 4] } else { &[4, 5] }, 2);
            check(Linear { transposed, relu }, &[&x, &weight, &bias], 1e-13);
            check(Linear { transposed, relu: false }, &[&x, &weight], 1e-13);
        }
    }

    #[test]
    fn inputs_of_half_types_take_weights_of_f32() {
        let (x, weight, bias) = (numbers(&[3, 37, 70], 1), numbers(&[45, 70], 2), numbers(&[45], 3));
        check_wide_weights(&[&x, &weight, &bias], |x| linear(&x[0], &x[1], Some(&x[2])));
        check_wide_weights(&[&x, &weight.t().unwrap()], |x| linear_in_out(&x[0], &x[1], None));
        // Far from zero, where rounding does not change a sign.
        let bias = (bias.sign().unwrap() * 60.0).unwrap();
        check_wide_weights(&[&x, &weight, &bias], |x| linear_relu(&x[0], &x[1], &x[2]));
    }

    #[test]
    fn a_nan_before_relu_has_a_gradient() {
        check_nan_before_relu(&[1, 1], |x| linear_relu(&x[0], &x[1], &x[2]));
    }

    #[test]
    fn values_and_gradients_are_those_of_pytorch() {
        let reference = Reference::open("gpt_reference.safetensors");
        reference.assert("linear", 1e-12, |x| linear(&x[0], &x[1], Some(&x[2])));
    }

    #[test]
    fn an_untrained_input_gets_no_gradient() {
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
