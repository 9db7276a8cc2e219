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

use std::ops::Range;

use bytemuck::Pod;

use super::vector::Vector;

/// Numbers of f32 in the widest vector.
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

/// The places of a vector, which are computed together.
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
        let vectors = planes.vectors(LANES).next_multiple_of(group);
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

    /// Returns the number of vectors of `lanes` numbers with places of the result.
    pub fn vectors(&self, lanes: usize) -> usize {
        let [height, width] = self.form.output;
        ((height - 1) * self.pitch + width).div_ceil(lanes)
    }

    /// Returns the places of the result, in vectors of `lanes` numbers.
    pub fn places(&self, lanes: usize) -> Vec<Places> {
        let [height, width] = self.form.output;
        let is_place = |place: usize| place / self.pitch < height && place % self.pitch < width;
        let mut next = 0;
        let vector = |vector: usize| {
            let of_result = (0..lanes).filter(|lane| is_place(vector * lanes + lane));
            let places = Places { mask: of_result.map(|lane| 1 << lane).sum(), position: next };
            next += places.mask.count_ones() as usize;
            places
        };
        (0..self.vectors(lanes)).map(vector).collect()
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
    #[inline(always)]
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
    ///
    /// # Safety
    /// The processor has the instructions for `V`, which the caller enables.
    #[inline(always)]
    pub unsafe fn fill_from<V: Vector>(&self, image: &[f32], planes: &mut [f32]) {
        let Form { image: [height, width], stride, .. } = self.form;
        assert_eq!(image.len(), self.channels * height * width, "another image");
        self.fill(
            planes,
            V::LANES,
            #[inline(always)]
            |channel, pixel, count, to| {
                let from = &image[channel * height * width + pixel..][..stride * (count - 1) + 1];
                let (first, more) = (from.len().min(V::LANES), from.len().saturating_sub(V::LANES));
                assert!(to.len() == V::LANES && more <= V::LANES, "a line of another length");
                // SAFETY: only numbers of `from` are read, and `to` has room for a vector.
                unsafe {
                    let mut line = V::load_some(from.as_ptr(), first);
                    if stride == 2 {
                        line = line.even(V::load_some(from.as_ptr().wrapping_add(V::LANES), more));
                    }
                    line.store(to.as_mut_ptr());
                }
            },
        );
    }
}

/// The lanes of the last vector of `len` numbers.
pub(super) fn tail_mask(len: usize) -> u16 {
    u16::MAX >> (len.next_multiple_of(LANES) - len)
}
