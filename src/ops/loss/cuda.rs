//! Losses on NVIDIA GPUs. Sums are in f64, in a fixed order.

use candle_core::{DType, Result, Shape, Storage, Tensor};

use super::binary_cross_entropy::BinaryCrossEntropy;
use super::cross_entropy::CrossEntropy;
use super::squared_error::SquaredError;
use crate::cuda::{Launch, Output, Place, mean_of_parts};
use crate::ops::op::DeviceKernel;
use crate::ops::operand::rows_and_width;

/// Elements whose losses are one part, as `PART_ELEMENTS` in the kernels.
const PART_ELEMENTS: usize = 4096;

impl DeviceKernel for CrossEntropy {
    fn forward(&self, inputs: &[Tensor], _: &Shape) -> Result<Storage> {
        let (logits, place) = (&inputs[0], Place::of_tensor(&inputs[0])?);
        let (rows, classes) = rows_and_width("cross-entropy", logits.dims())?;
        let losses = place.output(DType::F64, rows)?;
        let launch = Launch::new(&place, "cross_entropy_forward", logits.dtype()).read(logits)?.read(&self.targets)?;
        launch.output(&losses)?.count(rows).count(classes).double(self.label_smoothing).rows(rows)?;
        Ok(mean_of_parts(&place, &losses, logits.dtype(), rows, rows)?.into_storage())
    }

    fn backward(&self, inputs: &[Tensor], _: &Tensor, dy: &Tensor) -> Result<Vec<Option<Tensor>>> {
        let (logits, place) = (&inputs[0], Place::of_tensor(&inputs[0])?);
        let (rows, classes) = rows_and_width("cross-entropy", logits.dims())?;
        let dlogits = place.output(logits.dtype(), logits.shape())?;
        let launch = Launch::new(&place, "cross_entropy_backward", logits.dtype()).read(logits)?.read(&self.targets)?;
        let launch = launch.read(dy)?.output(&dlogits)?.count(rows).count(classes);
        launch.double(self.label_smoothing).rows(rows)?;
        Ok(vec![Some(dlogits.into_tensor())])
    }
}

/// The mean of the losses of all elements: `name` is the loss, `smoothing` its last parameter where it has one.
fn mean(name: &str, inputs: &[Tensor], smoothing: Option<f64>) -> Result<Storage> {
    let (outputs, place) = (&inputs[0], Place::of_tensor(&inputs[0])?);
    let (count, parts) = (outputs.elem_count(), outputs.elem_count().div_ceil(PART_ELEMENTS));
    let sums = place.output(DType::F64, parts)?;
    let launch = Launch::new(&place, &format!("{name}_forward"), outputs.dtype()).read(outputs)?.read(&inputs[1])?;
    launch.output(&sums)?.count(count).doubles(smoothing).rows(parts)?;
    Ok(mean_of_parts(&place, &sums, outputs.dtype(), parts, count)?.into_storage())
}

/// The gradients of outputs and targets, where they are needed.
fn gradients(name: &str, inputs: &[Tensor], dy: &Tensor, smoothing: Option<f64>) -> Result<Vec<Option<Tensor>>> {
    let (outputs, targets, place) = (&inputs[0], &inputs[1], Place::of_tensor(&inputs[0])?);
    let output = |x: &Tensor| x.track_op().then(|| place.output(x.dtype(), x.shape())).transpose();
    let (doutputs, dtargets) = (output(outputs)?, output(targets)?);
    let launch = Launch::new(&place, &format!("{name}_backward"), outputs.dtype()).read(outputs)?.read(targets)?;
    let launch = launch.read(dy)?.output_if(doutputs.as_ref())?.output_if(dtargets.as_ref())?;
    launch.count(outputs.elem_count()).doubles(smoothing).elements(outputs.elem_count())?;
    Ok(vec![doutputs.map(Output::into_tensor), dtargets.map(Output::into_tensor)])
}

impl DeviceKernel for BinaryCrossEntropy {
    fn forward(&self, inputs: &[Tensor], _: &Shape) -> Result<Storage> {
        mean("binary_cross_entropy", inputs, Some(self.label_smoothing))
    }

    fn backward(&self, inputs: &[Tensor], _: &Tensor, dy: &Tensor) -> Result<Vec<Option<Tensor>>> {
        gradients("binary_cross_entropy", inputs, dy, Some(self.label_smoothing))
    }
}

impl DeviceKernel for SquaredError {
    fn forward(&self, inputs: &[Tensor], _: &Shape) -> Result<Storage> {
        mean("squared_error", inputs, None)
    }

    fn backward(&self, inputs: &[Tensor], _: &Tensor, dy: &Tensor) -> Result<Vec<Option<Tensor>>> {
        gradients("squared_error", inputs, dy, None)
    }
}
