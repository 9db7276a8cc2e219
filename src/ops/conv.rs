//! Two-dimensional convolution.
//!
//! On the CPU each image is unrolled, a few rows of the output at a time, into a matrix that has a column for every
//! position of the kernel; then convolving is a product of matrices (Chellapilla, Puri and Simard, 2006). Nothing of it
//! is kept for the backward pass: to unroll an image again is cheaper than to bring the matrix back from memory.

use std::ops::Range;

use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, CustomOp2, CustomOp3, Layout, Result, Shape, Tensor, WithDType, bail};
use rayon::prelude::*;

use super::cpu::{self, Reading, elements, total, vectorized, with_float};
use super::gemm::{Matrix, product};
use super::math::Real;
use super::pointwise::rectified;
use super::tape::{apply2, apply3};

/// How [`conv2d`] moves over an image, alike in both directions, and what becomes of its result.
#[derive(Clone, Copy, Debug)]
pub struct Conv2d {
    /// Step from one position of the kernel to the next.
    pub stride: usize,
    /// Zeros added at each edge.
    pub padding: usize,
    /// Groups of channels that are convolved each by itself.
    pub groups: usize,
    /// Whether negative results are set to zero.
    pub relu: bool,
}

impl Default for Conv2d {
    fn default() -> Self {
        Self { stride: 1, padding: 0, groups: 1, relu: false }
    }
}

/// Cross-correlation of `x` `[rows, in, height, width]` with `weight` `[out, in / groups, kernel height, kernel width]`
/// plus `bias` `[out]`, as `torch.nn.Conv2d`; the result is `[rows, out, …, …]`, each side of which is
/// `(side + 2 padding - kernel) / stride + 1`, rounded down.
///
/// # Errors
/// When the shapes do not fit or the device fails.
pub fn conv2d(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>, options: Conv2d) -> Result<Tensor> {
    let geometry = Geometry::new(options, x.dims(), weight.dims(), bias.map(Tensor::dims))?;
    if !cpu::is_fused(x) {
        return geometry.composed(x, weight, bias);
    }
    let (x, weight) = (x.contiguous()?, weight.contiguous()?);
    match bias {
        Some(bias) => apply3(&x, &weight, &bias.contiguous()?, options),
        None => apply2(&x, &weight, options),
    }
}

/// Parts that a batch is cut into: as many tasks as run side by side, and partial sums of the weights' gradient. It
/// depends on the shapes alone, so that the sums have the same bits for any number of threads.
const MOST_PARTS: usize = 16;
const FEWEST_PARTS: usize = 4;
/// Elements that the partial sums may have together, as long as there are [`FEWEST_PARTS`].
const PARTIAL_SUMS: usize = 1 << 22;
/// Elements of the unrolled part of an image: what stays in the cache of a core, beside the rest.
const UNROLLED: usize = 1 << 16;

/// The sizes in one convolution.
#[derive(Clone, Copy, Debug)]
struct Geometry {
    options: Conv2d,
    batch: usize,
    /// Channels, height and width of `x`.
    input: [usize; 3],
    /// Channels, height and width of the result.
    output: [usize; 3],
    kernel: [usize; 2],
}

impl Geometry {
    fn new(options: Conv2d, x: &[usize], weight: &[usize], bias: Option<&[usize]>) -> Result<Self> {
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

    /// The convolution from operations that every device has. Candle's backward pass fails where the last step of the
    /// kernel does not reach the edge alike in both directions; the numbers that no kernel reaches are left out.
    fn composed(&self, x: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
        let Conv2d { stride, padding, groups, relu } = self.options;
        let mut x = x.pad_with_zeros(2, padding, padding)?.pad_with_zeros(3, padding, padding)?;
        for side in [0, 1] {
            x = x.narrow(2 + side, 0, (self.output[1 + side] - 1) * stride + self.kernel[side])?;
        }
        let mut y = x.conv2d(weight, 0, stride, 1, groups)?;
        if let Some(bias) = bias {
            y = y.broadcast_add(&bias.reshape((1, (), 1, 1))?)?;
        }
        if relu { super::relu(&y) } else { Ok(y) }
    }

    fn input_len(&self) -> usize {
        self.input.iter().product()
    }

    fn output_len(&self) -> usize {
        self.output.iter().product()
    }

    /// Positions of the kernel in an image.
    fn positions(&self) -> usize {
        self.output[1] * self.output[2]
    }

    /// Weights that one number of the result is made with.
    fn weights(&self) -> usize {
        self.input[0] / self.options.groups * self.kernel[0] * self.kernel[1]
    }

    fn shape(&self) -> Shape {
        Shape::from([&[self.batch], &self.output[..]].concat())
    }

    /// Images in each part of the batch.
    fn part(&self) -> usize {
        let parts = (PARTIAL_SUMS / (self.output[0] * self.weights())).clamp(FEWEST_PARTS, MOST_PARTS);
        self.batch.div_ceil(parts).max(1)
    }

    /// Rows of the result that are worked on together.
    fn tiles(&self) -> impl Iterator<Item = Range<usize>> + use<> {
        let [_, height, width] = self.output;
        let most = (UNROLLED / (self.weights() * width)).clamp(1, height);
        let rows = height.div_ceil(height.div_ceil(most));
        (0..height).step_by(rows).map(move |start| start..(start + rows).min(height))
    }

    /// Elements of the largest unrolled tile.
    fn unrolled_len(&self) -> usize {
        self.tiles().map(|tile| tile.len()).max().unwrap_or(0) * self.output[2] * self.weights()
    }

    /// Where `side` of an image meets one row or column of the kernel, as a range of positions.
    fn reach(&self, side: usize, offset: usize, positions: usize) -> Range<usize> {
        let Conv2d { stride, padding, .. } = self.options;
        let end = (side + padding).saturating_sub(offset).div_ceil(stride).min(positions);
        padding.saturating_sub(offset).div_ceil(stride).min(end)..end
    }

    /// Visits the runs of numbers that the rows `tile` of the result need of a group's channels: where the run begins
    /// when unrolled, where in the image, and how long it is. In the image its numbers lie a stride apart.
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

    /// Unrolls what the rows `tile` of the result need of a group's channels: `[weights, positions]`.
    fn unroll<T: Real>(&self, channels: &[T], tile: &Range<usize>, unrolled: &mut [T]) {
        if self.options.padding > 0 {
            unrolled.fill(T::zero());
        }
        let stride = self.options.stride;
        self.runs(tile, |at, from, len| {
            let into = &mut unrolled[at..at + len];
            if stride == 1 {
                into.copy_from_slice(&channels[from..from + len]);
            } else {
                into.iter_mut().zip(channels[from..].iter().step_by(stride)).for_each(|(into, &x)| *into = x);
            }
        });
    }

    /// The opposite of [`Geometry::unroll`]: adds what is unrolled to where it came from.
    fn roll_up<T: Real>(&self, unrolled: &[T], tile: &Range<usize>, channels: &mut [T]) {
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

    /// Calls `visit` with each group and tile of an image: the group's channels of the input, its rows of the weight,
    /// where its part of the output begins, and the tile.
    fn blocks(&self, mut visit: impl FnMut(Range<usize>, Range<usize>, usize, Range<usize>)) {
        let (groups, positions, width) = (self.options.groups, self.positions(), self.output[2]);
        let (input, out) = (self.input_len() / groups, self.output[0] / groups);
        for group in 0..groups {
            let (channels, rows) = (group * input..(group + 1) * input, group * out..(group + 1) * out);
            for tile in self.tiles() {
                visit(channels.clone(), rows.clone(), rows.start * positions + tile.start * width, tile);
            }
        }
    }

    fn forward<T: Real>(&self, x: &[T], weight: &[T], bias: Option<&[T]>) -> Vec<T> {
        let mut y = vec![T::zero(); self.batch * self.output_len()];
        let part = self.part();
        let parts = y.par_chunks_mut(part * self.output_len()).zip(x.par_chunks(part * self.input_len()));
        parts.for_each(|(y, x)| {
            let mut unrolled = vec![T::zero(); self.unrolled_len()];
            let images = y.chunks_exact_mut(self.output_len()).zip(x.chunks_exact(self.input_len()));
            images.for_each(|(y, x)| self.forward_image(x, weight, bias, y, &mut unrolled));
        });
        y
    }

    fn forward_image<T: Real>(&self, x: &[T], weight: &[T], bias: Option<&[T]>, y: &mut [T], unrolled: &mut [T]) {
        let (positions, weights) = (self.positions(), self.weights());
        self.blocks(|channels, rows, start, tile| {
            let columns = tile.len() * self.output[2];
            let unrolled = &mut unrolled[..weights * columns];
            self.unroll(&x[channels], &tile, unrolled);
            let kernels = Matrix::new(&weight[rows.start * weights..], rows.len(), weights, weights);
            let y = &mut y[start..];
            product(kernels, Matrix::new(unrolled, weights, columns, columns), y, positions, false);
            for (row, y) in rows.zip(y.chunks_mut(positions)) {
                self.finish(&mut y[..columns], bias.map(|bias| bias[row]));
            }
        });
    }

    /// What follows the products.
    fn finish<T: Real>(&self, y: &mut [T], bias: Option<T>) {
        if bias.is_none() && !self.options.relu {
            return;
        }
        let (bias, relu) = (bias.unwrap_or_else(T::zero), self.options.relu);
        vectorized(
            #[inline(always)]
            || {
                for y in y {
                    *y = if relu { rectified(*y + bias) } else { *y + bias };
                }
            },
        );
    }

    /// The gradients of input, weight and bias where they are `wanted`.
    fn backward<T: Real>(&self, operands: Operands<'_, T>, wanted: Wanted) -> Gradients<T> {
        let (x, weight, ..) = operands;
        let part = self.part();
        let mut of_input = vec![T::zero(); if wanted.input { x.len() } else { 0 }];
        let mut parts: Vec<&mut [T]> = of_input.chunks_mut(part * self.input_len()).collect();
        parts.resize_with(self.batch.div_ceil(part), Default::default);
        let partial_sums = parts.into_par_iter().enumerate().map(|(index, of_input)| {
            let images = index * part..((index + 1) * part).min(self.batch);
            self.backward_part(images, operands, of_input, wanted)
        });
        let (of_weight, of_bias) = partial_sums.collect();
        let lengths = [(wanted.weight, weight.len()), (wanted.bias, self.output[0])];
        let [weights, biases] = lengths.map(|(wanted, len)| if wanted { len } else { 0 });
        Gradients { input: of_input, weight: total(of_weight, weights), bias: total(of_bias, biases) }
    }

    /// Writes the gradient of some images; what they add to those of weight and bias is the result.
    fn backward_part<T: Real>(
        &self,
        images: Range<usize>,
        (x, weight, y, gradient): Operands<'_, T>,
        of_input: &mut [T],
        wanted: Wanted,
    ) -> (Vec<T>, Vec<T>) {
        let zeros = |wanted: bool, len: usize| vec![T::zero(); if wanted { len } else { 0 }];
        let mut of_weight = zeros(wanted.weight, weight.len());
        let mut of_bias = zeros(wanted.bias, self.output[0]);
        let mut passed = zeros(self.options.relu, self.output_len());
        let mut unrolled = zeros(true, self.unrolled_len());
        let mut of_images = of_input.chunks_exact_mut(self.input_len());
        for image in images {
            let outputs = image * self.output_len()..(image + 1) * self.output_len();
            let mut gradient = &gradient[outputs.clone()];
            if self.options.relu {
                pass(gradient, &y[outputs], &mut passed);
                gradient = &passed;
            }
            vectorized(
                #[inline(always)]
                || {
                    let channels = of_bias.iter_mut().zip(gradient.chunks_exact(self.positions()));
                    channels.for_each(|(bias, g)| *bias += cpu::sum(g, |g| g));
                },
            );
            let of_weight = wanted.weight.then_some(&mut of_weight[..]);
            let x = &x[image * self.input_len()..][..self.input_len()];
            self.backward_image(x, weight, gradient, of_weight, of_images.next(), &mut unrolled);
        }
        (of_weight, of_bias)
    }

    fn backward_image<T: Real>(
        &self,
        x: &[T],
        weight: &[T],
        gradient: &[T],
        mut of_weight: Option<&mut [T]>,
        mut of_image: Option<&mut [T]>,
        unrolled: &mut [T],
    ) {
        let (positions, weights) = (self.positions(), self.weights());
        self.blocks(|channels, rows, start, tile| {
            let columns = tile.len() * self.output[2];
            let unrolled = &mut unrolled[..weights * columns];
            let gradient = Matrix::new(&gradient[start..], rows.len(), columns, positions);
            let kernels = rows.start * weights..rows.end * weights;
            if let Some(of_weight) = &mut of_weight {
                self.unroll(&x[channels.clone()], &tile, unrolled);
                let unrolled = Matrix::new(unrolled, weights, columns, columns).transposed();
                product(gradient, unrolled, &mut of_weight[kernels.clone()], weights, true);
            }
            if let Some(of_image) = &mut of_image {
                let kernels = Matrix::new(&weight[kernels], rows.len(), weights, weights);
                product(kernels.transposed(), gradient, unrolled, columns, false);
                self.roll_up(unrolled, &tile, &mut of_image[channels]);
            }
        });
    }
}

/// The gradient that passes through a rectifier whose results are `y`.
fn pass<T: Real>(gradient: &[T], y: &[T], passed: &mut [T]) {
    vectorized(
        #[inline(always)]
        || {
            for (passed, (&g, &y)) in passed.iter_mut().zip(gradient.iter().zip(y)) {
                *passed = if y > T::zero() { g } else { T::zero() };
            }
        },
    );
}

/// Input, weight, result and the result's gradient.
type Operands<'a, T> = (&'a [T], &'a [T], &'a [T], &'a [T]);

/// Which gradients somebody needs.
#[derive(Clone, Copy)]
struct Wanted {
    input: bool,
    weight: bool,
    bias: bool,
}

struct Gradients<T> {
    input: Vec<T>,
    weight: Vec<T>,
    bias: Vec<T>,
}

type Operand<'a> = (&'a CpuStorage, &'a Layout);

impl Conv2d {
    fn run(self, x: Operand<'_>, weight: Operand<'_>, bias: Option<Operand<'_>>) -> Result<(CpuStorage, Shape)> {
        let geometry = Geometry::new(self, x.1.dims(), weight.1.dims(), bias.map(|(_, layout)| layout.dims()))?;
        let y = with_float!("conv2d", x.0.dtype(), T => {
            let bias = bias.map(|(storage, layout)| elements::<T>(storage, layout)).transpose()?;
            T::to_cpu_storage_owned(geometry.forward::<T>(elements(x.0, x.1)?, elements(weight.0, weight.1)?, bias))
        });
        Ok((y, geometry.shape()))
    }

    /// The gradients of input, weight and bias.
    fn gradients(
        self,
        x: &Tensor,
        weight: &Tensor,
        bias: Option<&Tensor>,
        y: &Tensor,
        gradient: &Tensor,
    ) -> Result<[Option<Tensor>; 3]> {
        let geometry = Geometry::new(self, x.dims(), weight.dims(), bias.map(Tensor::dims))?;
        let wanted =
            Wanted { input: x.track_op(), weight: weight.track_op(), bias: bias.is_some_and(Tensor::track_op) };
        let gradient = gradient.contiguous()?;
        with_float!("conv2d", x.dtype(), T => {
            let [x_read, weight_read, y, gradient] = [x, weight, y, &gradient].map(Reading::of);
            let operands = (x_read.elements()?, weight_read.elements()?, y.elements()?, gradient.elements()?);
            let found: Gradients<T> = geometry.backward(operands, wanted);
            let tensor = |values: Vec<T>, like: Option<&Tensor>| {
                like.filter(|like| like.track_op()).map(|like| cpu::tensor(values, like)).transpose()
            };
            Ok([
                tensor(found.input, Some(x))?,
                tensor(found.weight, Some(weight))?,
                tensor(found.bias, bias)?,
            ])
        })
    }
}

impl CustomOp2 for Conv2d {
    fn name(&self) -> &'static str {
        "conv2d"
    }

    fn cpu_fwd(&self, x: &CpuStorage, xl: &Layout, w: &CpuStorage, wl: &Layout) -> Result<(CpuStorage, Shape)> {
        self.run((x, xl), (w, wl), None)
    }

    fn bwd(&self, x: &Tensor, w: &Tensor, y: &Tensor, gradient: &Tensor) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let [x, w, _] = self.gradients(x, w, None, y, gradient)?;
        Ok((x, w))
    }
}

impl CustomOp3 for Conv2d {
    fn name(&self) -> &'static str {
        "conv2d"
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
        self.run((x, xl), (w, wl), Some((b, bl)))
    }

    fn bwd(
        &self,
        x: &Tensor,
        w: &Tensor,
        b: &Tensor,
        y: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let [x, w, b] = self.gradients(x, w, Some(b), y, gradient)?;
        Ok((x, w, b))
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Reference, assert_gradients, assert_same_function, gradients, numbers, to_vec};
    use super::*;

    /// Input, weight, and how one moves over the other.
    fn cases() -> Vec<([usize; 4], [usize; 4], Conv2d)> {
        let plain = Conv2d::default();
        vec![
            ([2, 1, 5, 6], [3, 1, 3, 3], plain),
            ([3, 2, 6, 5], [4, 2, 3, 2], Conv2d { padding: 1, relu: true, ..plain }),
            ([2, 3, 7, 6], [2, 3, 3, 3], Conv2d { stride: 2, padding: 1, ..plain }),
            ([2, 4, 6, 6], [6, 2, 2, 3], Conv2d { stride: 3, padding: 2, groups: 2, relu: true }),
            ([2, 4, 5, 5], [4, 1, 3, 3], Conv2d { padding: 1, groups: 4, ..plain }),
            ([2, 3, 5, 5], [2, 3, 1, 1], Conv2d { stride: 2, ..plain }),
            ([1, 1, 2, 2], [1, 1, 5, 5], Conv2d { padding: 2, ..plain }),
        ]
    }

    fn operands(x: &[usize], weight: &[usize]) -> [Tensor; 3] {
        [numbers(x, 0), numbers(weight, 1), numbers(&weight[..1], 2)]
    }

    #[test]
    fn values_and_gradients_are_those_of_pytorch() {
        let reference = Reference::open("image_reference.safetensors");
        let plain = Conv2d::default();
        let cases = [
            ("conv2d.plain", plain),
            ("conv2d.strided", Conv2d { stride: 2, padding: 1, relu: true, ..plain }),
            ("conv2d.grouped", Conv2d { padding: 1, groups: 2, ..plain }),
        ];
        for (case, options) in cases {
            reference.assert(case, 1e-12, |t| conv2d(&t[0], &t[1], Some(&t[2]), options));
        }
    }

    #[test]
    fn gradients_agree_with_finite_differences() {
        for (x, weight, options) in cases() {
            let [x, weight, bias] = operands(&x, &weight);
            assert_gradients(&[&x, &weight, &bias], |t| conv2d(&t[0], &t[1], Some(&t[2]), options));
            assert_gradients(&[&x, &weight], |t| conv2d(&t[0], &t[1], None, options));
        }
    }

    #[track_caller]
    fn assert_both_forms([x, weight, bias]: &[Tensor; 3], options: Conv2d) {
        let fused = |t: &[Tensor]| conv2d(&t[0], &t[1], Some(&t[2]), options);
        let geometry = Geometry::new(options, x.dims(), weight.dims(), Some(bias.dims())).unwrap();
        let composed = |t: &[Tensor]| geometry.composed(&t[0], &t[1], Some(&t[2]));
        assert_same_function(&[x, weight, bias], 1e-9, fused, composed);
    }

    #[test]
    fn the_composed_form_agrees_with_the_fused_one() {
        for (x, weight, options) in cases() {
            assert_both_forms(&operands(&x, &weight), options);
        }
    }

    /// Larger than one tile and one part: 40 images of 9 by 40 by 40 numbers, each unrolled to 81 by 1600.
    #[test]
    fn tiles_and_parts_of_a_batch_make_no_difference() {
        let [x, weight, bias] = operands(&[40, 9, 40, 40], &[5, 9, 3, 3]);
        let options = Conv2d { padding: 1, ..Conv2d::default() };
        let geometry = Geometry::new(options, x.dims(), weight.dims(), Some(bias.dims())).unwrap();
        assert!(geometry.tiles().count() > 1 && geometry.part() < 40);
        assert_both_forms(&[x, weight, bias], options);
    }

    #[test]
    fn any_number_of_threads_gives_the_same_bits() {
        let [x, weight, bias] = operands(&[37, 8, 12, 12], &[6, 8, 3, 3]);
        let bits = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| {
                let options = Conv2d { relu: true, ..Conv2d::default() };
                let found = gradients(&[&x, &weight, &bias], |t| conv2d(&t[0], &t[1], Some(&t[2]), options));
                found.iter().flat_map(to_vec).collect::<Vec<f64>>()
            })
        };
        let one = bits(1);
        assert!(one.iter().any(|x| *x != 0.0));
        for threads in [2, 3, 7] {
            assert_eq!(one, bits(threads), "{threads} threads");
        }
    }

    /// The data of a batch is no variable; its gradient would be the costliest of the three.
    #[test]
    fn a_gradient_that_nobody_needs_is_not_computed() {
        let [x, weight, bias] = operands(&[2, 1, 4, 4], &[1, 1, 3, 3]);
        let [weight, bias] = [weight, bias].map(|x| candle_core::Var::from_tensor(&x).unwrap());
        let y = conv2d(&x, &weight, Some(&bias), Conv2d::default()).unwrap();
        let gradients = Conv2d::default().gradients(&x, &weight, Some(&bias), &y, &y.ones_like().unwrap()).unwrap();
        assert_eq!(gradients.map(|gradient| gradient.is_some()), [false, true, true]);
    }

    #[test]
    fn shapes_that_do_not_fit_are_refused_with_both() {
        let refusal = |x: &[usize], weight: &[usize], bias: &[usize], options| {
            let [x, weight, bias] = [x, weight, bias].map(|shape| numbers(shape, 0));
            conv2d(&x, &weight, Some(&bias), options).unwrap_err().to_string()
        };
        let plain = Conv2d::default();
        let small = refusal(&[1, 1, 2, 9], &[1, 1, 3, 3], &[1], plain);
        assert!(small.contains("[1, 1, 2, 9]") && small.contains("smaller than the kernel of [1, 1, 3, 3]"), "{small}");
        assert!(refusal(&[1, 2, 5, 5], &[1, 3, 3, 3], &[1], plain).contains("does not fit an input of [1, 2, 5, 5]"));
        assert!(refusal(&[1, 2, 5, 5], &[3, 1, 3, 3], &[3], Conv2d { groups: 2, ..plain }).contains("in 2 groups"));
        assert!(refusal(&[1, 2, 5, 5], &[3, 2, 3, 3], &[2], plain).contains("a bias of Some([2])"));
        assert!(refusal(&[2, 5, 5], &[3, 2, 3, 3], &[3], plain).contains("four dimensions"));
        assert!(refusal(&[1, 2, 5, 5], &[3, 2, 3, 3], &[3], Conv2d { stride: 0, ..plain }).contains("a size of 0"));
    }
}
