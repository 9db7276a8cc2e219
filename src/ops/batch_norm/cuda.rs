//! Batch normalization on NVIDIA GPUs. Statistics and sums over a channel are in f64.

use candle_core::{DType, Result, Shape, Storage, Tensor};

use super::Normalize;
use super::channels::Dims;
use crate::cuda::{Launch, Output, Place};
use crate::ops::op::DeviceKernel;
use crate::ops::pointwise::{map_on_gpu, through_relu};

impl Normalize {
    /// The mean of each channel, and one over its deviation, in f64.
    fn in_f64(&self) -> Result<[Tensor; 2]> {
        let statistics = self.statistics()?;
        let variance = statistics.variance.to_dtype(DType::F64)?;
        Ok([statistics.mean.to_dtype(DType::F64)?, (variance + self.eps)?.sqrt()?.recip()?])
    }

    fn keep_those_of(&self, place: &Place, x: &Tensor, dims: &Dims) -> Result<()> {
        let output = || place.output(DType::F64, dims.channels);
        let (means, variances, inverses) = (output()?, output()?, output()?);
        let launch = Launch::new(place, "batch_norm_statistics", x.dtype()).read(x)?.output(&means)?;
        let launch = launch.output(&variances)?.output(&inverses)?;
        let launch = launch.count(dims.rows).count(dims.channels).count(dims.plane).double(self.eps);
        launch.rows(dims.channels)?;
        self.keep(means.into_tensor(), variances.into_tensor(), None);
        Ok(())
    }
}

/// Adds to a result and applies a ReLU, each by its own kernel.
fn finish(y: Output, added: Option<&Tensor>, relu: bool) -> Result<Storage> {
    let y = match added {
        Some(added) => map_on_gpu("add", &[&y.into_tensor(), added])?,
        None => y,
    };
    Ok(if relu { map_on_gpu("relu_forward", &[&y.into_tensor()])? } else { y }.into_storage())
}

impl DeviceKernel for Normalize {
    fn forward(&self, inputs: &[Tensor], shape: &Shape) -> Result<Storage> {
        let (x, dims, place) = (&inputs[0], Dims::of(inputs[0].dims()), Place::of_tensor(&inputs[0])?);
        if self.of_batch {
            self.keep_those_of(&place, x, &dims)?;
        }
        let [means, inverses] = self.in_f64()?;
        let y = place.output(x.dtype(), shape)?;
        let launch = Launch::new(&place, "batch_norm_forward", x.dtype()).read(x)?.read(&means)?.read(&inverses)?;
        let launch = launch.read(&inputs[1])?.read(&inputs[2])?.output(&y)?.count(x.elem_count());
        launch.count(dims.channels).count(dims.plane).elements(x.elem_count())?;
        finish(y, inputs.get(3), self.relu)
    }

    fn backward(&self, inputs: &[Tensor], y: &Tensor, dy: &Tensor) -> Result<Vec<Option<Tensor>>> {
        let dy = &if self.relu { through_relu(y, dy)? } else { dy.clone() };
        let (x, dims, place) = (&inputs[0], Dims::of(inputs[0].dims()), Place::of_tensor(&inputs[0])?);
        let [means, inverses] = self.in_f64()?;
        let sums = place.output(DType::F64, (dims.channels, 2))?;
        let of_channels = || place.output(x.dtype(), dims.channels);
        let (dx, dweight, dbias) = (place.output(x.dtype(), x.shape())?, of_channels()?, of_channels()?);
        let statistics =
            |pass: &str| Launch::new(&place, pass, x.dtype()).read(x)?.read(dy)?.read(&means)?.read(&inverses);
        let launch = statistics("batch_norm_sums")?.output(&sums)?.output(&dweight)?.output(&dbias)?;
        let launch = launch.count(dims.rows).count(dims.channels).count(dims.plane);
        launch.rows(dims.channels)?;
        let launch = statistics("batch_norm_backward")?.read(&inputs[1])?;
        let launch = launch.output_if(self.of_batch.then_some(&sums))?.output(&dx)?.count(x.elem_count());
        launch.count(dims.channels).count(dims.plane).elements(x.elem_count())?;
        let of_norm = [dx, dweight, dbias].map(Output::into_tensor);
        Ok(of_norm.into_iter().chain([dy.clone()]).take(inputs.len()).map(Some).collect())
    }
}
