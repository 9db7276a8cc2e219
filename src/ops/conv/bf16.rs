//! Convolutions of bf16 on a CPU that multiplies it. Weights may be of f32; their gradients are sums of f32.

use candle_core::{CpuStorage, DType, Result, Shape, Storage, Tensor};
use half::bf16;

use super::Conv2d;
use super::cpu::Needed;
use crate::cpu::round;
use crate::ops::bf16::{InBf16, in_f32, of_weight};
use crate::ops::op::DeviceKernel;
use crate::ops::operand::Reading;
use crate::ops::widened::tensor;

/// The elements of a weight in bf16.
fn in_bf16(weight: &Tensor) -> Result<Vec<bf16>> {
    match weight.dtype() {
        DType::F32 => Ok(round(Reading::of(weight).elements()?)),
        _ => Ok(Reading::of(weight).elements::<bf16>()?.to_vec()),
    }
}

impl DeviceKernel for InBf16<Conv2d> {
    fn forward(&self, inputs: &[Tensor], _: &Shape) -> Result<Storage> {
        let geometry = self.0.geometry(inputs.iter().map(|x| x.dims()))?;
        let (x, weight, bias) = (Reading::of(&inputs[0]), in_bf16(&inputs[1])?, inputs.get(2).map(in_f32).transpose()?);
        Ok(Storage::Cpu(CpuStorage::BF16(geometry.convolve(x.elements()?, &weight, bias.as_deref()))))
    }

    fn backward(&self, inputs: &[Tensor], y: &Tensor, dy: &Tensor) -> Result<Vec<Option<Tensor>>> {
        let geometry = self.0.geometry(inputs.iter().map(|x| x.dims()))?;
        let bias = inputs.get(2).is_some_and(Tensor::track_op);
        let needed = Needed { x: inputs[0].track_op(), weight: inputs[1].track_op(), bias };
        let (x, weight, y, dy) = (Reading::of(&inputs[0]), in_bf16(&inputs[1])?, Reading::of(y), Reading::of(dy));
        let operands = (x.elements::<bf16>()?, &weight[..], y.elements()?, dy.elements()?);
        let (dx, dweight, dbias) = geometry.gradients(operands, needed);
        let dx = needed.x.then(|| tensor(CpuStorage::BF16(dx), inputs[0].shape())).transpose()?;
        let mut gradients = vec![dx, needed.weight.then(|| of_weight(&inputs[1], dweight)).transpose()?];
        if let Some(bias) = inputs.get(2) {
            gradients.push(needed.bias.then(|| of_weight(bias, dbias)).transpose()?);
        }
        Ok(gradients)
    }
}
