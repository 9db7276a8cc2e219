//! Batch norm of a half type by weights in f32, on the CPU: elements are widened as they are read.

use std::sync::Arc;

use candle_core::{DType, Result, Storage, Tensor};
use half::{bf16, f16};

use super::Normalize;
use crate::cpu::Half;
use crate::ops::graph::{Differentiable, attach};
use crate::ops::op::Op;
use crate::ops::operand::{Gradient, Reading};

/// Inputs: `x` of a half type; weight and bias in f32.
struct HalfNormalize(Arc<Normalize>);

/// Returns the result in the type of `x`: that of `x` in f32, rounded.
pub(super) fn normalize(normalize: Arc<Normalize>, inputs: &[&Tensor; 3]) -> Result<Tensor> {
    let shape = normalize.shape(inputs)?;
    let inputs = inputs.iter().map(|x| x.contiguous()).collect::<Result<Vec<_>>>()?;
    let y = match inputs[0].dtype() {
        DType::BF16 => forward::<bf16>(&normalize, &inputs)?,
        _ => forward::<f16>(&normalize, &inputs)?,
    };
    attach(Arc::new(HalfNormalize(normalize)), inputs, y, shape)
}

fn forward<H: Half>(normalize: &Normalize, inputs: &[Tensor]) -> Result<Storage> {
    let (x, weight, bias) = (Reading::of(&inputs[0]), Reading::of(&inputs[1]), Reading::of(&inputs[2]));
    let y = normalize.normalized::<f32, H>(x.operand()?, weight.elements()?, bias.elements()?)?;
    Ok(Storage::Cpu(H::to_cpu_storage_owned(y)))
}

fn backward<H: Half>(normalize: &Normalize, inputs: &[Tensor], dy: &Tensor) -> Result<Vec<Option<Tensor>>> {
    let (x, weight, read_dy) = (Reading::of(&inputs[0]), Reading::of(&inputs[1]), Reading::of(dy));
    let (dx, [dweight, dbias]) = normalize.gradients::<f32, H>(x.operand()?, weight.elements()?, read_dy.operand()?)?;
    Ok(vec![
        dx.into_tensor(&inputs[0], dy)?,
        Gradient::Elements(dweight).into_tensor(&inputs[1], dy)?,
        Gradient::Elements(dbias).into_tensor(&inputs[2], dy)?,
    ])
}

impl Differentiable for HalfNormalize {
    fn name(&self) -> &'static str {
        Op::name(&*self.0)
    }

    fn backward(&self, inputs: &[Tensor], _: &Tensor, dy: &Tensor) -> Result<Vec<Option<Tensor>>> {
        let dy = dy.contiguous()?;
        match dy.dtype() {
            DType::BF16 => backward::<bf16>(&self.0, inputs, &dy),
            _ => backward::<f16>(&self.0, inputs, &dy),
        }
    }
}
