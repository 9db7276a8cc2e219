//! The gradient of the input: a convolution of the result's gradient with the weights turned by half a turn.
//!
//! For a convolution that moves by two places, every other row and column of pixels has other weights, so there
//! are four convolutions, whose results are put together.

use std::mem::MaybeUninit;

use super::flat::Finish;
use super::kernel::{Kernel, Sizes};
use super::planes::Form;
use super::vector::Registers;
use crate::cpu::{vectorized, with_scratch};
use crate::ops::bf16::Stored;
use crate::ops::conv::geometry::Geometry;

/// The gradient of the input of a convolution.
pub(super) struct InputGradient {
    channels: usize,
    /// Width of the image.
    width: usize,
    stride: usize,
    /// Of the first rows and columns, as many as the stride.
    parts: Vec<Part>,
}

/// The gradient of pixels that are a stride apart.
struct Part {
    /// `None` if no kernel reaches them.
    kernel: Option<Kernel>,
    /// The number of their rows and columns.
    sides: [usize; 2],
}

/// The rows, or the columns, of a part.
#[derive(Clone, Copy)]
struct Side {
    /// Those of the kernel that reach them: the first, and their number. The others are a stride apart.
    first: usize,
    taps: usize,
    /// Zeros before the result's gradient; `None` if it would have to be cut.
    before: Option<usize>,
    count: usize,
}

impl Side {
    /// Side 0 or 1, from pixel number `pixel`.
    fn of(geometry: &Geometry, side: usize, pixel: usize) -> Self {
        let (stride, size) = (geometry.options.stride, geometry.input[1 + side]);
        let padded = pixel + geometry.options.padding;
        let first = padded % stride;
        let taps = geometry.kernel[side].saturating_sub(first).div_ceil(stride);
        let before = taps.checked_sub(1 + padded / stride);
        Self { first, taps, before, count: size.saturating_sub(pixel).div_ceil(stride) }
    }
}

impl InputGradient {
    /// Whether this module can compute the gradient.
    pub fn has_form(geometry: &Geometry) -> bool {
        let can_be = |side, pixel| {
            let Side { taps, before, count, .. } = Side::of(geometry, side, pixel);
            count > 0 && (taps == 0 || before.is_some())
        };
        (0..2).all(|side| (0..geometry.options.stride).all(|pixel| can_be(side, pixel)))
    }

    pub fn new<T: Stored>(geometry: &Geometry, registers: Registers, weight: &[T]) -> Self {
        let ([channels, _, width], stride) = (geometry.input, geometry.options.stride);
        let parts =
            (0..stride * stride).map(|part| Part::new(geometry, registers, weight, [part / stride, part % stride]));
        Self { channels, width, stride, parts: parts.collect() }
    }

    /// Writes the gradient of an image.
    ///
    /// # Safety
    /// The processor has the instructions for the type.
    pub unsafe fn of_image<T: Stored>(&self, dy: &[T], dx: &mut [MaybeUninit<T>]) {
        if let [part] = &self.parts[..] {
            // SAFETY: as promised by the caller.
            return unsafe { part.of_image(dy, dx) };
        }
        let pixels = dx.len() / self.channels;
        with_scratch::<T, _>(dx.len(), |results| {
            let mut rest = &mut results[..];
            for part in &self.parts {
                let (result, others) = rest.split_at_mut(self.channels * part.sides[0] * part.sides[1]);
                // SAFETY: as promised by the caller; numbers may be written where there may be none.
                unsafe { part.of_image(dy, &mut *(std::ptr::from_mut(result) as *mut [MaybeUninit<T>])) };
                rest = others;
            }
            for (channel, dx) in dx.chunks_exact_mut(pixels).enumerate() {
                self.put_together(channel, results, dx);
            }
        });
    }

    /// Puts the parts of a channel together.
    fn put_together<T: Stored>(&self, channel: usize, results: &[T], dx: &mut [MaybeUninit<T>]) {
        vectorized(
            #[inline(always)]
            || {
                for (y, row) in dx.chunks_exact_mut(self.width).enumerate() {
                    let mut lines = [&[][..]; 2];
                    let mut first = 0;
                    for (number, Part { sides: [height, width], .. }) in self.parts.iter().enumerate() {
                        if number / self.stride == y % self.stride {
                            let at = first + (channel * height + y / self.stride) * width;
                            lines[number % self.stride] = &results[at..at + width];
                        }
                        first += self.channels * height * width;
                    }
                    let (pairs, last) = row.as_chunks_mut::<2>();
                    for ((pair, &even), &odd) in pairs.iter_mut().zip(lines[0]).zip(lines[1]) {
                        *pair = [MaybeUninit::new(even), MaybeUninit::new(odd)];
                    }
                    if let ([last], [.., even]) = (last, lines[0]) {
                        *last = MaybeUninit::new(*even);
                    }
                }
            },
        );
    }
}

impl Part {
    /// Of pixels from this row and column.
    fn new<T: Stored>(geometry: &Geometry, registers: Registers, weight: &[T], pixel: [usize; 2]) -> Self {
        let ([channels, ..], [outputs, height, width]) = (geometry.input, geometry.output);
        let sides = [0, 1].map(|side| Side::of(geometry, side, pixel[side]));
        let [rows, columns] = sides;
        let counts = sides.map(|side| side.count);
        let (Some(above), Some(left), true) = (rows.before, columns.before, rows.taps * columns.taps > 0) else {
            return Self { kernel: None, sides: counts };
        };
        let kernel = [rows.taps, columns.taps];
        let form = Form { image: [height, width], before: [above, left], kernel, stride: 1, output: counts };
        let ([_, across], stride) = (geometry.kernel, geometry.options.stride);
        let at = |input: usize, output: usize, place: usize| {
            let (y, x) = (rows.first + place / kernel[1] * stride, columns.first + place % kernel[1] * stride);
            ((output * channels + input) * geometry.kernel[0] + y) * across + x
        };
        let sizes = Sizes { channels: outputs, outputs: channels };
        Self { kernel: Some(Kernel::new(form, registers, sizes, weight, true, at)), sides: counts }
    }

    /// Writes the gradient of these pixels of an image.
    ///
    /// # Safety
    /// The processor has the instructions for the type, and there is room for the gradient.
    unsafe fn of_image<T: Stored>(&self, dy: &[T], dx: &mut [MaybeUninit<T>]) {
        match &self.kernel {
            // SAFETY: as promised by the caller.
            Some(kernel) => unsafe { kernel.of_image(dy, kernel.blocks(), Finish::NONE, dx.as_mut_ptr().cast()) },
            None => dx.fill(MaybeUninit::new(T::zero())),
        }
    }
}
