//! Batch normalization: Ioffe and Szegedy, ICML 2015.

mod channels;
mod cpu;
mod cuda;
mod half;
mod running;
mod synchronized;
#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex, PoisonError};

use candle_core::{DType, Device, Result, Shape, Tensor, Var, WithDType, bail};

use super::cast;
use super::op::{DeviceKernel, Op, apply_shared};
use super::operand::{Gradient, Operand};
use super::widened::is_half_by_f32;
use crate::cpu::{Loads, Real};
use crate::cuda::Place;
use channels::Dims;
use cpu::{Gradients, Moments, Normalization, Output};
pub use running::{Seen, collect_seen};
pub use synchronized::synchronized;

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

/// How [`BatchNorm::train_then`] and [`BatchNorm::evaluate_then`] finish a result, in the pass that writes it. The
/// default changes nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct After<'a> {
    /// A tensor of the shape of the input that is added, such as the shortcut around a residual block.
    pub add: Option<&'a Tensor>,
    /// Whether negative results are set to zero, after the addition; see [`super::relu`].
    pub relu: bool,
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
        self.train_then(x, weight, bias, After::default())
    }

    /// [`BatchNorm::train`] with its result finished: `relu(norm(x) + add)`.
    ///
    /// # Errors
    /// As [`BatchNorm::train`].
    pub fn train_then(&self, x: &Tensor, weight: &Tensor, bias: &Tensor, after: After<'_>) -> Result<Tensor> {
        let (count, is_synchronized) = (self.check(x, weight, bias)?.count(), synchronized::is_on());
        if !is_synchronized {
            require_several(count, x)?;
        }
        let statistics = Mutex::new(None);
        let normalize = Arc::new(Normalize { eps: self.eps, of_batch: true, relu: after.relu, statistics });
        let y = apply_normalize(Arc::clone(&normalize), [x, weight, bias], after.add)?;
        let Statistics { mean, variance, of_all } = normalize.statistics()?;
        let count = match (of_all, is_synchronized) {
            (Some(of_all), _) => of_all,
            (None, false) => count,
            (None, true) => bail!("batch norm is synchronized over micro-batches on the CPU only"),
        };
        require_several(count, x)?;
        let (running_mean, running_variance) = (self.mean.clone(), self.variance.clone());
        Seen { running_mean, running_variance, mean, variance, count, momentum: self.momentum }.settle()?;
        Ok(y)
    }

    /// Normalizes `x` `[rows, channels, …]` by the running statistics.
    ///
    /// # Errors
    /// The shapes do not fit or the device fails.
    pub fn evaluate(&self, x: &Tensor, weight: &Tensor, bias: &Tensor) -> Result<Tensor> {
        self.evaluate_then(x, weight, bias, After::default())
    }

    /// [`BatchNorm::evaluate`] with its result finished: `relu(norm(x) + add)`.
    ///
    /// # Errors
    /// As [`BatchNorm::evaluate`].
    pub fn evaluate_then(&self, x: &Tensor, weight: &Tensor, bias: &Tensor, after: After<'_>) -> Result<Tensor> {
        self.check(x, weight, bias)?;
        // Detached: the running statistics receive no gradient.
        let (mean, variance) = (self.mean.as_detached_tensor(), self.variance.as_detached_tensor());
        let running = Statistics { mean, variance, of_all: None };
        let statistics = Mutex::new(Some(running));
        let normalize = Normalize { eps: self.eps, of_batch: false, relu: after.relu, statistics };
        apply_normalize(Arc::new(normalize), [x, weight, bias], after.add)
    }

    fn check(&self, x: &Tensor, weight: &Tensor, bias: &Tensor) -> Result<Dims> {
        dims(x, &[&self.mean, &self.variance, weight, bias])
    }
}

/// Refuses a batch with one value of each channel.
fn require_several(count: usize, x: &Tensor) -> Result<()> {
    if count < 2 {
        bail!(
            "batch norm needs more than one value of each channel to train on, and a batch of {:?} has {count}; take \
             larger batches (`data.batch_size`) in fewer pieces (`train.accumulate`), or leave a last one of a single \
             row out (`data.drop_last = true`)",
            x.dims()
        );
    }
    Ok(())
}

/// Applies it. If `x` has another type than the weight, it is normalized in the type of the weight.
fn apply_normalize(normalize: Arc<Normalize>, inputs: [&Tensor; 3], add: Option<&Tensor>) -> Result<Tensor> {
    let [x, weight, bias] = inputs;
    let with_added = |dtype: DType| add.map(|add| cast(add, dtype)).transpose();
    let apply = |normalize, x: &Tensor, added: Option<&Tensor>| match added {
        Some(added) => apply_shared(normalize, &[x, weight, bias, added]),
        None => apply_shared(normalize, &[x, weight, bias]),
    };
    if x.dtype() == weight.dtype() {
        return apply(normalize, x, with_added(x.dtype())?.as_ref());
    }
    if is_half_by_f32(x, &[weight, bias]) {
        return half::normalize(normalize, inputs, with_added(x.dtype())?.as_ref());
    }
    cast(&apply(normalize, &cast(x, weight.dtype())?, with_added(weight.dtype())?.as_ref())?, x.dtype())
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
    /// The number of values of a channel over all micro-batches, if these are synchronized.
    of_all: Option<usize>,
}

/// The gradients of `x` and of what was added to it, and those of weight and bias.
type GradientsOfInputs<T, X> = ([Gradient<X>; 2], [Vec<T>; 2]);

/// `(x - mean) / sqrt(variance + eps) * weight + bias` for each channel, then the sum with a fourth input if there is
/// one, and a ReLU.
struct Normalize {
    eps: f64,
    /// Whether the statistics are computed from `x` and are differentiated.
    of_batch: bool,
    relu: bool,
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

    fn keep(&self, mean: Tensor, variance: Tensor, of_all: Option<usize>) {
        let statistics = Statistics { mean, variance, of_all };
        *self.statistics.lock().unwrap_or_else(PoisonError::into_inner) = Some(statistics);
    }

    /// Returns the kernel of the CPU for an input of these sizes.
    fn on_cpu(&self, dims: &[usize]) -> Normalization {
        Normalization { dims: Dims::of(dims), eps: self.eps, of_batch: self.of_batch, relu: self.relu }
    }

    /// Returns the statistics as numbers.
    fn moments(&self) -> Result<Vec<Moments>> {
        let Statistics { mean, variance, .. } = self.statistics()?;
        let values = |x: Tensor| x.to_dtype(DType::F64)?.to_vec1::<f64>();
        let both = values(mean)?.into_iter().zip(values(variance)?);
        Ok(both.map(|(mean, variance)| Moments { mean, variance }).collect())
    }

    /// Returns the elements of the result on the CPU, in the type of those of `x`.
    fn normalized<T: Real, X: Loads<T>>(
        &self,
        x: Operand<'_, X>,
        weights: [&[T]; 2],
        added: Option<&[X]>,
    ) -> Result<Vec<X>> {
        let kernel = self.on_cpu(x.dims());
        let (given, of_all) = match self.of_batch {
            false => (Some(self.moments()?), None),
            true if synchronized::is_on() => {
                let own = kernel.moments::<T, X>(x.elements);
                let (moments, count) = synchronized::moments_of_all(&own, kernel.dims.count())?;
                (Some(moments), Some(count))
            }
            true => (None, None),
        };
        let (y, moments) = kernel.forward(x.elements, weights, added, given.as_deref());
        if self.of_batch {
            let tensor = |values: Vec<f64>| Tensor::from_vec(values, moments.len(), &Device::Cpu);
            let of_each = |value: fn(&Moments) -> f64| tensor(moments.iter().map(value).collect());
            self.keep(of_each(|moments| moments.mean)?, of_each(|moments| moments.variance)?, of_all);
        }
        Ok(y)
    }

    /// Returns the gradients of `x`, of what was added to it, of the weight and of the bias, on the CPU.
    fn gradients<T: Real, X: Loads<T> + WithDType>(
        &self,
        x: Operand<'_, X>,
        weight: &[T],
        added: Option<Operand<'_, X>>,
        [y, dy]: [Operand<'_, X>; 2],
    ) -> Result<GradientsOfInputs<T, X>> {
        let needed = [x.tracked, added.is_some_and(|added| added.tracked)];
        let output = Output { y: y.elements, dy: dy.elements };
        let kernel = self.on_cpu(x.dims());
        let moments = self.moments()?;
        let found: Gradients<T, X> = match self.statistics()?.of_all {
            None => kernel.backward(x.elements, weight, output, &moments, needed),
            Some(count) => kernel.backward_of_all(
                x.elements,
                weight,
                output,
                &moments,
                needed,
                count,
                synchronized::sums_of_all,
            )?,
        };
        let dadded = if self.relu { Gradient::Elements(found.added) } else { Gradient::OfResult };
        Ok(([Gradient::Elements(found.x), dadded], [found.weight, found.bias]))
    }
}

impl Op for Normalize {
    fn name(&self) -> &'static str {
        "batch norm"
    }

    fn shape(&self, inputs: &[&Tensor]) -> Result<Shape> {
        dims(inputs[0], &inputs[1..3])?;
        let shape = inputs[0].shape();
        match inputs.get(3).filter(|added| added.shape() != shape) {
            Some(added) => bail!("batch norm: a tensor of {:?} is added to a result of {shape:?}", added.shape()),
            None => Ok(shape.clone()),
        }
    }

    fn forward<T: Real>(&self, inputs: &[Operand<'_, T>]) -> Result<Vec<T>> {
        let weights = [inputs[1].elements, inputs[2].elements];
        self.normalized(inputs[0], weights, inputs.get(3).map(|added| added.elements))
    }

    fn backward<T: Real>(
        &self,
        inputs: &[Operand<'_, T>],
        y: Operand<'_, T>,
        dy: Operand<'_, T>,
    ) -> Result<Vec<Gradient<T>>> {
        let added = inputs.get(3).copied();
        let ([dx, dadded], of_weights) = self.gradients(inputs[0], inputs[1].elements, added, [y, dy])?;
        let [dweight, dbias] = of_weights.map(Gradient::Elements);
        Ok([dx, dweight, dbias, dadded].into_iter().take(inputs.len()).collect())
    }

    fn reference(&self, inputs: &[&Tensor]) -> Result<Tensor> {
        let (x, of_channels) = (inputs[0], (1, (), 1));
        let Dims { rows, channels, plane } = dims(x, &inputs[1..3])?;
        let planes = x.reshape((rows, channels, plane))?;
        let (mean, variance) = if self.of_batch {
            let mean = planes.mean_keepdim((0, 2))?;
            let variance = planes.broadcast_sub(&mean)?.sqr()?.mean_keepdim((0, 2))?;
            self.keep(mean.flatten_all()?.detach(), variance.flatten_all()?.detach(), None);
            (mean, variance)
        } else {
            let Statistics { mean, variance, .. } = self.statistics()?;
            let of_type = |statistic: Tensor| statistic.reshape(of_channels)?.to_dtype(x.dtype());
            (of_type(mean)?, of_type(variance)?)
        };
        let normalized = planes.broadcast_sub(&mean)?.broadcast_div(&(variance + self.eps)?.sqrt()?)?;
        let scaled = normalized.broadcast_mul(&inputs[1].reshape(of_channels)?)?;
        let y = scaled.broadcast_add(&inputs[2].reshape(of_channels)?)?.reshape(x.shape())?;
        let y = inputs.get(3).map_or(Ok(y.clone()), |added| &y + *added)?;
        if self.relu { super::relu(&y) } else { Ok(y) }
    }

    fn device_kernel(&self, device: &Device, dtype: DType) -> Option<&dyn DeviceKernel> {
        Place::has_kernels(device, dtype).then_some(self)
    }
}
