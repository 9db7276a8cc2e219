//! Padded images as flat planes.
//!
//! A plane is a channel of an image with its padding, row after row, a pitch apart. The zeros after a row are those
//! before the next one, so a pitch has the padding of one side only. The result of a convolution at flat place
//! `y * pitch + x` then is the sum over the taps, which are the weights of a channel and place of the kernel, of weight
//! times `plane[place + offset]`, where the offset depends only on the tap. Places between the rows of the result are
//! computed with the others of a vector, and dropped.

use std::arch::x86_64::*;

use bytemuck::Pod;

/// Numbers of f32 in a vector.
pub(super) const LANES: usize = 16;

/// Numbers that the copy of a row may write beyond it.
const SPILLED: usize = 2 * LANES;

/// The layout of an image's planes, for kernels that move by one place.
#[derive(Clone, Copy, Debug)]
pub(super) struct Planes {
    pub channels: usize,
    /// Height and width of the image.
    image: [usize; 2],
    padding: [usize; 2],
    pub kernel: [usize; 2],
    /// Height and width of the result.
    pub output: [usize; 2],
    pub pitch: usize,
    /// Numbers of a plane.
    len: usize,
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
    /// The padding on each side is smaller than the kernel, which is not larger than the padded image. Places are
    /// computed in groups of this number of vectors, or fewer.
    pub fn new(channels: usize, image: [usize; 2], padding: [usize; 2], kernel: [usize; 2], group: usize) -> Self {
        assert!(padding[0] < kernel[0] && padding[1] < kernel[1], "a padding as large as the kernel");
        let output = [0, 1].map(|side| image[side] + 2 * padding[side] + 1 - kernel[side]);
        let pitch = image[1] + padding[1];
        let planes = Self { channels, image, padding, kernel, output, pitch, len: 0 };
        let reach = (kernel[0] - 1) * pitch + kernel[1] - 1;
        let end = (planes.vectors().next_multiple_of(group) * LANES + reach).max((padding[0] + image[0]) * pitch);
        // A copy of a row may end with zeros beyond it.
        let len = (end + SPILLED).next_multiple_of(LANES);
        // Planes that are a multiple of 4 KiB apart would share few lines of the cache.
        Self { len: if len.is_multiple_of(1024) { len + LANES } else { len }, ..planes }
    }

    /// Returns the number of elements of a plane.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Returns the number of elements of all planes.
    pub fn total(&self) -> usize {
        self.channels * self.len
    }

    /// Returns the number of positions of the result.
    pub fn positions(&self) -> usize {
        self.output[0] * self.output[1]
    }

    /// Returns the number of vectors with places of the result.
    pub fn vectors(&self) -> usize {
        ((self.output[0] - 1) * self.pitch + self.output[1]).div_ceil(LANES)
    }

    /// Returns the places of the result, vector by vector.
    pub fn places(&self) -> Vec<Places> {
        let is_place = |place: usize| place / self.pitch < self.output[0] && place % self.pitch < self.output[1];
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
        let [height, width] = self.kernel;
        let last = (height - 1) * self.pitch + width - 1;
        let mut offsets = Vec::with_capacity(self.channels * height * width);
        for channel in 0..self.channels {
            let within = (0..height * width).map(|tap| tap / width * self.pitch + tap % width);
            offsets.extend(within.map(|offset| channel * self.len + if turned { last - offset } else { offset }));
        }
        offsets
    }

    /// Writes planes: zeros, and rows by `copy`, which gets the plane, a pixel, a number of pixels, and where to write
    /// them. It writes `lanes` elements there, zeros after the pixels.
    #[inline]
    #[target_feature(enable = "avx512f")]
    pub fn fill<E: Pod>(&self, planes: &mut [E], lanes: usize, copy: impl Fn(usize, usize, usize, &mut [E])) {
        let [height, width] = self.image;
        assert!(planes.len() == self.total() && lanes <= SPILLED, "other planes");
        let above = self.padding[0] * self.pitch;
        for (number, plane) in planes.chunks_exact_mut(self.len).enumerate() {
            plane[..above].fill(E::zeroed());
            for y in 0..height {
                let row = &mut plane[above + y * self.pitch..];
                row[..self.padding[1]].iter_mut().for_each(|zero| *zero = E::zeroed());
                for x in (0..width).step_by(lanes) {
                    // What is written beyond the row is written again by the next one.
                    let to = &mut row[self.padding[1] + x..][..lanes];
                    copy(number, y * width + x, lanes.min(width - x), to);
                }
            }
            plane[above + height * self.pitch..].fill(E::zeroed());
        }
    }

    /// Copies the channels of an image to planes.
    #[target_feature(enable = "avx512f")]
    pub fn fill_from(&self, image: &[f32], planes: &mut [f32]) {
        let pixels = self.image[0] * self.image[1];
        assert_eq!(image.len(), self.channels * pixels, "another image");
        self.fill(planes, LANES, |plane, pixel, count, to| {
            let from = &image[plane * pixels + pixel..][..count];
            // SAFETY: `from` has `count` numbers, and `to` sixteen.
            unsafe { _mm512_storeu_ps(to.as_mut_ptr(), _mm512_maskz_loadu_ps(tail_mask(count), from.as_ptr())) }
        });
    }
}

/// The lanes of the last vector of `len` numbers.
pub(super) fn tail_mask(len: usize) -> u16 {
    u16::MAX >> (len.next_multiple_of(LANES) - len)
}
