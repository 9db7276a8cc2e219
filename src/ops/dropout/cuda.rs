//! Dropout on NVIDIA GPUs, by the same words as on the CPU: the same mask, bit for bit.

use candle_core::{Result, Shape, Storage, Tensor};

use super::Mask;
use crate::cuda::{Launch, Output, Place};
use crate::ops::op::DeviceKernel;

impl Mask {
    /// Adds the parameters that every kernel with a mask has.
    pub(in crate::ops) fn add_to<'a>(self, launch: Launch<'a>) -> Result<Launch<'a>> {
        let [low, high] = self.stream.key();
        let launch = launch.word(low).word(high).count(self.step as usize);
        Ok(launch.word(self.threshold()).double(1.0 / (1.0 - self.p)))
    }

    fn on_gpu(self, x: &Tensor) -> Result<Output> {
        let place = Place::of_tensor(x)?;
        let y = place.output(x.dtype(), x.shape())?;
        let launch = Launch::new(&place, "dropout", x.dtype()).read(x)?.output(&y)?.count(x.elem_count());
        self.add_to(launch)?.elements(x.elem_count().div_ceil(4))?;
        Ok(y)
    }
}

impl DeviceKernel for Mask {
    fn forward(&self, inputs: &[Tensor], _: &Shape) -> Result<Storage> {
        Ok(self.on_gpu(&inputs[0])?.into_storage())
    }

    fn backward(&self, _: &[Tensor], _: &Tensor, dy: &Tensor) -> Result<Vec<Option<Tensor>>> {
        Ok(vec![Some(self.on_gpu(dy)?.into_tensor())])
    }
}
