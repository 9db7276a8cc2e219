//! Stochastic depth on NVIDIA GPUs, by the same words as on the CPU.

use candle_core::{Result, Shape, Storage, Tensor};

use super::DropPath;
use crate::cuda::{Launch, Output, Place};
use crate::ops::op::DeviceKernel;

/// Elements of a thread, as `TOGETHER` in `drop_path` of `kernels/dropout.cu`.
const TOGETHER: usize = 16;

impl DropPath {
    fn on_gpu(&self, x: &Tensor) -> Result<Output> {
        let (place, rows) = (Place::of_tensor(x)?, x.dim(0)?);
        let y = place.output(x.dtype(), x.shape())?;
        let length = x.elem_count() / rows.max(1);
        let launch = Launch::new(&place, "drop_path", x.dtype()).read(x)?.output(&y)?.count(rows).count(length);
        self.0.add_to(launch)?.elements(rows * length.div_ceil(TOGETHER))?;
        Ok(y)
    }
}

impl DeviceKernel for DropPath {
    fn forward(&self, inputs: &[Tensor], _: &Shape) -> Result<Storage> {
        Ok(self.on_gpu(&inputs[0])?.into_storage())
    }

    fn backward(&self, _: &[Tensor], _: &Tensor, dy: &Tensor) -> Result<Vec<Option<Tensor>>> {
        Ok(vec![Some(self.on_gpu(dy)?.into_tensor())])
    }
}
