//! Linear maps on NVIDIA GPUs: Candle's products, and kernels for what follows them.

use candle_core::{Result, Shape, Storage, Tensor};

use super::Linear;
use crate::cuda::{Launch, Output, Place, column_sums};
use crate::ops::op::DeviceKernel;
use crate::ops::pointwise::through_relu;

impl Linear {
    /// The weight as `[in, out]`.
    fn in_out(self, weight: &Tensor) -> Result<Tensor> {
        let weight = weight.detach();
        if self.transposed { weight.t() } else { Ok(weight) }
    }
}

impl DeviceKernel for Linear {
    fn forward(&self, inputs: &[Tensor], shape: &Shape) -> Result<Storage> {
        let (x, place) = (inputs[0].detach(), Place::of_tensor(&inputs[0])?);
        let (width, outputs) = self.widths(inputs[1].dims())?;
        let rows = x.elem_count() / width.max(1);
        let y = place.product(&x.reshape((rows, width))?, &self.in_out(&inputs[1])?)?;
        if let Some(bias) = inputs.get(2) {
            let name = if self.relu { "bias_relu" } else { "bias" };
            let launch = Launch::new(&place, name, x.dtype()).output(&y)?.read(bias)?;
            launch.count(shape.elem_count()).small(outputs)?.small(1)?.elements(shape.elem_count())?;
        }
        Ok(y.into_storage())
    }

    fn backward(&self, inputs: &[Tensor], y: &Tensor, dy: &Tensor) -> Result<Vec<Option<Tensor>>> {
        let (x, weight, place) = (inputs[0].detach(), &inputs[1], Place::of_tensor(dy)?);
        let (width, outputs) = self.widths(weight.dims())?;
        let rows = x.elem_count() / width.max(1);
        let dy = if self.relu { through_relu(y, dy)? } else { dy.clone() };
        let (x, dy) = (x.reshape((rows, width))?, dy.detach().reshape((rows, outputs))?);
        let dx = || place.product(&dy, &self.in_out(weight)?.t()?)?.into_tensor().reshape(inputs[0].shape());
        let dweight = || {
            let (left, right) = if self.transposed { (&dy, &x) } else { (&x, &dy) };
            place.product(&left.t()?, right).map(Output::into_tensor)
        };
        let mut gradients =
            vec![inputs[0].track_op().then(dx).transpose()?, weight.track_op().then(dweight).transpose()?];
        if let Some(bias) = inputs.get(2) {
            gradients.push(bias.track_op().then(|| column_sums(&place, &dy, rows, outputs)).transpose()?);
        }
        Ok(gradients)
    }
}
