//! Padded images as flat planes.
//!
//! A plane is a channel of an image with its padding, row after row, a pitch apart. The zeros after a row are those
//! before the next one, so a pitch has the padding of one side only. The result of a convolution at flat place
//! `y * pitch + x` then is the sum over the taps, which are the weights of a channel and place of the kernel, of weight
//! times `plane[place + offset]`, where the offset depends only on the tap. Places between the rows of the result are
//! computed with the others of a vector, and dropped.

use std::arch::x86_64::*;

/// Numbers of f32 in a vector.
pub(super) const LANES: usize = 16;

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
    /// The padding on each side is smaller than the kernel, which is not larger than the padded image.
    pub fn new(channels: usize, image: [usize; 2], padding: [usize; 2], kernel: [usize; 2]) -> Self {
        assert!(padding[0] < kernel[0] && padding[1] < kernel[1], "a padding as large as the kernel");
        let output = [0, 1].map(|side| image[side] + 2 * padding[side] + 1 - kernel[side]);
        let pitch = image[1] + padding[1];
        let planes = Self { channels, image, padding, kernel, output, pitch, len: 0 };
        let reach = (kernel[0] - 1) * pitch + kernel[1] - 1;
        // A vector beyond the last row is room for the end of a copy.
        let end = (planes.vectors() * LANES + reach).max((padding[0] + image[0]) * pitch) + LANES;
        // Planes that are a multiple of 4 KiB apart would share few lines of the cache.
        let len = end.next_multiple_of(LANES);
        Self { len: if len.is_multiple_of(1024) { len + LANES } else { len }, ..planes }
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

    /// Copies the channels of an image to planes.
    #[target_feature(enable = "avx512f")]
    pub fn fill(&self, image: &[f32], planes: &mut [f32]) {
        let [height, width] = self.image;
        assert!(image.len() == self.channels * height * width && planes.len() == self.total(), "another image");
        let (above, tail) = (self.padding[0] * self.pitch, tail_mask(width));
        for (plane, image) in planes.chunks_exact_mut(self.len).zip(image.chunks_exact(height * width)) {
            plane[..above].fill(0.0);
            for (row, pixels) in image.chunks_exact(width).enumerate() {
                let row = &mut plane[above + row * self.pitch..];
                for zero in &mut row[..self.padding[1]] {
                    *zero = 0.0;
                }
                let row = &mut row[self.padding[1]..][..width.next_multiple_of(LANES)];
                let (from, to, last) = (pixels.as_ptr(), row.as_mut_ptr(), row.len() - LANES);
                // SAFETY: the vectors are within `pixels`, the last one up to its tail, and within `row`.
                unsafe {
                    for at in (0..last).step_by(LANES) {
                        _mm512_storeu_ps(to.add(at), _mm512_loadu_ps(from.add(at)));
                    }
                    // What is written beyond the row is written again by the next one.
                    _mm512_storeu_ps(to.add(last), _mm512_maskz_loadu_ps(tail, from.add(last)));
                }
            }
            plane[above + height * self.pitch..].fill(0.0);
        }
    }
}

/// The lanes of the last vector of `len` numbers.
pub(super) fn tail_mask(len: usize) -> u16 {
    u16::MAX >> (len.next_multiple_of(LANES) - len)
}
