//! Rotary positions on NVIDIA GPUs.

use candle_core::{Result, Shape, Storage, Tensor};

use super::Rotation;
use crate::cuda::{Launch, Output, Place, wide};
use crate::ops::op::DeviceKernel;

impl Rotation {
    /// Turns `x` by the angles, or with a `sign` of -1 back.
    fn on_gpu(&self, x: &Tensor, sign: f64) -> Result<Output> {
        let place = Place::of_tensor(x)?;
        let (batch, context, width) = x.dims3()?;
        let (cosines, sines) = self.table::<f64>(context);
        let table = |values: Vec<f64>| {
            let count = values.len();
            Tensor::from_vec(values, count, x.device())?.to_dtype(wide(x.dtype()))
        };
        let (cosines, sines) = (table(cosines)?, table(sines)?);
        let y = place.output(x.dtype(), x.shape())?;
        let launch = Launch::new(&place, "rotary", x.dtype()).read(x)?.read(&cosines)?.read(&sines)?.output(&y)?;
        let launch = launch.count(batch * context).count(context).count(width).count(self.size).double(sign);
        launch.elements(x.elem_count() / 2)?;
        Ok(y)
    }
}

impl DeviceKernel for Rotation {
    fn forward(&self, inputs: &[Tensor], _: &Shape) -> Result<Storage> {
        Ok(self.on_gpu(&inputs[0], 1.0)?.into_storage())
    }

    fn backward(&self, _: &[Tensor], _: &Tensor, dy: &Tensor) -> Result<Vec<Option<Tensor>>> {
        Ok(vec![Some(self.on_gpu(dy, -1.0)?.into_tensor())])
    }
}
