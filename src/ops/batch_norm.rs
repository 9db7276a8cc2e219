//! Batch normalization: Ioffe and Szegedy, ICML 2015.

use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, CustomOp3, DType, Layout, Result, Shape, Tensor, Var, WithDType, bail};
use rayon::prelude::*;

use super::cpu::{self, Reading, elements, vectorized, with_float};
use super::math::Real;
use super::tape::apply3;

/// Each channel normalized to mean 0 and variance 1, and then scaled and shifted, as `torch.nn.BatchNorm1d` and
/// `BatchNorm2d`.
///
/// In training mean and variance are those of the batch, and the running ones move towards them; in evaluation they are
/// the running ones. The running variance is the unbiased one, as in PyTorch.
#[derive(Clone, Debug)]
pub struct BatchNorm {
    /// The running mean of each channel, `[channels]`.
    pub mean: Var,
    /// The running variance of each channel, `[channels]`.
    pub variance: Var,
    /// What is added to the variance before its root is taken.
    pub eps: f64,
    /// How far the running statistics move with each batch.
    pub momentum: f64,
}

impl BatchNorm {
    /// With the running statistics `mean` and `variance`, and PyTorch's `eps` of 1e-5 and `momentum` of 0.1.
    pub fn new(mean: Var, variance: Var) -> Self {
        Self { mean, variance, eps: 1e-5, momentum: 0.1 }
    }

    /// Normalizes `x` `[rows, channels, …]` by its own statistics, and moves the running ones towards them. `weight`
    /// and `bias` are `[channels]`.
    ///
    /// # Errors
    /// When a channel has but one value in the batch, the shapes do not fit or the device fails.
    pub fn train(&self, x: &Tensor, weight: &Tensor, bias: &Tensor) -> Result<Tensor> {
        let dims = self.check(x, weight, bias)?;
        let count = dims.count();
        if count < 2 {
            bail!(
                "batch norm needs more than one value of each channel to train on, and a batch of {:?} has {count}; \
                 take larger batches (`data.batch_size`) in fewer pieces (`train.accumulate`), or leave a last one of a \
                 single row out (`data.drop_last = true`)",
                x.dims()
            );
        }
        if !cpu::is_fused(x) {
            let shape = dims.shape();
            let mean = x.reshape(shape)?.mean_keepdim((0, 2))?;
            let variance = x.reshape(shape)?.broadcast_sub(&mean)?.sqr()?.mean_keepdim((0, 2))?;
            self.follow(&mean.flatten_all()?, &variance.flatten_all()?, count)?;
            return self.composed(x, weight, bias, &mean, &variance);
        }
        let x = x.contiguous()?;
        let statistics =
            with_float!("batch norm", x.dtype(), T => Reading::of(&x).elements::<T>().map(|x| dims.statistics(x)))?;
        let (mean, variance): (Vec<f64>, Vec<f64>) = statistics.into_iter().unzip();
        let tensor = |values: &[f64]| Tensor::from_slice(values, values.len(), x.device());
        self.follow(&tensor(&mean)?, &tensor(&variance)?, count)?;
        let normalize = Normalize { dims, mean, inverse: self.inverse(&variance), of_batch: true };
        apply3(&x, &weight.contiguous()?, &bias.contiguous()?, normalize)
    }

    /// Normalizes `x` `[rows, channels, …]` by the running statistics.
    ///
    /// # Errors
    /// When the shapes do not fit or the device fails.
    pub fn evaluate(&self, x: &Tensor, weight: &Tensor, bias: &Tensor) -> Result<Tensor> {
        let dims = self.check(x, weight, bias)?;
        // Without what the variables would otherwise have to do with it: nothing learns through these.
        let (mean, variance) = (self.mean.as_detached_tensor(), self.variance.as_detached_tensor());
        if !cpu::is_fused(x) {
            let channels = (1, dims.channels, 1);
            return self.composed(x, weight, bias, &mean.reshape(channels)?, &variance.reshape(channels)?);
        }
        let values = |x: Tensor| x.to_dtype(DType::F64)?.to_vec1::<f64>();
        let (mean, variance) = (values(mean)?, values(variance)?);
        let normalize = Normalize { dims, mean, inverse: self.inverse(&variance), of_batch: false };
        apply3(&x.contiguous()?, &weight.contiguous()?, &bias.contiguous()?, normalize)
    }

    fn check(&self, x: &Tensor, weight: &Tensor, bias: &Tensor) -> Result<Dims> {
        let &[rows, channels, ref rest @ ..] = x.dims() else {
            bail!("batch norm takes rows of channels, not {:?}", x.dims())
        };
        for of_channels in [&self.mean, &self.variance, weight, bias] {
            if of_channels.dims() != [channels] {
                bail!("batch norm: {:?} channels do not fit an input of {:?}", of_channels.dims(), x.dims());
            }
        }
        Ok(Dims { rows, channels, plane: rest.iter().product() })
    }

    fn inverse(&self, variance: &[f64]) -> Vec<f64> {
        variance.iter().map(|variance| 1.0 / (variance + self.eps).sqrt()).collect()
    }

    /// Moves the running statistics towards those of a batch of `count` values a channel.
    fn follow(&self, mean: &Tensor, variance: &Tensor, count: usize) -> Result<()> {
        let towards = |running: &Var, found: &Tensor, factor: f64| {
            // Metal has no numbers of 64 bits.
            let wide = if running.device().is_metal() { DType::F32 } else { DType::F64 };
            let kept = (running.to_dtype(wide)? * (1.0 - self.momentum))?;
            let moved = (kept + (found.detach().to_dtype(wide)? * (self.momentum * factor))?)?;
            running.set(&moved.to_dtype(running.dtype())?)
        };
        towards(&self.mean, mean, 1.0)?;
        towards(&self.variance, variance, count as f64 / (count as f64 - 1.0))
    }

    /// The same from operations that every device has.
    fn composed(&self, x: &Tensor, weight: &Tensor, bias: &Tensor, mean: &Tensor, variance: &Tensor) -> Result<Tensor> {
        let channels = (1, (), 1);
        let shape = self.check(x, weight, bias)?.shape();
        let normalized = x.reshape(shape)?.broadcast_sub(mean)?.broadcast_div(&(variance + self.eps)?.sqrt()?)?;
        let y = normalized.broadcast_mul(&weight.reshape(channels)?)?.broadcast_add(&bias.reshape(channels)?)?;
        y.reshape(x.shape())
    }
}

/// `rows` of `channels` of `plane` numbers.
#[derive(Clone, Copy)]
struct Dims {
    rows: usize,
    channels: usize,
    plane: usize,
}

impl Dims {
    fn shape(&self) -> (usize, usize, usize) {
        (self.rows, self.channels, self.plane)
    }

    /// Values of each channel.
    fn count(&self) -> usize {
        self.rows * self.plane
    }

    /// A channel's numbers, row by row.
    fn of_channel<'a, T>(&self, x: &'a [T], channel: usize) -> impl Iterator<Item = &'a [T]> + use<'a, T> {
        let Self { channels, plane, .. } = *self;
        x.chunks_exact((channels * plane).max(1)).map(move |row| &row[channel * plane..][..plane])
    }

    /// Mean and variance of each channel, the latter around the former and over all values.
    fn statistics<T: Real>(&self, x: &[T]) -> Vec<(f64, f64)> {
        let count = self.count() as f64;
        let of_channel = |channel: usize| {
            vectorized(
                #[inline(always)]
                || {
                    let sum: f64 = self.of_channel(x, channel).map(|x| sum(x, |x| x)).sum();
                    let mean = sum / count;
                    let squares = |x| (x - mean) * (x - mean);
                    let sum: f64 = self.of_channel(x, channel).map(|x| self::sum(x, squares)).sum();
                    (mean, sum / count)
                },
            )
        };
        (0..self.channels).into_par_iter().map(of_channel).collect()
    }

    /// Fills `target`, `[rows, channels, plane]`, plane by plane: `work` gets the channel, where the plane lies, and
    /// the plane.
    fn fill<T: Real>(&self, target: &mut [T], work: impl Fn(usize, std::ops::Range<usize>, &mut [T]) + Sync) {
        let Self { channels, plane, .. } = *self;
        let rows = target.par_chunks_exact_mut((channels * plane).max(1)).enumerate();
        rows.with_min_len((super::CHUNK / (channels * plane).max(1)).max(1)).for_each(|(row, target)| {
            for (channel, target) in target.chunks_exact_mut(plane).enumerate() {
                let start = (row * channels + channel) * plane;
                work(channel, start..start + plane, target);
            }
        });
    }
}

/// The sum of `f` over `x` in f64, in lanes that advance side by side.
#[inline(always)]
fn sum<T: Real>(x: &[T], f: impl Fn(f64) -> f64) -> f64 {
    sum2(x, x, |x, _| f(x))
}

/// The sum of `f` over two rows of one length.
#[inline(always)]
fn sum2<T: Real>(x: &[T], y: &[T], f: impl Fn(f64, f64) -> f64) -> f64 {
    const LANES: usize = 8;
    let mut lanes = [0.0; LANES];
    let ((x_blocks, x_rest), (y_blocks, y_rest)) = (x.as_chunks::<LANES>(), y.as_chunks::<LANES>());
    for (x, y) in x_blocks.iter().zip(y_blocks) {
        for ((lane, &x), &y) in lanes.iter_mut().zip(x).zip(y) {
            *lane += f(WithDType::to_f64(x), WithDType::to_f64(y));
        }
    }
    for ((lane, &x), &y) in lanes.iter_mut().zip(x_rest).zip(y_rest) {
        *lane += f(WithDType::to_f64(x), WithDType::to_f64(y));
    }
    lanes.iter().sum()
}

/// `(x - mean) inverse weight + bias` for each channel.
struct Normalize {
    dims: Dims,
    mean: Vec<f64>,
    /// One over the standard deviation.
    inverse: Vec<f64>,
    /// Whether the statistics are those of `x`, and so have gradients themselves.
    of_batch: bool,
}

impl Normalize {
    fn forward<T: Real>(&self, x: &[T], weight: &[T], bias: &[T]) -> Vec<T> {
        let mut y = vec![T::zero(); x.len()];
        self.dims.fill(&mut y, |channel, place, y| {
            let mean = T::from_f64(self.mean[channel]);
            let scale = T::from_f64(self.inverse[channel]) * weight[channel];
            let bias = bias[channel];
            vectorized(
                #[inline(always)]
                || y.iter_mut().zip(&x[place]).for_each(|(y, &x)| *y = (x - mean) * scale + bias),
            );
        });
        y
    }

    /// For each channel the sums of the gradient, and of the gradient times what `x` is above the mean.
    fn sums<T: Real>(&self, x: &[T], gradient: &[T]) -> Vec<(f64, f64)> {
        let of_channel = |channel: usize| {
            let mean = self.mean[channel];
            vectorized(
                #[inline(always)]
                || {
                    let planes = self.dims.of_channel(x, channel).zip(self.dims.of_channel(gradient, channel));
                    planes.fold((0.0, 0.0), |(plain, above), (x, g)| {
                        (plain + sum(g, |g| g), above + sum2(x, g, |x, g| g * (x - mean)))
                    })
                },
            )
        };
        (0..self.dims.channels).into_par_iter().map(of_channel).collect()
    }

    /// The gradient of `x`. Where mean and variance are those of `x`, what goes through them is taken off: the mean of
    /// the gradient, and its share along `x`.
    fn of_input<T: Real>(&self, x: &[T], weight: &[T], gradient: &[T], sums: &[(f64, f64)]) -> Vec<T> {
        let mut of_x = vec![T::zero(); x.len()];
        let count = self.dims.count() as f64;
        self.dims.fill(&mut of_x, |channel, place, of_x| {
            let (inverse, (plain, above)) = (self.inverse[channel], sums[channel]);
            let scale = T::from_f64(inverse) * weight[channel];
            let (mean, along, shift) = if self.of_batch {
                (self.mean[channel], above * inverse * inverse / count, plain / count)
            } else {
                (0.0, 0.0, 0.0)
            };
            let (mean, along, shift) = (T::from_f64(mean), T::from_f64(along), T::from_f64(shift));
            vectorized(
                #[inline(always)]
                || {
                    for (of_x, (&x, &g)) in of_x.iter_mut().zip(x[place.clone()].iter().zip(&gradient[place])) {
                        *of_x = (g - shift - (x - mean) * along) * scale;
                    }
                },
            );
        });
        of_x
    }
}

impl CustomOp3 for Normalize {
    fn name(&self) -> &'static str {
        "batch norm"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        xl: &Layout,
        w: &CpuStorage,
        wl: &Layout,
        b: &CpuStorage,
        bl: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let y = with_float!("batch norm", x.dtype(), T => {
            T::to_cpu_storage_owned(self.forward::<T>(elements(x, xl)?, elements(w, wl)?, elements(b, bl)?))
        });
        Ok((y, xl.shape().clone()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        bias: &Tensor,
        _: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let gradient = gradient.contiguous()?;
        with_float!("batch norm", x.dtype(), T => {
            let [x_read, weight_read, gradient] = [x, weight, &gradient].map(Reading::of);
            let (x_elements, gradient) = (x_read.elements::<T>()?, gradient.elements()?);
            let sums = self.sums(x_elements, gradient);
            let of_weight = sums.iter().zip(&self.inverse).map(|((_, above), inverse)| T::from_f64(above * inverse));
            let of_bias = sums.iter().map(|(plain, _)| T::from_f64(*plain));
            let of_x = || cpu::tensor(self.of_input(x_elements, weight_read.elements()?, gradient, &sums), x);
            Ok((
                x.track_op().then(of_x).transpose()?,
                weight.track_op().then(|| cpu::tensor(of_weight.collect(), weight)).transpose()?,
                bias.track_op().then(|| cpu::tensor(of_bias.collect(), bias)).transpose()?,
            ))
        })
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::super::testing::{
        Reference, assert_gradients, assert_same_function, assert_same_numbers, gradients, numbers, to_vec,
    };
    use super::*;

    fn norm(channels: usize) -> BatchNorm {
        let mean = numbers(&[channels], 3);
        let variance = (numbers(&[channels], 4).sqr().unwrap() + 0.5).unwrap();
        BatchNorm::new(Var::from_tensor(&mean).unwrap(), Var::from_tensor(&variance).unwrap())
    }

    fn operands(x: &[usize]) -> [Tensor; 3] {
        [numbers(x, 0), numbers(&x[1..2], 1), numbers(&x[1..2], 2)]
    }

    #[test]
    fn values_gradients_and_running_statistics_are_those_of_pytorch() {
        let reference = Reference::open("image_reference.safetensors");
        for case in ["batch_norm.1d", "batch_norm.2d"] {
            let start = || {
                let var = |part| Var::from_tensor(&reference.get(&format!("{case}.{part}"))).unwrap();
                BatchNorm::new(var("mean"), var("var"))
            };
            reference.assert(&format!("{case}.evaluation"), 1e-12, |t| start().evaluate(&t[0], &t[1], &t[2]));
            reference.assert(&format!("{case}.training"), 1e-12, |t| {
                let norm = start();
                let y = norm.train(&t[0], &t[1], &t[2])?;
                let tolerance = if t[0].dtype() == DType::F64 { 1e-12 } else { 1e-6 };
                assert_same_numbers(&norm.mean, &reference.get(&format!("{case}.mean_after")), tolerance);
                assert_same_numbers(&norm.variance, &reference.get(&format!("{case}.var_after")), tolerance);
                Ok(y)
            });
        }
    }

    #[test]
    fn gradients_agree_with_finite_differences() {
        for shape in [&[5, 3][..], &[2, 3, 4, 5], &[1, 2, 17]] {
            let [x, weight, bias] = operands(shape);
            assert_gradients(&[&x, &weight, &bias], |t| norm(shape[1]).train(&t[0], &t[1], &t[2]));
            assert_gradients(&[&x, &weight, &bias], |t| norm(shape[1]).evaluate(&t[0], &t[1], &t[2]));
        }
    }

    #[test]
    fn the_composed_form_agrees_with_the_fused_one() {
        let [x, weight, bias] = operands(&[4, 3, 5]);
        let norm = norm(3);
        let composed = |t: &[Tensor]| {
            let mean = t[0].mean_keepdim((0, 2))?;
            let variance = t[0].broadcast_sub(&mean)?.sqr()?.mean_keepdim((0, 2))?;
            norm.composed(&t[0], &t[1], &t[2], &mean, &variance)
        };
        let inputs = [&x, &weight, &bias];
        assert_same_function(&inputs, 1e-12, |t| norm.train(&t[0], &t[1], &t[2]), composed);
        let running = [&norm.mean, &norm.variance].map(|var| var.reshape((1, 3, 1)).unwrap().detach());
        let composed = |t: &[Tensor]| norm.composed(&t[0], &t[1], &t[2], &running[0], &running[1]);
        assert_same_function(&inputs, 1e-12, |t| norm.evaluate(&t[0], &t[1], &t[2]), composed);
    }

    #[test]
    fn any_number_of_threads_gives_the_same_bits() {
        let [x, weight, bias] = operands(&[33, 19, 14, 14]);
        let bits = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| {
                let norm = norm(19);
                let found = gradients(&[&x, &weight, &bias], |t| norm.train(&t[0], &t[1], &t[2]));
                found.iter().chain([norm.mean.as_tensor(), norm.variance.as_tensor()]).flat_map(to_vec).collect()
            })
        };
        let one: Vec<f64> = bits(1);
        for threads in [2, 3, 7] {
            assert_eq!(one, bits(threads), "{threads} threads");
        }
    }

    #[test]
    fn a_single_value_has_no_variance() {
        let [x, weight, bias] = operands(&[1, 3]);
        let message = norm(3).train(&x, &weight, &bias).unwrap_err().to_string();
        assert!(message.contains("a batch of [1, 3] has 1") && message.contains("data.drop_last"), "{message}");
        assert!(norm(3).evaluate(&x, &weight, &bias).is_ok());
        let message = norm(2).train(&x, &weight, &bias).unwrap_err().to_string();
        assert!(message.contains("[2] channels do not fit an input of [1, 3]"), "{message}");
        let x = Tensor::zeros(3, DType::F64, &Device::Cpu).unwrap();
        assert!(norm(3).evaluate(&x, &weight, &bias).is_err());
    }
}
