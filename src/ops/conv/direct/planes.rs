//! Padded images as flat planes.
//!
//! A plane is a channel of an image with its padding, row after row, a pitch apart. The zeros after a row are those
//! before the next one, so a pitch has the padding of one side only. The result of a convolution at flat place
//! `y * pitch + x` then is the sum over the taps, which are the weights of a channel and place of the kernel, of weight
//! times `plane[place + offset]`, where the offset depends only on the tap. Places between the rows of the result are
//! computed with the others of a vector, and dropped.
//!
//! A convolution that moves by two places has a plane for every other row and column of a channel, four in all; to a
//! place of the kernel belongs one of them.

use std::arch::x86_64::*;
use std::ops::Range;

use bytemuck::Pod;

/// Numbers of f32 in a vector.
pub(super) const LANES: usize = 16;

/// Numbers that the copy of a row may write beyond it.
const SPILLED: usize = 2 * LANES;

/// The form of a convolution.
#[derive(Clone, Copy, Debug)]
pub(super) struct Form {
    /// Height and width of the image.
    pub image: [usize; 2],
    /// Rows and columns of zeros before the image, fewer than the kernel has.
    pub before: [usize; 2],
    pub kernel: [usize; 2],
    /// One or two.
    pub stride: usize,
    /// Height and width of the result, not zero. After the image are as many zeros as it needs.
    pub output: [usize; 2],
}

/// The layout of an image's planes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Planes {
    pub channels: usize,
    pub form: Form,
    pub pitch: usize,
    /// Rows and columns apart that have planes, and numbers of a plane.
    phases: [usize; 2],
    len: usize,
}

/// Rows or columns of a plane that have pixels.
#[derive(Clone, Copy)]
struct Part {
    /// The first of them, its pixels in the image, and their number.
    first: usize,
    pixel: usize,
    count: usize,
}

/// Sixteen places that are computed together.
#[derive(Clone, Copy, Debug)]
pub(super) struct Places {
    /// The lanes that are places of the result.
    pub mask: u16,
    /// The position in the result of the first of them.
    pub position: usize,
}

impl Planes {
    /// Places are computed in groups of this number of vectors, or fewer.
    pub fn new(channels: usize, form: Form, group: usize) -> Self {
        let Form { image, before, kernel, stride, output } = form;
        assert!(before[0] < kernel[0] && before[1] < kernel[1], "as many zeros as the kernel has");
        let reach = kernel.map(|side| (side - 1) / stride);
        let columns = output[1] + reach[1];
        let pitch = match stride {
            1 => image[1] + before[1].max(columns.saturating_sub(before[1] + image[1])),
            _ => columns,
        };
        let phases = kernel.map(|side| side.min(stride));
        let planes = Self { channels, form, pitch, phases, len: 0 };
        let vectors = planes.vectors().next_multiple_of(group);
        let end = (vectors * LANES + reach[0] * pitch + reach[1]).max((output[0] + reach[0]) * pitch);
        // A copy of a row may end with zeros beyond it.
        let len = (end + SPILLED).next_multiple_of(LANES);
        // Planes that are a multiple of 4 KiB apart would share few lines of the cache.
        Self { len: if len.is_multiple_of(1024) { len + LANES } else { len }, ..planes }
    }

    /// Returns the number of elements of a channel's planes.
    pub fn of_channel(&self) -> usize {
        self.phases[0] * self.phases[1] * self.len
    }

    /// Returns the number of elements of all planes.
    pub fn total(&self) -> usize {
        self.channels * self.of_channel()
    }

    /// Returns the number of positions of the result.
    pub fn positions(&self) -> usize {
        self.form.output[0] * self.form.output[1]
    }

    /// Returns the number of vectors with places of the result.
    pub fn vectors(&self) -> usize {
        let [height, width] = self.form.output;
        ((height - 1) * self.pitch + width).div_ceil(LANES)
    }

    /// Returns the places of the result, vector by vector.
    pub fn places(&self) -> Vec<Places> {
        let [height, width] = self.form.output;
        let is_place = |place: usize| place / self.pitch < height && place % self.pitch < width;
        let mut next = 0;
        let vector = |vector: usize| {
            let lanes = (0..LANES).filter(|lane| is_place(vector * LANES + lane));
            let places = Places { mask: lanes.map(|lane| 1 << lane).sum(), position: next };
            next += places.mask.count_ones() as usize;
            places
        };
        (0..self.vectors()).map(vector).collect()
    }

    /// Returns the offset of each tap: channel by channel, each with its kernel's rows. `turned` by half a turn, the
    /// first weight of a kernel has the last offset.
    pub fn offsets(&self, turned: bool) -> Vec<usize> {
        let Form { kernel: [height, width], stride, .. } = self.form;
        let of_place = |y: usize, x: usize| {
            let phase = y % stride * self.phases[1] + x % stride;
            phase * self.len + y / stride * self.pitch + x / stride
        };
        let mut of_kernel: Vec<usize> = (0..height * width).map(|at| of_place(at / width, at % width)).collect();
        if turned {
            of_kernel.reverse();
        }
        let of_channel = |channel: usize| of_kernel.iter().map(move |offset| channel * self.of_channel() + offset);
        (0..self.channels).flat_map(of_channel).collect()
    }

    /// Returns the rows, or for side 1 the columns, of a plane that have pixels.
    fn part(&self, side: usize, phase: usize) -> Part {
        let Form { image, before, kernel, stride, output } = self.form;
        let first = before[side].saturating_sub(phase).div_ceil(stride);
        let pixel = first * stride + phase - before[side];
        let reached = output[side] + (kernel[side] - 1) / stride;
        let count = image[side].saturating_sub(pixel).div_ceil(stride).min(reached.saturating_sub(first));
        Part { first, pixel, count }
    }

    /// Writes planes: zeros, and pixels by `copy`, which gets the channel, the first pixel, the number of pixels, each
    /// a stride after the one before, and where to write them. It writes `lanes` elements there, zeros after the pixels.
    #[inline]
    #[target_feature(enable = "avx512f")]
    pub fn fill<E: Pod>(&self, planes: &mut [E], lanes: usize, copy: impl Fn(usize, usize, usize, &mut [E])) {
        let Form { image: [_, width], stride, .. } = self.form;
        assert!(planes.len() == self.total() && lanes <= SPILLED, "other planes");
        for (number, plane) in planes.chunks_exact_mut(self.len).enumerate() {
            let (channel, phase) =
                (number / (self.phases[0] * self.phases[1]), number % (self.phases[0] * self.phases[1]));
            let (rows, columns) = (self.part(0, phase / self.phases[1]), self.part(1, phase % self.phases[1]));
            // Sixteen at a time, as many as are written again by what follows.
            let zero = |line: &mut [E], places: Range<usize>| {
                places.step_by(LANES).for_each(|at| line[at..at + LANES].copy_from_slice(&[E::zeroed(); LANES]));
            };
            plane[..rows.first * self.pitch].fill(E::zeroed());
            for row in 0..rows.count {
                let line = &mut plane[(rows.first + row) * self.pitch..];
                let pixel = (rows.pixel + row * stride) * width + columns.pixel;
                zero(line, 0..columns.first);
                for x in (0..columns.count).step_by(lanes) {
                    // Numbers written beyond the row are written again by the next one.
                    let to = &mut line[columns.first + x..][..lanes];
                    copy(channel, pixel + x * stride, lanes.min(columns.count - x), to);
                }
                zero(line, columns.first + columns.count..self.pitch);
            }
            plane[(rows.first + rows.count) * self.pitch..].fill(E::zeroed());
        }
    }

    /// Copies the channels of an image to planes.
    #[target_feature(enable = "avx512f")]
    pub fn fill_from(&self, image: &[f32], planes: &mut [f32]) {
        let Form { image: [height, width], stride, .. } = self.form;
        assert_eq!(image.len(), self.channels * height * width, "another image");
        self.fill(planes, LANES, |channel, pixel, count, to| {
            let from = &image[channel * height * width + pixel..][..stride * (count - 1) + 1];
            // SAFETY: only numbers of `from` are read, and `to` has sixteen.
            unsafe {
                let first = _mm512_maskz_loadu_ps(tail_mask(from.len().min(LANES)), from.as_ptr());
                let line = match stride {
                    1 => first,
                    _ => {
                        let more = from.len().saturating_sub(LANES);
                        let mask = if more == 0 { 0 } else { tail_mask(more) };
                        let second = _mm512_maskz_loadu_ps(mask, from.as_ptr().wrapping_add(LANES));
                        // Every other one of both.
                        let even = _mm512_set_epi32(30, 28, 26, 24, 22, 20, 18, 16, 14, 12, 10, 8, 6, 4, 2, 0);
                        _mm512_permutex2var_ps(first, even, second)
                    }
                };
                _mm512_storeu_ps(to.as_mut_ptr(), line);
            }
        });
    }
}

/// The lanes of the last vector of `len` numbers.
pub(super) fn tail_mask(len: usize) -> u16 {
    u16::MAX >> (len.next_multiple_of(LANES) - len)
}
