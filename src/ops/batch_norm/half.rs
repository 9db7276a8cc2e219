//! Batch norm of a half type by weights in f32, on the CPU: elements are widened as they are read.

use std::sync::Arc;

use candle_core::{DType, Result, Storage, Tensor};
use half::{bf16, f16};

use super::Normalize;
use crate::cpu::Half;
use crate::ops::graph::{Differentiable, attach};
use crate::ops::op::Op;
use crate::ops::operand::{Gradient, Reading};

/// Inputs: `x` of a half type; weight and bias in f32; perhaps what is added, of the type of `x`.
struct HalfNormalize(Arc<Normalize>);

/// Returns the result in the type of `x`: that of `x` in f32, rounded.
pub(super) fn normalize(normalize: Arc<Normalize>, inputs: [&Tensor; 3], added: Option<&Tensor>) -> Result<Tensor> {
    let inputs: Vec<&Tensor> = inputs.into_iter().chain(added).collect();
    let shape = normalize.shape(&inputs)?;
    let inputs = inputs.iter().map(|x| x.contiguous()).collect::<Result<Vec<_>>>()?;
    let y = match inputs[0].dtype() {
        DType::BF16 => forward::<bf16>(&normalize, &inputs)?,
        _ => forward::<f16>(&normalize, &inputs)?,
    };
    attach(Arc::new(HalfNormalize(normalize)), inputs, y, shape)
}

fn forward<H: Half>(normalize: &Normalize, inputs: &[Tensor]) -> Result<Storage> {
    let (x, weight, bias) = (Reading::of(&inputs[0]), Reading::of(&inputs[1]), Reading::of(&inputs[2]));
    let (weights, added) = ([weight.elements()?, bias.elements()?], inputs.get(3).map(Reading::of));
    let added = added.as_ref().map(Reading::elements).transpose()?;
    let y = normalize.normalized::<f32, H>(x.operand()?, weights, added)?;
    Ok(Storage::Cpu(H::to_cpu_storage_owned(y)))
}

fn backward<H: Half>(normalize: &Normalize, inputs: &[Tensor], y: &Tensor, dy: &Tensor) -> Result<Vec<Option<Tensor>>> {
    let (x, weight, added) = (Reading::of(&inputs[0]), Reading::of(&inputs[1]), inputs.get(3).map(Reading::of));
    let (read_y, read_dy) = (Reading::of(y), Reading::of(dy));
    let added = added.as_ref().map(Reading::operand).transpose()?;
    let output = [read_y.operand()?, read_dy.operand()?];
    let ([dx, dadded], of_weights) = normalize.gradients::<f32, H>(x.operand()?, weight.elements()?, added, output)?;
    let [dweight, dbias] = of_weights.map(Gradient::Elements);
    let mut gradients =
        vec![dx.into_tensor(&inputs[0], dy)?, dweight.into_tensor(&inputs[1], dy)?, dbias.into_tensor(&inputs[2], dy)?];
    if let Some(added) = inputs.get(3) {
        gradients.push(dadded.into_tensor(added, dy)?);
    }
    Ok(gradients)
}

impl Differentiable for HalfNormalize {
    fn name(&self) -> &'static str {
        Op::name(&*self.0)
    }

    fn backward(&self, inputs: &[Tensor], y: &Tensor, dy: &Tensor) -> Result<Vec<Option<Tensor>>> {
        let dy = dy.contiguous()?;
        match dy.dtype() {
            DType::BF16 => backward::<bf16>(&self.0, inputs, y, &dy),
            _ => backward::<f16>(&self.0, inputs, y, &dy),
        }
    }
}
