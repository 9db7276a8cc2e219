//! Linear maps of bf16 on a CPU that multiplies it. The weights may be of f32: they are rounded as they are read, and
//! their gradient is f32.

use candle_core::{CpuStorage, Layout, Result, Shape, Storage, Tensor};
use half::bf16;

use super::Linear;
use crate::cpu::{Half, column_sums_by, zip};
use crate::ops::bf16::{InBf16, in_f32, of_weight, product};
use crate::ops::gemm::Factor;
use crate::ops::op::DeviceKernel;
use crate::ops::operand::Reading;
use crate::ops::widened::tensor;

impl InBf16<Linear> {
    /// The weight as `[in, out]`, or for the way `back` as `[out, in]`.
    fn weight<'a>(&self, weight: &'a Reading<'_>, back: bool) -> Result<Factor<'a>> {
        let same = self.0.transposed == back;
        let (storage, layout) = weight.on_cpu()?;
        Ok(Factor::new(storage, if same { layout.clone() } else { layout.transpose(0, 1)? }))
    }
}

/// Returns a tensor as `[rows, width]`.
fn rows<'a>(x: &'a Reading<'_>, width: usize) -> Result<Factor<'a>> {
    let (storage, layout) = x.on_cpu()?;
    let rows = layout.shape().elem_count() / width.max(1);
    Ok(Factor::new(storage, Layout::contiguous_with_offset((rows, width), layout.start_offset())))
}

impl DeviceKernel for InBf16<Linear> {
    fn forward(&self, inputs: &[Tensor], _: &Shape) -> Result<Storage> {
        let (width, _) = self.0.widths(inputs[1].dims())?;
        let (x, weight) = (Reading::of(&inputs[0]), Reading::of(&inputs[1]));
        let bias = inputs.get(2).map(in_f32).transpose()?;
        let (x, weight) = (rows(&x, width)?, self.weight(&weight, false)?);
        product(&x, &weight, inputs[0].dtype(), bias.as_deref(), self.0.relu).map(Storage::Cpu)
    }

    fn backward(&self, inputs: &[Tensor], y: &Tensor, dy: &Tensor) -> Result<Vec<Option<Tensor>>> {
        let (width, outputs) = self.0.widths(inputs[1].dims())?;
        let (x, weight) = (Reading::of(&inputs[0]), Reading::of(&inputs[1]));
        let (on_y, on_dy) = (Reading::of(y), Reading::of(dy));
        let through_relu = match self.0.relu {
            true => {
                let through = |y: bf16, dy: bf16| if y.widened() <= 0.0 { bf16::ZERO } else { dy };
                Some(CpuStorage::BF16(zip(on_y.elements()?, on_dy.elements()?, through)))
            }
            false => None,
        };
        let dy = match &through_relu {
            Some(dy) => Factor::new(dy, Layout::contiguous((y.elem_count() / outputs.max(1), outputs))),
            None => rows(&on_dy, outputs)?,
        };
        let of = |input: &Tensor, elements: Result<CpuStorage>| tensor(elements?, input.shape());
        let dx = || of(&inputs[0], product(&dy, &self.weight(&weight, true)?, inputs[0].dtype(), None, false));
        let dweight = || {
            let x = rows(&x, width)?;
            let (left, right) = match self.0.transposed {
                true => (dy.transposed()?, x),
                false => (x.transposed()?, dy.clone()),
            };
            of(&inputs[1], product(&left, &right, inputs[1].dtype(), None, false))
        };
        let mut gradients =
            vec![inputs[0].track_op().then(dx).transpose()?, inputs[1].track_op().then(dweight).transpose()?];
        if let Some(bias) = inputs.get(2) {
            let dbias = || of_weight(bias, column_sums_by(dy.elements::<bf16>()?, outputs, Half::widened));
            gradients.push(bias.track_op().then(dbias).transpose()?);
        }
        Ok(gradients)
    }
}
