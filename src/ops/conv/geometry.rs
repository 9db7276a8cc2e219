//! Sizes of a convolution, and im2col.

use std::ops::Range;

use candle_core::{Result, Shape, Tensor, WithDType, bail};

use super::Conv2d;
use crate::cpu::{Real, vectorized};

/// Maximal number of parts of a batch: the tasks that run in parallel, and the partial sums of the weight gradient. The
/// number depends only on the shapes, so that the sums have the same bits for any number of threads.
const MOST_PARTS: usize = 16;
const FEWEST_PARTS: usize = 4;
/// Maximal number of elements in all partial sums, unless there are only [`FEWEST_PARTS`].
const PARTIAL_SUMS: usize = 1 << 22;
/// Number of elements in the unrolled part of an image, which fits into a core's cache beside the other data.
const UNROLLED: usize = 1 << 16;

/// The sizes of a convolution.
#[derive(Clone, Copy, Debug)]
pub(super) struct Geometry {
    pub options: Conv2d,
    pub batch: usize,
    /// Channels, height and width of `x`.
    pub input: [usize; 3],
    /// Channels, height and width of the result.
    pub output: [usize; 3],
    pub kernel: [usize; 2],
}

impl Geometry {
    pub fn new(options: Conv2d, x: &[usize], weight: &[usize], bias: Option<&[usize]>) -> Result<Self> {
        let (&[batch, channels, height, width], &[out, per_group, kernel_height, kernel_width]) = (x, weight) else {
            bail!("conv2d takes an input and a weight of four dimensions, not {x:?} and {weight:?}")
        };
        let Conv2d { stride, padding, groups, .. } = options;
        if stride == 0 || groups == 0 || weight.contains(&0) || x[1..].contains(&0) {
            bail!("conv2d: nothing can have a size of 0: input {x:?}, weight {weight:?}, {options:?}");
        }
        if per_group.checked_mul(groups) != Some(channels) || !out.is_multiple_of(groups) {
            bail!("conv2d: a weight of {weight:?} in {groups} groups does not fit an input of {x:?}");
        }
        if bias.is_some_and(|bias| bias != [out]) {
            bail!("conv2d: a bias of {bias:?} does not fit a weight of {weight:?}");
        }
        let side = |side: usize, kernel: usize| Some((side + 2 * padding).checked_sub(kernel)? / stride + 1);
        let (Some(out_height), Some(out_width)) = (side(height, kernel_height), side(width, kernel_width)) else {
            bail!("conv2d: an input of {x:?} with a padding of {padding} is smaller than the kernel of {weight:?}")
        };
        Ok(Self {
            options,
            batch,
            input: [channels, height, width],
            output: [out, out_height, out_width],
            kernel: [kernel_height, kernel_width],
        })
    }

    /// Computes the convolution with Candle operations. Candle's backward pass fails if the last step of the kernel
    /// ends at different distances from the edge in the two directions; pixels that no kernel reaches are cut off.
    pub fn reference(&self, x: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
        let Conv2d { stride, padding, groups, relu } = self.options;
        let mut x = x.pad_with_zeros(2, padding, padding)?.pad_with_zeros(3, padding, padding)?;
        for side in [0, 1] {
            x = x.narrow(2 + side, 0, (self.output[1 + side] - 1) * stride + self.kernel[side])?;
        }
        let mut y = x.conv2d(weight, 0, stride, 1, groups)?;
        if let Some(bias) = bias {
            y = y.broadcast_add(&bias.reshape((1, (), 1, 1))?)?;
        }
        if relu { crate::ops::relu(&y) } else { Ok(y) }
    }

    pub fn input_len(&self) -> usize {
        self.input.iter().product()
    }

    pub fn output_len(&self) -> usize {
        self.output.iter().product()
    }

    /// Returns the number of kernel positions in an image.
    pub fn positions(&self) -> usize {
        self.output[1] * self.output[2]
    }

    /// Returns the number of weights per output element.
    pub fn weights(&self) -> usize {
        self.input[0] / self.options.groups * self.kernel[0] * self.kernel[1]
    }

    pub fn shape(&self) -> Shape {
        Shape::from([&[self.batch], &self.output[..]].concat())
    }

    /// Returns the number of images in each part of the batch.
    pub fn part(&self) -> usize {
        let parts = (PARTIAL_SUMS / (self.output[0] * self.weights())).clamp(FEWEST_PARTS, MOST_PARTS);
        self.batch.div_ceil(parts).max(1)
    }

    /// Returns the tiles: rows of the result that are computed together.
    pub fn tiles(&self) -> impl Iterator<Item = Range<usize>> + use<> {
        let [_, height, width] = self.output;
        let most = (UNROLLED / (self.weights() * width)).clamp(1, height);
        let rows = height.div_ceil(height.div_ceil(most));
        (0..height).step_by(rows).map(move |start| start..(start + rows).min(height))
    }

    /// Returns the number of elements in the largest unrolled tile.
    pub fn unrolled_len(&self) -> usize {
        self.tiles().map(|tile| tile.len()).max().unwrap_or(0) * self.output[2] * self.weights()
    }

    /// Returns the range of positions where a row or column of the kernel lies within `side` of an image.
    fn reach(&self, side: usize, offset: usize, positions: usize) -> Range<usize> {
        let Conv2d { stride, padding, .. } = self.options;
        let end = (side + padding).saturating_sub(offset).div_ceil(stride).min(positions);
        padding.saturating_sub(offset).div_ceil(stride).min(end)..end
    }

    /// Visits the runs of pixels that rows `tile` of the result need from a group's channels: the start of the run when
    /// unrolled, its start in the image, and its length. In the image its pixels are a stride apart.
    #[inline(always)]
    fn runs(&self, tile: &Range<usize>, mut visit: impl FnMut(usize, usize, usize)) {
        let ([_, height, width], Conv2d { stride, padding, groups, .. }) = (self.input, self.options);
        let mut unrolled = 0;
        for channel in 0..self.input[0] / groups {
            for ky in 0..self.kernel[0] {
                let rows = self.reach(height, ky, self.output[1]);
                for kx in 0..self.kernel[1] {
                    let columns = self.reach(width, kx, self.output[2]);
                    for row in tile.clone() {
                        if rows.contains(&row) && !columns.is_empty() {
                            let (y, x) = (row * stride + ky - padding, columns.start * stride + kx - padding);
                            visit(unrolled + columns.start, (channel * height + y) * width + x, columns.len());
                        }
                        unrolled += self.output[2];
                    }
                }
            }
        }
    }

    /// Unrolls the pixels that rows `tile` of the result need from a group's channels: `[weights, positions]`.
    pub fn im2col<T: WithDType>(&self, channels: &[T], tile: &Range<usize>, unrolled: &mut [T]) {
        let stride = self.options.stride;
        // Up to here everything is written.
        let mut end = 0;
        self.runs(tile, |at, from, len| {
            unrolled[end..at].fill(T::zero());
            end = at + len;
            let into = &mut unrolled[at..end];
            if stride == 1 {
                into.copy_from_slice(&channels[from..from + len]);
            } else {
                into.iter_mut().zip(channels[from..].iter().step_by(stride)).for_each(|(into, &x)| *into = x);
            }
        });
        unrolled[end..].fill(T::zero());
    }

    /// The transpose of [`Geometry::im2col`]: adds unrolled elements to the pixels that they came from.
    pub fn col2im<T: Real>(&self, unrolled: &[T], tile: &Range<usize>, channels: &mut [T]) {
        let stride = self.options.stride;
        vectorized(
            #[inline(always)]
            || {
                self.runs(
                    tile,
                    #[inline(always)]
                    |at, to, len| {
                        let from = &unrolled[at..at + len];
                        if stride == 1 {
                            channels[to..to + len].iter_mut().zip(from).for_each(|(into, &x)| *into += x);
                        } else {
                            channels[to..].iter_mut().step_by(stride).zip(from).for_each(|(into, &x)| *into += x);
                        }
                    },
                );
            },
        );
    }

    /// Calls `visit` with each group and tile of an image: the group's input channels, its weight rows, the start of
    /// its part of the output, and the tile.
    pub fn blocks(&self, mut visit: impl FnMut(Range<usize>, Range<usize>, usize, Range<usize>)) {
        let (groups, positions, width) = (self.options.groups, self.positions(), self.output[2]);
        let (input, out) = (self.input_len() / groups, self.output[0] / groups);
        for group in 0..groups {
            let (channels, rows) = (group * input..(group + 1) * input, group * out..(group + 1) * out);
            for tile in self.tiles() {
                visit(channels.clone(), rows.clone(), rows.start * positions + tile.start * width, tile);
            }
        }
    }
}
