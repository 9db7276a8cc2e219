//! Convolutions that move by one or two places, without unrolled images, on x86-64 processors: in f32 with AVX-512 or
//! AVX2, in bf16 with the matrix unit AMX, or in f32 where a processor without it multiplies f32 faster than bf16.
//!
//! Every product of a weight with a number of the padding is a real one, as in the reference: an infinite weight gives
//! NaN there.

mod flat;
mod input;
mod kernel;
mod paired;
mod paired_weight;
mod planes;
#[cfg(test)]
mod tests;
mod tiles;
mod turn;
mod vector;
mod weight;
mod widened;

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
use flat::Finish;
use input::InputGradient;
use kernel::{Kernel, Sizes};
use paired_weight::PairedWeightGradient;
use planes::{Form, Planes};
use vector::Registers;
use weight::WeightGradient;
use widened::Widened;

/// The fewest tasks of a batch, where images can be computed in pieces.
const TASKS: usize = 16;

impl Geometry {
    /// Whether the convolution is computed by this module.
    pub fn is_direct(&self, dtype: DType) -> bool {
        self.registers(dtype).is_some_and(|registers| {
            let lanes = registers.lanes();
            // Images of a few pixels fill a small part of a vector.
            Planes::new(1, self.form(), 1).vectors(lanes) * lanes <= 4 * self.positions()
        })
    }

    /// Returns the registers for f32, if the convolution has the form for this module, and the processor its instructions.
    fn registers(&self, dtype: DType) -> Option<Registers> {
        let Conv2d { stride, padding, groups, .. } = self.options;
        let has_form = stride <= 2 && groups == 1 && self.kernel.iter().all(|&side| padding < side);
        let has_form = has_form && InputGradient::has_form(self);
        let can_be_bf16 = || match instructions() {
            Some(Instructions::Amx) => is_x86_feature_detected!("avx512vbmi2"),
            Some(Instructions::Fma) => true,
            Some(Instructions::Dots) | None => false,
        };
        let can_be = match dtype {
            DType::F32 => true,
            DType::BF16 => can_be_bf16(),
            _ => false,
        };
        Registers::here().filter(|_| has_form && can_be)
    }

    fn form(&self) -> Form {
        let ([_, height, width], [_, rows, columns]) = (self.input, self.output);
        let Conv2d { stride, padding, .. } = self.options;
        let (image, output) = ([height, width], [rows, columns]);
        Form { image, before: [padding; 2], kernel: self.kernel, stride, output }
    }
}

/// Convolves a batch. Images are computed in pieces where there are few.
pub(super) fn convolve<T: Stored>(geometry: &Geometry, x: &[T], weight: &[T], bias: Option<&[T::Sum]>) -> Vec<T> {
    let Some(registers) = geometry.registers(T::DTYPE) else { unreachable!("a convolution of another form") };
    let sizes = Sizes { channels: geometry.input[0], outputs: geometry.output[0] };
    let places = geometry.kernel[0] * geometry.kernel[1];
    let at = |output: usize, channel: usize, place: usize| (output * sizes.channels + channel) * places + place;
    let kernel = Kernel::new(geometry.form(), registers, sizes, weight, false, at);
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

/// The gradients of input and weight, where they are needed.
pub(super) struct Gradients {
    input: Option<InputGradient>,
    weight: Option<OfWeight>,
}

enum OfWeight {
    F32(WeightGradient),
    Bf16(PairedWeightGradient),
    /// Of bf16, without the matrix unit.
    Widened(Widened<WeightGradient>),
}

impl Gradients {
    /// `None` if numbers are not finite that have products with zeros here, but none where images are unrolled: the
    /// weights, if the gradient of pixels near the edge is computed; in bf16, pixels beside the rows of the result.
    pub fn new<T: Stored>(geometry: &Geometry, x: &[T], weight: &[T], needed: Needed) -> Option<Self> {
        let Some(registers) = geometry.registers(T::DTYPE) else { unreachable!("a convolution of another form") };
        let (is_f32, has_amx) = (T::DTYPE == DType::F32, instructions() == Some(Instructions::Amx));
        if (needed.x && !are_finite(weight)) || (needed.weight && !is_f32 && has_amx && !are_finite(x)) {
            return None;
        }
        let ([channels, ..], [outputs, ..], form) = (geometry.input, geometry.output, geometry.form());
        let of_weight = || match is_f32 {
            true => OfWeight::F32(WeightGradient::new(form, channels, outputs, registers)),
            false if has_amx => OfWeight::Bf16(PairedWeightGradient::new(form, channels, outputs)),
            false => OfWeight::Widened(Widened(WeightGradient::new(form, channels, outputs, registers))),
        };
        let input = needed.x.then(|| InputGradient::new(geometry, registers, weight));
        Some(Self { input, weight: needed.weight.then(of_weight) })
    }

    /// Returns the number of sums of the weight gradient.
    pub fn sums(&self) -> usize {
        match &self.weight {
            Some(OfWeight::F32(gradient) | OfWeight::Widened(Widened(gradient))) => gradient.sums(),
            Some(OfWeight::Bf16(gradient)) => gradient.sums(),
            None => 0,
        }
    }

    /// Adds an image's sums to those of the weight gradient, and writes the image's gradient.
    pub fn of_image<T: Stored>(&self, x: &[T], dy: &[T], sums: &mut [T::Sum], dx: &mut [MaybeUninit<T>]) {
        // SAFETY: the processor has the instructions.
        unsafe {
            match &self.weight {
                Some(OfWeight::F32(gradient)) => gradient.add(cast_slice(x), cast_slice(dy), cast_slice_mut(sums)),
                Some(OfWeight::Bf16(gradient)) => gradient.add(cast_slice(x), cast_slice(dy), cast_slice_mut(sums)),
                Some(OfWeight::Widened(gradient)) => gradient.add(cast_slice(x), cast_slice(dy), cast_slice_mut(sums)),
                None => {}
            }
        }
        if let Some(gradient) = &self.input {
            assert_eq!(dx.len(), x.len(), "the gradient of another image");
            // SAFETY: the processor has the instructions.
            unsafe { gradient.of_image(dy, dx) }
        }
    }

    /// Returns the gradient of the weights with these sums.
    pub fn weights<T: Stored>(&self, sums: &[T::Sum]) -> Vec<T::Sum> {
        let weights = match &self.weight {
            // SAFETY: the processor has the instructions.
            Some(OfWeight::F32(gradient) | OfWeight::Widened(Widened(gradient))) => unsafe {
                gradient.weights(cast_slice(sums))
            },
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
