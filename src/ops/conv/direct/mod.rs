//! Convolutions that move by one place, without unrolled images, on x86-64 processors with AVX-512.
//!
//! Every product of a weight with a number of the padding is a real one, as in the reference: an infinite weight gives
//! NaN there.

mod flat;
mod planes;
mod turn;
mod weight;

use std::mem::MaybeUninit;
use std::ops::Range;

use bytemuck::cast_slice;
use candle_core::DType;

use super::Conv2d;
use super::cpu::Needed;
use super::geometry::Geometry;
use crate::cpu::{filled, for_chunks};
use crate::ops::bf16::Stored;
use flat::{Convolution, Finish, OUTPUTS, Packed};
use planes::{LANES, Planes};
use weight::WeightGradient;

/// The fewest tasks of a batch, where images can be computed in pieces.
const TASKS: usize = 16;

impl Geometry {
    /// Whether the convolution is computed by this module.
    pub fn is_direct(&self, dtype: DType) -> bool {
        // Images of a few pixels fill a small part of a vector.
        self.can_be_direct(dtype) && self.planes().vectors() * LANES <= 4 * self.positions()
    }

    /// Whether the convolution has the form for this module, and the processor its instructions.
    fn can_be_direct(&self, dtype: DType) -> bool {
        let Conv2d { stride, padding, groups, .. } = self.options;
        let has_form = stride == 1 && groups == 1 && self.kernel.iter().all(|&side| padding < side);
        dtype == DType::F32 && has_form && is_x86_feature_detected!("avx512f")
    }

    fn planes(&self) -> Planes {
        let [channels, height, width] = self.input;
        Planes::new(channels, [height, width], [self.options.padding; 2], self.kernel)
    }

    /// The planes of the result's gradient, from which that of the input is computed.
    fn planes_of_gradient(&self) -> Planes {
        let [channels, height, width] = self.output;
        Planes::new(channels, [height, width], self.kernel.map(|side| side - 1 - self.options.padding), self.kernel)
    }
}

/// Convolves a batch.
pub(super) fn convolve<T: Stored>(geometry: &Geometry, x: &[T], weight: &[T], bias: Option<&[T::Sum]>) -> Vec<T> {
    assert!(geometry.can_be_direct(T::DTYPE), "a convolution of another form");
    let (outputs, taps) = (geometry.output[0], geometry.weights());
    let weights = Packed::new(cast_slice(weight), outputs, taps, |output, tap| output * taps + tap);
    let convolution = Convolution::new(geometry.planes(), weights, false);
    let finish = Finish { bias: bias.map(cast_slice), relu: geometry.options.relu };
    in_pieces(geometry, x, outputs.div_ceil(OUTPUTS), OUTPUTS, |x, blocks, y| {
        // SAFETY: the processor has the instructions, and the piece has the positions of its blocks.
        unsafe { convolution.of_image(cast_slice(x), blocks, finish, y.as_mut_ptr().cast()) }
    })
}

/// Calls `work` with each image, a range of its blocks of outputs and their part of the result, all of which it writes.
/// Images are computed in pieces where there are few.
fn in_pieces<T: Stored>(
    geometry: &Geometry,
    x: &[T],
    blocks: usize,
    outputs: usize,
    work: impl Fn(&[T], Range<usize>, &mut [MaybeUninit<T>]) + Sync,
) -> Vec<T> {
    let each = blocks.div_ceil(TASKS.div_ceil(geometry.batch.max(1)));
    let of_task = if each == blocks { geometry.part() } else { 1 };
    let fill = |y: &mut [MaybeUninit<T>]| {
        let images = y.chunks_exact_mut(geometry.output_len()).zip(x.chunks_exact(geometry.input_len()));
        let piece = each * outputs * geometry.positions();
        let pieces = images.flat_map(|(y, x)| y.chunks_mut(piece).enumerate().map(move |(i, y)| (i * each, x, y)));
        for_chunks(&mut pieces.collect::<Vec<_>>(), of_task, usize::MAX, |_, pieces| {
            pieces.iter_mut().for_each(|(first, x, y)| work(x, *first..blocks.min(*first + each), y));
        });
    };
    // SAFETY: the pieces are those of all images, and `work` writes them.
    unsafe { filled(geometry.batch * geometry.output_len(), fill) }
}

/// The gradients of input and weight, where they are needed.
pub(super) struct Gradients {
    input: Option<Convolution>,
    weight: Option<WeightGradient>,
}

impl Gradients {
    /// `None` if a weight is not finite: the gradient of a pixel near the edge has no product with weights whose output
    /// lies outside, and here one with zero.
    pub fn new<T: Stored>(geometry: &Geometry, weight: &[T], needed: Needed) -> Option<Self> {
        assert!(geometry.can_be_direct(T::DTYPE), "a convolution of another form");
        let weight: &[f32] = cast_slice(weight);
        if needed.x && !weight.iter().all(|weight| weight.is_finite()) {
            return None;
        }
        let [inputs, outputs] = [geometry.input[0], geometry.output[0]];
        let kernel = geometry.kernel[0] * geometry.kernel[1];
        let input = || {
            // The taps are those of one output after the other.
            let at = |input: usize, tap: usize| (tap / kernel * inputs + input) * kernel + tap % kernel;
            Convolution::new(geometry.planes_of_gradient(), Packed::new(weight, inputs, outputs * kernel, at), true)
        };
        let weight = needed.weight.then(|| WeightGradient::new(geometry.planes(), outputs));
        Some(Self { input: needed.x.then(input), weight })
    }

    /// Returns the number of sums of the weight gradient.
    pub fn sums(&self) -> usize {
        self.weight.as_ref().map_or(0, WeightGradient::sums)
    }

    /// Adds an image's sums to those of the weight gradient, and writes the image's gradient.
    pub fn of_image<T: Stored>(&self, x: &[T], dy: &[T], sums: &mut [T::Sum], dx: &mut [MaybeUninit<T>]) {
        if let Some(gradient) = &self.weight {
            // SAFETY: the processor has the instructions.
            unsafe { gradient.add(cast_slice(x), cast_slice(dy), bytemuck::cast_slice_mut(sums)) }
        }
        if let Some(convolution) = &self.input {
            assert_eq!(dx.len(), x.len(), "the gradient of another image");
            // SAFETY: the processor has the instructions, and there is room for the gradient of the image.
            unsafe { convolution.of_image(cast_slice(dy), convolution.blocks(), Finish::NONE, dx.as_mut_ptr().cast()) }
        }
    }

    /// Returns the gradient of the weights with these sums.
    pub fn weights<T: Stored>(&self, sums: &[T::Sum]) -> Vec<T::Sum> {
        // SAFETY: the processor has the instructions.
        let weights = self.weight.as_ref().map(|gradient| unsafe { gradient.weights(cast_slice(sums)) });
        weights.map_or_else(Vec::new, |weights| cast_slice(&weights).to_vec())
    }
}

#[cfg(test)]
mod tests;
