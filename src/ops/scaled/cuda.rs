//! A product with a number on NVIDIA GPUs.

use candle_core::{Result, Shape, Storage, Tensor};

use super::Scaled;
use crate::cuda::{Launch, Output, Place};
use crate::ops::op::DeviceKernel;

impl Scaled {
    fn on_gpu(&self, x: &Tensor) -> Result<Output> {
        let place = Place::of_tensor(x)?;
        let y = place.output(x.dtype(), x.shape())?;
        let launch = Launch::new(&place, "scaled", x.dtype()).read(x)?.output(&y)?.count(x.elem_count());
        launch.double(self.0).elements(x.elem_count())?;
        Ok(y)
    }
}

impl DeviceKernel for Scaled {
    fn forward(&self, inputs: &[Tensor], _: &Shape) -> Result<Storage> {
        Ok(self.on_gpu(&inputs[0])?.into_storage())
    }

    fn backward(&self, _: &[Tensor], _: &Tensor, dy: &Tensor) -> Result<Vec<Option<Tensor>>> {
        Ok(vec![Some(self.on_gpu(dy)?.into_tensor())])
    }
}
