//! The forward and backward passes on the CPU. Statistics and sums over a channel are in f64.

use std::mem::MaybeUninit;

use candle_core::{Result, WithDType};

use super::channels::{Channel, Dims};
use crate::cpu::{Loads, Real, TwoSums, filled, vectorized};
use crate::ops::pointwise::relu_value;

/// Returns a stored number in f64.
#[inline(always)]
fn wide<T: Real, X: Loads<T>>(x: X) -> f64 {
    WithDType::to_f64(x.load())
}

/// Mean and biased variance of a channel.
#[derive(Clone, Copy)]
pub(super) struct Moments {
    pub mean: f64,
    pub variance: f64,
}

impl Moments {
    /// Computes them in one pass: the sums of the distances from a center, the mean of the first plane, and of their
    /// squares.
    ///
    /// The squares are cancelled in part where the mean is far from the center. But its distance squared is at most
    /// `rows` times the variance, so the relative error of the variance is at most `rows + 1` times that of a sum in
    /// f64 of squares. For a million rows that is below 1e-9: less than rounding the inputs to f32 changes.
    #[inline(always)]
    fn of<T: Real, X: Loads<T>>(dims: Dims, x: &[X], channel: usize) -> Self {
        let first = dims.plane(x, 0, channel);
        let (mut sums, count) = (TwoSums::new(), dims.count() as f64);
        sums.add([first; 3], |x, _, _| wide::<T, X>(x), |_, _, _| 0.0);
        let center = sums.totals()[0] / dims.plane as f64;
        let mut sums = TwoSums::new();
        for row in 0..dims.rows {
            let distance = move |x: X| wide::<T, X>(x) - center;
            let square = move |x, _, _| distance(x) * distance(x);
            sums.add([dims.plane(x, row, channel); 3], move |x, _, _| distance(x), square);
        }
        let [sum, squares] = sums.totals();
        let variance = (squares - sum * (sum / count)) / count;
        // Rounding may make it negative. NaN is preserved.
        Self { mean: center + sum / count, variance: if variance < 0.0 { 0.0 } else { variance } }
    }

    /// One over the standard deviation.
    fn inverse(&self, eps: f64) -> f64 {
        1.0 / (self.variance + eps).sqrt()
    }
}

/// Batch norm of one input: `relu((x - mean) inverse weight + bias + added)`.
pub(super) struct Normalization {
    pub dims: Dims,
    pub eps: f64,
    /// Whether mean and variance are those of `x`, and so have gradients themselves.
    pub of_batch: bool,
    pub relu: bool,
}

/// The result and its gradient.
#[derive(Clone, Copy)]
pub(super) struct Output<'a, X> {
    pub y: &'a [X],
    pub dy: &'a [X],
}

/// The gradients of the input, of what was added to it, of the weight and of the bias. The first two are empty if they
/// are not needed; the second one also if it is that of the result.
pub(super) struct Gradients<T, X> {
    pub x: Vec<X>,
    pub added: Vec<X>,
    pub weight: Vec<T>,
    pub bias: Vec<T>,
}

impl Normalization {
    /// Returns the moments of each channel of `x`.
    pub fn moments<T: Real, X: Loads<T>>(&self, x: &[X]) -> Vec<Moments> {
        let nothing: [&mut [MaybeUninit<X>]; 2] = [&mut [], &mut []];
        self.dims.for_channels(nothing, |channel, _| self.moments_of_channel::<T, X>(x, channel))
    }

    fn moments_of_channel<T: Real, X: Loads<T>>(&self, x: &[X], channel: usize) -> Moments {
        vectorized(
            #[inline(always)]
            || Moments::of::<T, X>(self.dims, x, channel),
        )
    }

    /// Returns the result and the moments of each channel: those of `x`, or those `given`.
    pub fn forward<T: Real, X: Loads<T>>(
        &self,
        x: &[X],
        [weight, bias]: [&[T]; 2],
        added: Option<&[X]>,
        given: Option<&[Moments]>,
    ) -> (Vec<X>, Vec<Moments>) {
        let mut moments = Vec::new();
        let fill = |y: &mut [MaybeUninit<X>]| {
            moments = self.dims.for_channels([y, &mut []], |channel, [y, _]| {
                let of_x = || self.moments_of_channel::<T, X>(x, channel);
                let moments = given.map_or_else(of_x, |given| given[channel]);
                let scale = T::from_f64(moments.inverse(self.eps)) * weight[channel];
                let (mean, bias) = (T::from_f64(moments.mean), bias[channel]);
                self.normalize(channel, y, x, added, move |x| (x - mean) * scale + bias);
                moments
            });
        };
        // SAFETY: every plane of every channel is written, and their sizes make up that of `x`.
        let y = unsafe { filled(x.len(), fill) };
        (y, moments)
    }

    /// Writes the result of one channel: `normalized` of each element, and what follows.
    fn normalize<T: Real, X: Loads<T>>(
        &self,
        channel: usize,
        mut y: Channel<'_, X>,
        x: &[X],
        added: Option<&[X]>,
        normalized: impl Fn(T) -> T + Copy,
    ) {
        let (dims, relu) = (self.dims, self.relu);
        vectorized(
            // Numbers are moved into the loops: behind a reference, they would be read again for every element.
            #[inline(always)]
            move || {
                for row in 0..dims.rows {
                    let x = dims.plane(x, row, channel);
                    let added = added.map(|added| dims.plane(added, row, channel));
                    match (added, relu) {
                        (None, false) => y.write(row, [x; 3], move |x, _, _| X::store(normalized(x.load()))),
                        (None, true) => y.write(row, [x; 3], move |x, _, _| X::store(relu_value(normalized(x.load())))),
                        (Some(added), false) => y.write(row, [x, added, x], move |x, added, _| {
                            X::store(normalized(x.load()) + added.load())
                        }),
                        (Some(added), true) => y.write(row, [x, added, x], move |x, added, _| {
                            X::store(relu_value(normalized(x.load()) + added.load()))
                        }),
                    };
                }
            },
        );
    }

    /// Returns the gradients. Of the first two, those that are `needed` are computed.
    pub fn backward<T: Real, X: Loads<T>>(
        &self,
        x: &[X],
        weight: &[T],
        output: Output<'_, X>,
        moments: &[Moments],
        needed: [bool; 2],
    ) -> Gradients<T, X> {
        let mut sums = Vec::new();
        let lens = self.lens(x, needed);
        let mut added = Vec::new();
        let fill = |dx: &mut [MaybeUninit<X>]| {
            let fill = |dadded: &mut [MaybeUninit<X>]| {
                sums = self.dims.for_channels([dx, dadded], |channel, [dx, dadded]| {
                    let sums = self.sums_of_channel::<T, X>(channel, x, output, moments[channel].mean, dadded);
                    let along = self.along(moments[channel], sums, self.dims.count());
                    self.write_gradient(channel, x, weight[channel], output, along, dx);
                    sums
                });
            };
            // SAFETY: as below.
            added = unsafe { filled(lens[1], fill) };
        };
        // SAFETY: every plane of every channel is written, and their sizes make up that of `x`.
        let x = unsafe { filled(lens[0], fill) };
        self.gradients(x, added, moments, &sums)
    }

    /// [`Normalization::backward`] of a micro-batch whose moments are those of several, over `count` values of a channel.
    /// `sums_of_all` gets the sums of this one, and returns those of all.
    #[allow(clippy::too_many_arguments, reason = "those of the backward pass, and two more")]
    pub fn backward_of_all<T: Real, X: Loads<T>>(
        &self,
        x: &[X],
        weight: &[T],
        output: Output<'_, X>,
        moments: &[Moments],
        needed: [bool; 2],
        count: usize,
        sums_of_all: impl FnOnce(&[[f64; 2]]) -> Result<Vec<[f64; 2]>>,
    ) -> Result<Gradients<T, X>> {
        let mut own = Vec::new();
        let lens = self.lens(x, needed);
        let fill = |dadded: &mut [MaybeUninit<X>]| {
            own = self.dims.for_channels([&mut [], dadded], |channel, [_, dadded]| {
                self.sums_of_channel::<T, X>(channel, x, output, moments[channel].mean, dadded)
            });
        };
        // SAFETY: as below.
        let added = unsafe { filled(lens[1], fill) };
        let sums = sums_of_all(&own)?;
        let fill = |dx: &mut [MaybeUninit<X>]| {
            self.dims.for_channels([dx, &mut []], |channel, [dx, _]| {
                let along = self.along(moments[channel], sums[channel], count);
                self.write_gradient(channel, x, weight[channel], output, along, dx);
            });
        };
        // SAFETY: every plane of every channel is written, and their sizes make up that of `x`.
        let x = unsafe { filled(lens[0], fill) };
        Ok(self.gradients(x, added, moments, &own))
    }

    /// Returns the numbers of elements of the gradients of `x` and of what was added to it.
    fn lens<X>(&self, x: &[X], needed: [bool; 2]) -> [usize; 2] {
        [needed[0], needed[1] && self.relu].map(|needed| if needed { x.len() } else { 0 })
    }

    fn gradients<T: Real, X>(
        &self,
        x: Vec<X>,
        added: Vec<X>,
        moments: &[Moments],
        sums: &[[f64; 2]],
    ) -> Gradients<T, X> {
        let of_weights = moments.iter().zip(sums).map(|(moments, [sum_dy, sum_dy_xmu])| {
            (T::from_f64(sum_dy_xmu * moments.inverse(self.eps)), T::from_f64(*sum_dy))
        });
        let (weight, bias) = of_weights.unzip();
        Gradients { x, added, weight, bias }
    }

    /// Returns the sums of `dy` and of `dy (x - mean)` over a channel, and writes the gradient of what was added to it.
    fn sums_of_channel<T: Real, X: Loads<T>>(
        &self,
        channel: usize,
        x: &[X],
        Output { y, dy }: Output<'_, X>,
        mean: f64,
        mut dadded: Channel<'_, X>,
    ) -> [f64; 2] {
        let (dims, relu) = (self.dims, self.relu);
        let along_x = move |x: X, dy: X| wide::<T, X>(dy) * (wide::<T, X>(x) - mean);
        vectorized(
            #[inline(always)]
            move || {
                let mut sums = TwoSums::new();
                for row in 0..dims.rows {
                    let [x, dy, y] = dims.planes([x, dy, y], row, channel);
                    if dadded.is_needed() {
                        dadded.write(row, [dy, y, y], move |dy, y, _| through_relu::<T, X>(dy, y));
                    }
                    if relu {
                        let dy_of = move |_, dy, y| wide::<T, X>(through_relu::<T, X>(dy, y));
                        sums.add([x, dy, y], dy_of, move |x, dy, y| along_x(x, through_relu::<T, X>(dy, y)));
                    } else {
                        sums.add([x, dy, dy], |_, dy, _| wide::<T, X>(dy), move |x, dy, _| along_x(x, dy));
                    }
                }
                sums.totals()
            },
        )
    }

    /// Returns what the gradient of a channel is computed from. The gradient through mean and variance is subtracted: the
    /// mean of `dy`, and its projection on `x`.
    fn along(&self, moments: Moments, [sum_dy, sum_dy_xmu]: [f64; 2], count: usize) -> Along {
        let (inverse, count) = (moments.inverse(self.eps), count as f64);
        match self.of_batch {
            true => Along {
                mean: moments.mean,
                along_x: sum_dy_xmu * inverse * inverse / count,
                mean_dy: sum_dy / count,
                inverse,
            },
            false => Along { mean: 0.0, along_x: 0.0, mean_dy: 0.0, inverse },
        }
    }

    /// Writes the gradient of a channel of `x`.
    fn write_gradient<T: Real, X: Loads<T>>(
        &self,
        channel: usize,
        x: &[X],
        weight: T,
        Output { y, dy }: Output<'_, X>,
        along: Along,
        mut dx: Channel<'_, X>,
    ) {
        if !dx.is_needed() {
            return;
        }
        let (dims, relu) = (self.dims, self.relu);
        let [mean, along_x, mean_dy] = [along.mean, along.along_x, along.mean_dy].map(T::from_f64);
        let scale = T::from_f64(along.inverse) * weight;
        let gradient = move |x: X, dy: X| X::store((dy.load() - mean_dy - (x.load() - mean) * along_x) * scale);
        vectorized(
            #[inline(always)]
            move || {
                for row in 0..dims.rows {
                    let [x, dy, y] = dims.planes([x, dy, y], row, channel);
                    match relu {
                        true => dx.write(row, [x, dy, y], move |x, dy, y| gradient(x, through_relu::<T, X>(dy, y))),
                        false => dx.write(row, [x, dy, dy], move |x, dy, _| gradient(x, dy)),
                    };
                }
            },
        );
    }
}

/// The numbers from which the gradient of a channel of `x` is computed.
#[derive(Clone, Copy)]
struct Along {
    mean: f64,
    along_x: f64,
    mean_dy: f64,
    inverse: f64,
}

/// The gradient `dy` of what became `y`, before a ReLU.
#[inline(always)]
fn through_relu<T: Real, X: Loads<T>>(dy: X, y: X) -> X {
    if y.load() <= T::zero() { X::store(T::zero()) } else { dy }
}
