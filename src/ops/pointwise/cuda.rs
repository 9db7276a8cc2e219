//! Functions of each element on NVIDIA GPUs.

use candle_core::{Result, Shape, Storage, Tensor};

use super::{Add, Elementwise, Pointwise, SwiGlu};
use crate::cuda::{Launch, Output, Place};
use crate::ops::op::DeviceKernel;

/// Runs the kernel `name`, whose parameters are the inputs, the result, and the number of elements.
pub(in crate::ops) fn map_on_gpu(name: &str, inputs: &[&Tensor]) -> Result<Output> {
    let (first, place) = (inputs[0], Place::of_tensor(inputs[0])?);
    let result = place.output(first.dtype(), first.shape())?;
    let mut launch = Launch::new(&place, name, first.dtype());
    for x in inputs {
        launch = launch.read(x)?;
    }
    launch.output(&result)?.count(first.elem_count()).elements(first.elem_count())?;
    Ok(result)
}

/// The gradient that passes through the rectifier whose result is `y`.
pub(in crate::ops) fn through_relu(y: &Tensor, dy: &Tensor) -> Result<Tensor> {
    Ok(map_on_gpu("through_relu", &[y, dy])?.into_tensor())
}

impl<F: Pointwise> DeviceKernel for Elementwise<F> {
    fn forward(&self, inputs: &[Tensor], _: &Shape) -> Result<Storage> {
        Ok(map_on_gpu(&format!("{}_forward", F::NAME), &[&inputs[0]])?.into_storage())
    }

    fn backward(&self, inputs: &[Tensor], _: &Tensor, dy: &Tensor) -> Result<Vec<Option<Tensor>>> {
        Ok(vec![Some(map_on_gpu(&format!("{}_backward", F::NAME), &[&inputs[0], dy])?.into_tensor())])
    }
}

impl DeviceKernel for Add {
    fn forward(&self, inputs: &[Tensor], _: &Shape) -> Result<Storage> {
        Ok(map_on_gpu("add", &[&inputs[0], &inputs[1]])?.into_storage())
    }

    fn backward(&self, _: &[Tensor], _: &Tensor, dy: &Tensor) -> Result<Vec<Option<Tensor>>> {
        Ok(vec![Some(dy.clone()), Some(dy.clone())])
    }
}

impl DeviceKernel for SwiGlu {
    fn forward(&self, inputs: &[Tensor], _: &Shape) -> Result<Storage> {
        Ok(map_on_gpu("swiglu_forward", &[&inputs[0], &inputs[1]])?.into_storage())
    }

    fn backward(&self, inputs: &[Tensor], _: &Tensor, dy: &Tensor) -> Result<Vec<Option<Tensor>>> {
        let (gate, up, place) = (&inputs[0], &inputs[1], Place::of_tensor(dy)?);
        let output = |x: &Tensor| x.track_op().then(|| place.output(dy.dtype(), dy.shape())).transpose();
        let (dgate, dup) = (output(gate)?, output(up)?);
        let launch = Launch::new(&place, "swiglu_backward", dy.dtype()).read(gate)?.read(up)?.read(dy)?;
        let launch = launch.output_if(dgate.as_ref())?.output_if(dup.as_ref())?;
        launch.count(dy.elem_count()).elements(dy.elem_count())?;
        Ok(vec![dgate.map(Output::into_tensor), dup.map(Output::into_tensor)])
    }
}
