//! A convolution with weights, in the type of its numbers.

use std::ops::Range;

use bytemuck::cast_slice;
use candle_core::DType;
use half::bf16;

use super::flat::{self, Convolution, Finish, Packed};
use super::paired::{self, PairedConvolution};
use super::planes::{Form, Planes};
use super::vector::Registers;
use super::widened::Widened;
use crate::cpu::product::{Instructions, instructions};
use crate::cpu::widen;
use crate::ops::bf16::Stored;

/// A convolution of single images.
pub(super) enum Kernel {
    F32(Convolution),
    Bf16(PairedConvolution),
    /// Of bf16, without the matrix unit.
    Widened(Widened<Convolution>),
}

/// The numbers of channels and outputs.
#[derive(Clone, Copy)]
pub(super) struct Sizes {
    pub channels: usize,
    pub outputs: usize,
}

impl Kernel {
    /// Creates a convolution with the weights at the index that `at` returns of an output, a channel and a place of the
    /// kernel, which is `turned` by half a turn. `registers` are those for f32.
    pub fn new<T: Stored>(
        form: Form,
        registers: Registers,
        Sizes { channels, outputs }: Sizes,
        weight: &[T],
        turned: bool,
        at: impl Fn(usize, usize, usize) -> usize,
    ) -> Self {
        let kernel = form.kernel[0] * form.kernel[1];
        let in_f32 = |weight: &[f32]| {
            let at = |output: usize, tap: usize| at(output, tap / kernel, tap % kernel);
            let weights = Packed::new(weight, [outputs, channels * kernel], registers, at);
            Convolution::new(Planes::new(channels, form, flat::GROUP), weights, turned)
        };
        match T::DTYPE {
            DType::F32 => Self::F32(in_f32(cast_slice(weight))),
            _ if instructions() == Some(Instructions::Amx) => {
                Self::Bf16(PairedConvolution::new(form, channels, cast_slice(weight), outputs, at, turned))
            }
            _ => Self::Widened(Widened(in_f32(&widen::<bf16>(cast_slice(weight))))),
        }
    }

    /// Returns the outputs of a block.
    pub fn block(&self) -> usize {
        match self {
            Self::F32(convolution) | Self::Widened(Widened(convolution)) => convolution.block(),
            Self::Bf16(_) => paired::OUTPUTS,
        }
    }

    /// Returns all blocks.
    pub fn blocks(&self) -> Range<usize> {
        match self {
            Self::F32(convolution) | Self::Widened(Widened(convolution)) => convolution.blocks(),
            Self::Bf16(convolution) => convolution.blocks(),
        }
    }

    /// Convolves an image for these blocks of outputs, and writes their positions to `y`.
    ///
    /// # Safety
    /// The processor has the instructions, and there is room for the positions of the blocks' outputs at `y`.
    pub unsafe fn of_image<T: Stored>(&self, x: &[T], blocks: Range<usize>, finish: Finish<'_>, y: *mut T) {
        // SAFETY: as promised by the caller.
        unsafe {
            match self {
                Self::F32(convolution) => convolution.of_image(cast_slice(x), blocks, finish, y.cast()),
                Self::Bf16(convolution) => convolution.of_image(cast_slice(x), blocks, finish, y.cast()),
                Self::Widened(convolution) => convolution.of_image(cast_slice(x), blocks, finish, y.cast()),
            }
        }
    }
}
