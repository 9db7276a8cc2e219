//! Batch normalization: Ioffe and Szegedy, ICML 2015.

mod cpu;
mod cuda;
mod half;
#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex, PoisonError};

use candle_core::{DType, Device, Result, Shape, Tensor, Var, bail};

use super::cast;
use super::op::{DeviceKernel, Op, apply_shared};
use super::operand::{Gradient, Operand};
use super::widened::is_half_by_f32;
use crate::cpu::{Loads, Real};
use crate::cuda::Place;
use cpu::{Dims, Normalization};

/// Batch normalization: each channel is normalized to mean 0 and variance 1, then scaled and shifted, like
/// `torch.nn.BatchNorm1d` and `BatchNorm2d`.
///
/// Training uses the mean and variance of the batch and moves the running ones towards them; evaluation uses the
/// running ones. The running variance is unbiased, as in PyTorch.
#[derive(Clone, Debug)]
pub struct BatchNorm {
    /// The running mean of each channel, `[channels]`.
    pub mean: Var,
    /// The running variance of each channel, `[channels]`.
    pub variance: Var,
    /// Added to the variance before the square root.
    pub eps: f64,
    /// Weight of a batch's statistics in the update of the running statistics.
    pub momentum: f64,
}

impl BatchNorm {
    /// Creates it with the running statistics `mean` and `variance`, and PyTorch's `eps` of 1e-5 and `momentum` of 0.1.
    pub fn new(mean: Var, variance: Var) -> Self {
        Self { mean, variance, eps: 1e-5, momentum: 0.1 }
    }

    /// Normalizes `x` `[rows, channels, …]` by its own statistics, and updates the running ones. `weight` and `bias`
    /// are `[channels]`.
    ///
    /// # Errors
    /// A channel has only one value in the batch, the shapes do not fit or the device fails.
    pub fn train(&self, x: &Tensor, weight: &Tensor, bias: &Tensor) -> Result<Tensor> {
        let count = self.check(x, weight, bias)?.count();
        if count < 2 {
            bail!(
                "batch norm needs more than one value of each channel to train on, and a batch of {:?} has {count}; \
                 take larger batches (`data.batch_size`) in fewer pieces (`train.accumulate`), or leave a last one of \
                 a single row out (`data.drop_last = true`)",
                x.dims()
            );
        }
        let normalize = Arc::new(Normalize { eps: self.eps, of_batch: true, statistics: Mutex::new(None) });
        let y = apply_normalize(Arc::clone(&normalize), &[x, weight, bias])?;
        self.update_running_stats(&normalize.statistics()?, count)?;
        Ok(y)
    }

    /// Normalizes `x` `[rows, channels, …]` by the running statistics.
    ///
    /// # Errors
    /// The shapes do not fit or the device fails.
    pub fn evaluate(&self, x: &Tensor, weight: &Tensor, bias: &Tensor) -> Result<Tensor> {
        self.check(x, weight, bias)?;
        // Detached: the running statistics receive no gradient.
        let running = Statistics { mean: self.mean.as_detached_tensor(), variance: self.variance.as_detached_tensor() };
        let normalize = Normalize { eps: self.eps, of_batch: false, statistics: Mutex::new(Some(running)) };
        apply_normalize(Arc::new(normalize), &[x, weight, bias])
    }

    fn check(&self, x: &Tensor, weight: &Tensor, bias: &Tensor) -> Result<Dims> {
        dims(x, &[&self.mean, &self.variance, weight, bias])
    }

    /// Moves the running statistics towards those of a batch with `count` values per channel.
    fn update_running_stats(&self, found: &Statistics, count: usize) -> Result<()> {
        let towards = |running: &Var, found: &Tensor, factor: f64| {
            // Metal has no f64.
            let wide = if running.device().is_metal() { DType::F32 } else { DType::F64 };
            let kept = (running.to_dtype(wide)? * (1.0 - self.momentum))?;
            let moved = (kept + (found.to_dtype(wide)? * (self.momentum * factor))?)?;
            running.set(&moved.to_dtype(running.dtype())?)
        };
        towards(&self.mean, &found.mean, 1.0)?;
        towards(&self.variance, &found.variance, count as f64 / (count as f64 - 1.0))
    }
}

/// Applies it. If `x` has another type than the weight, it is normalized in the type of the weight.
fn apply_normalize(normalize: Arc<Normalize>, inputs: &[&Tensor; 3]) -> Result<Tensor> {
    let [x, weight, bias] = *inputs;
    if x.dtype() == weight.dtype() {
        return apply_shared(normalize, inputs);
    }
    if is_half_by_f32(x, &inputs[1..]) {
        return half::normalize(normalize, inputs);
    }
    cast(&apply_shared(normalize, &[&cast(x, weight.dtype())?, weight, bias])?, x.dtype())
}

/// Returns the sizes of `x`, checked against tensors of its channels.
fn dims(x: &Tensor, of_channels: &[&Tensor]) -> Result<Dims> {
    let &[rows, channels, ref rest @ ..] = x.dims() else {
        bail!("batch norm takes rows of channels, not {:?}", x.dims())
    };
    if let Some(other) = of_channels.iter().find(|other| other.dims() != [channels]) {
        bail!("batch norm: {:?} channels do not fit an input of {:?}", other.dims(), x.dims());
    }
    Ok(Dims { rows, channels, plane: rest.iter().product() })
}

/// Mean and variance of each channel, `[channels]`, without gradients.
#[derive(Clone)]
struct Statistics {
    mean: Tensor,
    variance: Tensor,
}

/// `(x - mean) / sqrt(variance + eps) * weight + bias` for each channel.
struct Normalize {
    eps: f64,
    /// Whether the statistics are computed from `x` and are differentiated.
    of_batch: bool,
    /// The statistics. The forward pass stores the batch's here, for the backward pass and the running statistics.
    statistics: Mutex<Option<Statistics>>,
}

impl Normalize {
    fn statistics(&self) -> Result<Statistics> {
        match &*self.statistics.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(statistics) => Ok(statistics.clone()),
            None => bail!("batch norm: the statistics come with the forward pass"),
        }
    }

    fn keep(&self, mean: Tensor, variance: Tensor) {
        *self.statistics.lock().unwrap_or_else(PoisonError::into_inner) = Some(Statistics { mean, variance });
    }

    /// Returns the CPU kernel for these sizes and the statistics.
    fn on_cpu(&self, dims: Dims) -> Result<Normalization> {
        let Statistics { mean, variance } = self.statistics()?;
        let values = |x: Tensor| x.to_dtype(DType::F64)?.to_vec1::<f64>();
        let inverse = values(variance)?.iter().map(|variance| 1.0 / (variance + self.eps).sqrt()).collect();
        Ok(Normalization { dims, mean: values(mean)?, inverse, of_batch: self.of_batch })
    }
}

impl Normalize {
    /// Returns the elements of the result on the CPU, in the type of those of `x`.
    fn normalized<T: Real, X: Loads<T>>(&self, x: Operand<'_, X>, weight: &[T], bias: &[T]) -> Result<Vec<X>> {
        let (x, dims) = (x.elements, Dims::of(x.dims()));
        if self.of_batch {
            let (mean, variance): (Vec<f64>, Vec<f64>) = dims.statistics::<T, X>(x).into_iter().unzip();
            let tensor = |values: Vec<f64>| Tensor::from_vec(values, dims.channels, &Device::Cpu);
            self.keep(tensor(mean)?, tensor(variance)?);
        }
        Ok(self.on_cpu(dims)?.normalize(x, weight, bias))
    }

    /// Returns the gradients of `x`, of the weight and of the bias, on the CPU.
    fn gradients<T: Real, X: Loads<T>>(
        &self,
        x: Operand<'_, X>,
        weight: &[T],
        dy: Operand<'_, X>,
    ) -> Result<(Gradient<X>, [Vec<T>; 2])> {
        let normalization = self.on_cpu(Dims::of(x.dims()))?;
        let sums = normalization.sums::<T, X>(x.elements, dy.elements);
        let dx = || normalization.dx(x.elements, weight, dy.elements, &sums);
        let dx = if x.tracked { Gradient::Elements(dx()) } else { Gradient::None };
        Ok((dx, [normalization.dweight(&sums), normalization.dbias(&sums)]))
    }
}

impl Op for Normalize {
    fn name(&self) -> &'static str {
        "batch norm"
    }

    fn shape(&self, inputs: &[&Tensor]) -> Result<Shape> {
        dims(inputs[0], &inputs[1..])?;
        Ok(inputs[0].shape().clone())
    }

    fn forward<T: Real>(&self, inputs: &[Operand<'_, T>]) -> Result<Vec<T>> {
        self.normalized(inputs[0], inputs[1].elements, inputs[2].elements)
    }

    fn backward<T: Real>(
        &self,
        inputs: &[Operand<'_, T>],
        _: Operand<'_, T>,
        dy: Operand<'_, T>,
    ) -> Result<Vec<Gradient<T>>> {
        let (dx, [dweight, dbias]) = self.gradients(inputs[0], inputs[1].elements, dy)?;
        Ok(vec![dx, Gradient::Elements(dweight), Gradient::Elements(dbias)])
    }

    fn reference(&self, inputs: &[&Tensor]) -> Result<Tensor> {
        let (x, of_channels) = (inputs[0], (1, (), 1));
        let Dims { rows, channels, plane } = dims(x, &inputs[1..])?;
        let planes = x.reshape((rows, channels, plane))?;
        let (mean, variance) = if self.of_batch {
            let mean = planes.mean_keepdim((0, 2))?;
            let variance = planes.broadcast_sub(&mean)?.sqr()?.mean_keepdim((0, 2))?;
            self.keep(mean.flatten_all()?.detach(), variance.flatten_all()?.detach());
            (mean, variance)
        } else {
            let Statistics { mean, variance } = self.statistics()?;
            let of_type = |statistic: Tensor| statistic.reshape(of_channels)?.to_dtype(x.dtype());
            (of_type(mean)?, of_type(variance)?)
        };
        let normalized = planes.broadcast_sub(&mean)?.broadcast_div(&(variance + self.eps)?.sqrt()?)?;
        let scaled = normalized.broadcast_mul(&inputs[1].reshape(of_channels)?)?;
        scaled.broadcast_add(&inputs[2].reshape(of_channels)?)?.reshape(x.shape())
    }

    fn device_kernel(&self, device: &Device, dtype: DType) -> Option<&dyn DeviceKernel> {
        Place::has_kernels(device, dtype).then_some(self)
    }
}
