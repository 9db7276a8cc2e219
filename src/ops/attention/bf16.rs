//! Attention in bf16 on a CPU that multiplies it: scores, probabilities and sums are f32.

use candle_core::{CpuStorage, Result, Shape, Storage, Tensor};
use half::bf16;

use super::Attention;
use crate::ops::bf16::InBf16;
use crate::ops::op::DeviceKernel;
use crate::ops::operand::Reading;

impl DeviceKernel for InBf16<Attention> {
    fn forward(&self, inputs: &[Tensor], _: &Shape) -> Result<Storage> {
        let readings: Vec<_> = inputs.iter().map(Reading::of).collect();
        let operands = readings.iter().map(Reading::operand::<bf16>).collect::<Result<Vec<_>>>()?;
        Ok(Storage::Cpu(CpuStorage::BF16(self.0.attend(&self.0.inputs(&operands)?))))
    }

    fn backward(&self, inputs: &[Tensor], _: &Tensor, dy: &Tensor) -> Result<Vec<Option<Tensor>>> {
        let (readings, dy) = (inputs.iter().map(Reading::of).collect::<Vec<_>>(), Reading::of(dy));
        let operands = readings.iter().map(Reading::operand::<bf16>).collect::<Result<Vec<_>>>()?;
        let gradients = self.0.gradients_of_inputs(&operands, dy.elements()?)?;
        let tensors = inputs.iter().zip(gradients).map(|(x, gradient)| {
            let gradient = || Tensor::from_vec(gradient, x.shape(), x.device());
            x.track_op().then(gradient).transpose()
        });
        tensors.collect()
    }
}
