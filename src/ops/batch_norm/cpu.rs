//! Statistics of channels, and the forward and backward passes with them, on the CPU.

use candle_core::WithDType;

use crate::cpu::{LARGE_CHUNK, Loads, Real, for_chunks, map_tasks, sum_f64, sum2_f64, vectorized};

/// Returns a stored number in f64.
#[inline(always)]
fn wide<T: Real, X: Loads<T>>(x: X) -> f64 {
    WithDType::to_f64(x.load())
}

/// Sizes: `rows` of `channels` of `plane` elements.
#[derive(Clone, Copy)]
pub(super) struct Dims {
    pub rows: usize,
    pub channels: usize,
    pub plane: usize,
}

impl Dims {
    /// Returns the sizes of an input with two or more dimensions.
    pub fn of(dims: &[usize]) -> Self {
        Self { rows: dims[0], channels: dims[1], plane: dims[2..].iter().product() }
    }

    /// Returns the number of values per channel.
    pub fn count(&self) -> usize {
        self.rows * self.plane
    }

    /// Returns a channel's elements, row by row.
    fn of_channel<'a, T>(&self, x: &'a [T], channel: usize) -> impl Iterator<Item = &'a [T]> + use<'a, T> {
        let Self { channels, plane, .. } = *self;
        x.chunks_exact((channels * plane).max(1)).map(move |row| &row[channel * plane..][..plane])
    }

    /// Returns mean and biased variance of each channel.
    pub fn statistics<T: Real, X: Loads<T>>(&self, x: &[X]) -> Vec<(f64, f64)> {
        let count = self.count() as f64;
        let of_channel = |channel: usize| {
            vectorized(
                #[inline(always)]
                || {
                    let sum: f64 = self.of_channel(x, channel).map(|x| sum_f64(x, wide::<T, X>)).sum();
                    let mean = sum / count;
                    let squares = |x: X| (wide(x) - mean) * (wide(x) - mean);
                    let sum: f64 = self.of_channel(x, channel).map(|x| sum_f64(x, squares)).sum();
                    (mean, sum / count)
                },
            )
        };
        map_tasks(self.channels, true, of_channel)
    }

    /// Fills `target`, `[rows, channels, plane]`, plane by plane: `work` gets the channel, the range of the plane, and
    /// the plane.
    fn fill<X: Send>(&self, target: &mut [X], work: impl Fn(usize, std::ops::Range<usize>, &mut [X]) + Sync) {
        let Self { channels, plane, .. } = *self;
        let rows = (LARGE_CHUNK / (channels * plane).max(1)).max(1);
        for_chunks(target, rows * channels * plane, usize::MAX, |number, target| {
            for (index, target) in target.chunks_exact_mut(plane.max(1)).enumerate() {
                let start = (number * rows * channels + index) * plane;
                work(index % channels, start..start + plane, target);
            }
        });
    }
}

/// `(x - mean) inverse weight + bias` for each channel.
pub(super) struct Normalization {
    pub dims: Dims,
    pub mean: Vec<f64>,
    /// One over the standard deviation.
    pub inverse: Vec<f64>,
    /// Whether the statistics are computed from `x`, and so have gradients themselves.
    pub of_batch: bool,
}

/// Sums of a channel.
pub(super) struct Sums {
    /// The sum of `dy`.
    dy: f64,
    /// The sum of `dy (x - mean)`.
    dy_xmu: f64,
}

impl Normalization {
    pub fn normalize<T: Real, X: Loads<T>>(&self, x: &[X], weight: &[T], bias: &[T]) -> Vec<X> {
        let mut y = vec![X::store(T::zero()); x.len()];
        self.dims.fill(&mut y, |channel, place, y| {
            let mean = T::from_f64(self.mean[channel]);
            let scale = T::from_f64(self.inverse[channel]) * weight[channel];
            let bias = bias[channel];
            vectorized(
                #[inline(always)]
                || y.iter_mut().zip(&x[place]).for_each(|(y, &x)| *y = X::store((x.load() - mean) * scale + bias)),
            );
        });
        y
    }

    /// Returns the sums of each channel.
    pub fn sums<T: Real, X: Loads<T>>(&self, x: &[X], dy: &[X]) -> Vec<Sums> {
        let of_channel = |channel: usize| {
            let mean = self.mean[channel];
            vectorized(
                #[inline(always)]
                || {
                    let planes = self.dims.of_channel(x, channel).zip(self.dims.of_channel(dy, channel));
                    planes.fold(Sums { dy: 0.0, dy_xmu: 0.0 }, |sums, (x, dy)| Sums {
                        dy: sums.dy + sum_f64(dy, wide::<T, X>),
                        dy_xmu: sums.dy_xmu + sum2_f64(x, dy, |x, dy| wide(dy) * (wide(x) - mean)),
                    })
                },
            )
        };
        map_tasks(self.dims.channels, true, of_channel)
    }

    /// Returns the gradient of `x`. If mean and variance were computed from `x`, the gradient through them is
    /// subtracted: the mean of `dy`, and its projection on `x`.
    pub fn dx<T: Real, X: Loads<T>>(&self, x: &[X], weight: &[T], dy: &[X], sums: &[Sums]) -> Vec<X> {
        let mut dx = vec![X::store(T::zero()); x.len()];
        let count = self.dims.count() as f64;
        self.dims.fill(&mut dx, |channel, place, dx| {
            let (inverse, sums) = (self.inverse[channel], &sums[channel]);
            let scale = T::from_f64(inverse) * weight[channel];
            let (mean, along_x, mean_dy) = if self.of_batch {
                (self.mean[channel], sums.dy_xmu * inverse * inverse / count, sums.dy / count)
            } else {
                (0.0, 0.0, 0.0)
            };
            let (mean, along_x, mean_dy) = (T::from_f64(mean), T::from_f64(along_x), T::from_f64(mean_dy));
            vectorized(
                #[inline(always)]
                || {
                    for (dx, (&x, &dy)) in dx.iter_mut().zip(x[place.clone()].iter().zip(&dy[place])) {
                        *dx = X::store((dy.load() - mean_dy - (x.load() - mean) * along_x) * scale);
                    }
                },
            );
        });
        dx
    }

    /// Returns the gradient of the weight.
    pub fn dweight<T: Real>(&self, sums: &[Sums]) -> Vec<T> {
        sums.iter().zip(&self.inverse).map(|(sums, inverse)| T::from_f64(sums.dy_xmu * inverse)).collect()
    }

    /// Returns the gradient of the bias.
    pub fn dbias<T: Real>(&self, sums: &[Sums]) -> Vec<T> {
        sums.iter().map(|sums| T::from_f64(sums.dy)).collect()
    }
}
