//! Convolutions that move by one or two places, without unrolled images, on x86-64 processors: in f32 with AVX-512, in
//! bf16 with the matrix unit AMX. If they move by two, the gradient of the input is computed with unrolled images.
//!
//! Every product of a weight with a number of the padding is a real one, as in the reference: an infinite weight gives
//! NaN there.

mod flat;
mod paired;
mod paired_weight;
mod planes;
#[cfg(test)]
mod tests;
mod tiles;
mod turn;
mod weight;

use std::mem::MaybeUninit;
use std::ops::Range;

use bytemuck::{cast_slice, cast_slice_mut};
use candle_core::DType;
use num_traits::Float;

use super::Conv2d;
use super::cpu::Needed;
use super::geometry::Geometry;
use crate::cpu::product::{Instructions, instructions};
use crate::cpu::{filled, for_chunks, map_rows, vectorized};
use crate::ops::bf16::Stored;
use flat::{Convolution, Finish, Packed};
use paired::PairedConvolution;
use paired_weight::PairedWeightGradient;
use planes::{Form, LANES, Planes};
use weight::WeightGradient;

/// The fewest tasks of a batch, where images can be computed in pieces.
const TASKS: usize = 16;

impl Geometry {
    /// Whether the convolution is computed by this module.
    pub fn is_direct(&self, dtype: DType) -> bool {
        // Images of a few pixels fill a small part of a vector.
        self.can_be_direct(dtype) && self.planes(1, 1).vectors() * LANES <= 4 * self.positions()
    }

    /// Whether the convolution has the form for this module, and the processor its instructions.
    fn can_be_direct(&self, dtype: DType) -> bool {
        let Conv2d { stride, padding, groups, .. } = self.options;
        let has_form = stride <= 2 && groups == 1 && self.kernel.iter().all(|&side| padding < side);
        let has_amx = || instructions() == Some(Instructions::Amx) && is_x86_feature_detected!("avx512vbmi2");
        has_form
            && match dtype {
                DType::F32 => is_x86_feature_detected!("avx512f"),
                DType::BF16 => has_amx(),
                _ => false,
            }
    }

    /// Planes for images with this number of channels, or pairs of them.
    fn planes(&self, channels: usize, group: usize) -> Planes {
        let ([_, height, width], Conv2d { stride, padding, .. }) = (self.input, self.options);
        let form = Form { image: [height, width], padding: [padding; 2], kernel: self.kernel, stride };
        Planes::new(channels, form, group)
    }

    /// The planes of the result's gradient, from which that of the input is computed, if the stride is one.
    fn planes_of_gradient(&self, channels: usize, group: usize) -> Planes {
        let ([_, height, width], padding) = (self.output, self.kernel.map(|side| side - 1 - self.options.padding));
        Planes::new(channels, Form { image: [height, width], padding, kernel: self.kernel, stride: 1 }, group)
    }
}

/// A convolution with the weights of the forward pass, or of the gradient of the input.
enum Kernel {
    F32(Convolution),
    Bf16(PairedConvolution),
}

impl Kernel {
    fn forward<T: Stored>(geometry: &Geometry, weight: &[T]) -> Self {
        let ([inputs, ..], [outputs, ..]) = (geometry.input, geometry.output);
        let (taps, kernel) = (geometry.weights(), geometry.kernel[0] * geometry.kernel[1]);
        if T::DTYPE == DType::F32 {
            let weights = Packed::new(cast_slice(weight), outputs, taps, |output, tap| output * taps + tap);
            return Self::F32(Convolution::new(geometry.planes(inputs, 1), weights, false));
        }
        let planes = |channels| geometry.planes(channels, paired::GROUP);
        let at = |output: usize, channel: usize, place: usize| (output * inputs + channel) * kernel + place;
        Self::Bf16(PairedConvolution::new(planes, inputs, cast_slice(weight), outputs, at, false))
    }

    /// Of the result's gradient, which gives that of the input.
    fn backward<T: Stored>(geometry: &Geometry, weight: &[T]) -> Self {
        let ([inputs, ..], [outputs, ..]) = (geometry.input, geometry.output);
        let kernel = geometry.kernel[0] * geometry.kernel[1];
        let at = |input: usize, output: usize, place: usize| (output * inputs + input) * kernel + place;
        if T::DTYPE == DType::F32 {
            let at = |input: usize, tap: usize| at(input, tap / kernel, tap % kernel);
            let weights = Packed::new(cast_slice(weight), inputs, outputs * kernel, at);
            return Self::F32(Convolution::new(geometry.planes_of_gradient(outputs, 1), weights, true));
        }
        let planes = |channels| geometry.planes_of_gradient(channels, paired::GROUP);
        Self::Bf16(PairedConvolution::new(planes, outputs, cast_slice(weight), inputs, at, true))
    }

    /// Returns the outputs of a block.
    fn block(&self) -> usize {
        match self {
            Self::F32(_) => flat::OUTPUTS,
            Self::Bf16(_) => paired::OUTPUTS,
        }
    }

    /// Returns all blocks.
    fn blocks(&self) -> Range<usize> {
        match self {
            Self::F32(convolution) => convolution.blocks(),
            Self::Bf16(convolution) => convolution.blocks(),
        }
    }

    /// Convolves an image for these blocks of outputs, and writes their positions to `y`.
    ///
    /// # Safety
    /// The processor has the instructions, and there is room for the positions of the blocks' outputs at `y`.
    unsafe fn of_image<T: Stored>(&self, x: &[T], blocks: Range<usize>, finish: Finish<'_>, y: *mut T) {
        // SAFETY: as promised by the caller.
        unsafe {
            match self {
                Self::F32(convolution) => convolution.of_image(cast_slice(x), blocks, finish, y.cast()),
                Self::Bf16(convolution) => convolution.of_image(cast_slice(x), blocks, finish, y.cast()),
            }
        }
    }
}

/// Convolves a batch. Images are computed in pieces where there are few.
pub(super) fn convolve<T: Stored>(geometry: &Geometry, x: &[T], weight: &[T], bias: Option<&[T::Sum]>) -> Vec<T> {
    assert!(geometry.can_be_direct(T::DTYPE), "a convolution of another form");
    let kernel = Kernel::forward(geometry, weight);
    let finish = Finish { bias: bias.map(cast_slice), relu: geometry.options.relu };
    let blocks = kernel.blocks().end;
    let each = blocks.div_ceil(TASKS.div_ceil(geometry.batch.max(1)));
    let of_task = if each == blocks { geometry.part() } else { 1 };
    let fill = |y: &mut [MaybeUninit<T>]| {
        let images = y.chunks_exact_mut(geometry.output_len()).zip(x.chunks_exact(geometry.input_len()));
        let piece = each * kernel.block() * geometry.positions();
        let pieces = images.flat_map(|(y, x)| y.chunks_mut(piece).enumerate().map(move |(i, y)| (i * each, x, y)));
        for_chunks(&mut pieces.collect::<Vec<_>>(), of_task, usize::MAX, |_, pieces| {
            for (first, x, y) in pieces {
                // SAFETY: the processor has the instructions, and the piece has the positions of its blocks.
                unsafe { kernel.of_image(x, *first..blocks.min(*first + each), finish, y.as_mut_ptr().cast()) }
            }
        });
    };
    // SAFETY: the pieces are those of all images, and all of each is written.
    unsafe { filled(geometry.batch * geometry.output_len(), fill) }
}

/// The gradients of input and weight, where they are needed; that of the input only if the stride is one.
pub(super) struct Gradients {
    input: Option<Kernel>,
    weight: Option<OfWeight>,
}

enum OfWeight {
    F32(WeightGradient),
    Bf16(PairedWeightGradient),
}

impl Gradients {
    /// `None` if numbers are not finite that have products with zeros here, but none where images are unrolled: the
    /// weights, if the gradient of pixels near the edge is computed; in bf16, pixels beside the rows of the result.
    pub fn new<T: Stored>(geometry: &Geometry, x: &[T], weight: &[T], needed: Needed) -> Option<Self> {
        assert!(geometry.can_be_direct(T::DTYPE), "a convolution of another form");
        let in_f32 = T::DTYPE == DType::F32;
        let needs_input = needed.x && geometry.options.stride == 1;
        if (needs_input && !are_finite(weight)) || (needed.weight && !in_f32 && !are_finite(x)) {
            return None;
        }
        let ([inputs, ..], [outputs, ..]) = (geometry.input, geometry.output);
        let of_weight = || match in_f32 {
            true => OfWeight::F32(WeightGradient::new(geometry.planes(inputs, 1), outputs)),
            false => {
                let planes = |channels| geometry.planes(channels, paired_weight::GROUP);
                OfWeight::Bf16(PairedWeightGradient::new(planes, inputs, outputs))
            }
        };
        let input = needs_input.then(|| Kernel::backward(geometry, weight));
        Some(Self { input, weight: needed.weight.then(of_weight) })
    }

    /// Returns the number of sums of the weight gradient.
    pub fn sums(&self) -> usize {
        match &self.weight {
            Some(OfWeight::F32(gradient)) => gradient.sums(),
            Some(OfWeight::Bf16(gradient)) => gradient.sums(),
            None => 0,
        }
    }

    /// Adds an image's sums to those of the weight gradient, and writes the image's gradient; returns whether it does.
    pub fn of_image<T: Stored>(&self, x: &[T], dy: &[T], sums: &mut [T::Sum], dx: &mut [MaybeUninit<T>]) -> bool {
        // SAFETY: the processor has the instructions.
        unsafe {
            match &self.weight {
                Some(OfWeight::F32(gradient)) => gradient.add(cast_slice(x), cast_slice(dy), cast_slice_mut(sums)),
                Some(OfWeight::Bf16(gradient)) => gradient.add(cast_slice(x), cast_slice(dy), cast_slice_mut(sums)),
                None => {}
            }
        }
        if let Some(kernel) = &self.input {
            assert_eq!(dx.len(), x.len(), "the gradient of another image");
            // SAFETY: the processor has the instructions, and there is room for the gradient of the image.
            unsafe { kernel.of_image(dy, kernel.blocks(), Finish::NONE, dx.as_mut_ptr().cast()) }
        }
        self.input.is_some()
    }

    /// Returns the gradient of the weights with these sums.
    pub fn weights<T: Stored>(&self, sums: &[T::Sum]) -> Vec<T::Sum> {
        let weights = match &self.weight {
            // SAFETY: the processor has the instructions.
            Some(OfWeight::F32(gradient)) => unsafe { gradient.weights(cast_slice(sums)) },
            Some(OfWeight::Bf16(gradient)) => gradient.weights(cast_slice(sums)),
            None => Vec::new(),
        };
        cast_slice(&weights).to_vec()
    }
}

/// Whether no number is infinite or NaN.
fn are_finite<T: Stored>(x: &[T]) -> bool {
    let of_rows = |rows: Range<usize>| {
        vectorized(
            #[inline(always)]
            || x[rows].iter().fold(true, |all, x| all & x.load().is_finite()),
        )
    };
    map_rows(x.len(), 1, of_rows).into_iter().all(|all| all)
}
