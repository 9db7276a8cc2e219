//! The gradient of the weights in bf16 by the matrix unit AMX: sixteen channels times sixteen outputs of three taps, at
//! 32 places at a time.
//!
//! Pixels lie in planes of single channels, so that another tap needs only another offset. The result's gradient is
//! turned: pairs of places times outputs, with zeros between the rows of the result, where pixels do not count. So they
//! have to be finite.

use std::arch::x86_64::*;

use half::bf16;

use super::planes::{Form, LANES, Places, Planes};
use super::tiles::{ForWeights, WIDTH};
use crate::cpu::{product, with_scratch};

/// Vectors of a tile: it has pairs of places.
const GROUP: usize = 2;

/// Numbers of a tile of sums, or pairs of one of gradients.
const TILE: usize = WIDTH * WIDTH;

/// The gradient of the weights of a convolution of planes.
pub(super) struct PairedWeightGradient {
    /// A multiple of sixteen, those after the image's channels of any numbers.
    planes: Planes,
    channels: usize,
    outputs: usize,
    /// Of the taps of a channel.
    offsets: Vec<usize>,
    places: Vec<Places>,
}

impl PairedWeightGradient {
    pub fn new(form: Form, channels: usize, outputs: usize) -> Self {
        let planes = Planes::new(channels.next_multiple_of(WIDTH), form, GROUP);
        let mut offsets = planes.offsets(false);
        offsets.truncate(form.kernel[0] * form.kernel[1]);
        let places = planes.places(LANES);
        let end = places.len().next_multiple_of(GROUP) * LANES;
        assert!(offsets.iter().all(|offset| offset + end <= planes.of_channel()), "places beyond the planes");
        Self { planes, channels, outputs, offsets, places }
    }

    /// Returns the number of sums: for sixteen channels, sixteen outputs and each tap, sixteen times sixteen.
    pub fn sums(&self) -> usize {
        self.planes.channels * self.outputs.next_multiple_of(WIDTH) * self.offsets.len()
    }

    /// Returns the gradient of the weights: the taps of each output.
    pub fn weights(&self, sums: &[f32]) -> Vec<f32> {
        let (blocks, taps) = (self.outputs.div_ceil(WIDTH), self.offsets.len());
        let mut weights = Vec::with_capacity(self.outputs * self.channels * taps);
        for output in 0..self.outputs {
            for channel in 0..self.channels {
                let tiles = (channel / WIDTH * blocks + output / WIDTH) * taps * TILE;
                let sums = sums[tiles + channel % WIDTH * WIDTH + output % WIDTH..].iter().step_by(TILE);
                weights.extend(sums.take(taps));
            }
        }
        weights
    }

    /// Returns the tiles of gradients of sixteen outputs.
    fn tiles(&self) -> usize {
        self.places.len().div_ceil(GROUP)
    }

    /// Adds the sums over the places of an image of finite pixels.
    ///
    /// # Safety
    /// The processor has AMX and AVX-512.
    pub unsafe fn add(&self, x: &[bf16], dy: &[bf16], sums: &mut [f32]) {
        let (tiles, taps) = (self.tiles(), self.offsets.len());
        let blocks = self.outputs.div_ceil(WIDTH);
        assert_eq!(sums.len(), self.sums(), "other sums");
        with_scratch::<bf16, _>(self.planes.total(), |planes| {
            with_scratch::<u32, _>(blocks * tiles * TILE, |turned| {
                // SAFETY: as promised by the caller.
                unsafe {
                    self.fill(x, planes);
                    self.turn(dy, turned);
                    let registers = ForWeights::take();
                    for (number, sums) in sums.chunks_exact_mut(taps * TILE).enumerate() {
                        let planes = planes[number / blocks * WIDTH * self.planes.of_channel()..].as_ptr();
                        let dy = turned[number % blocks * tiles * TILE..].as_ptr();
                        self.add_taps(&registers, planes, dy, sums);
                    }
                }
            });
        });
    }

    /// Adds the sums of all taps for sixteen channels and outputs.
    ///
    /// # Safety
    /// The planes of the channels, the turned gradient of the outputs, and their tiles of sums are there.
    unsafe fn add_taps(&self, registers: &ForWeights, planes: *const bf16, dy: *const u32, sums: &mut [f32]) {
        let taps = self.offsets.len();
        // Beyond the last tap, that tap again, with sums that are not used.
        let mut unused = [[0.0; TILE]; 2];
        for first in (0..taps).step_by(3) {
            let of = |i: usize| self.offsets[(first + i).min(taps - 1)];
            let mut tiles = sums[first * TILE..].chunks_exact_mut(TILE);
            let [second, third] = unused.each_mut();
            let unused = [&mut [][..], &mut second[..], &mut third[..]];
            let sums = unused.map(|unused| tiles.next().unwrap_or(unused).as_mut_ptr());
            // SAFETY: as promised by the caller; planes have room for the last tile from every offset.
            unsafe {
                let pixels = [0, 1, 2].map(|i| planes.add(of(i)).cast());
                registers.add(pixels, self.planes.of_channel(), dy, self.tiles(), sums);
            }
        }
    }

    /// Copies the channels of an image to planes.
    #[target_feature(enable = "avx512f,avx512bw")]
    fn fill(&self, image: &[bf16], planes: &mut [bf16]) {
        let (pixels, stride) = (image.len() / self.channels, self.planes.form.stride);
        self.planes.fill(planes, 2 * LANES, |channel, pixel, count, to| {
            if channel >= self.channels {
                return;
            }
            let from = &image[channel * pixels + pixel..][..stride * (count - 1) + 1];
            let mask = |count: usize| if count == 0 { 0 } else { u32::MAX >> (2 * LANES - count.min(2 * LANES)) };
            // SAFETY: only numbers of `from` are read, and `to` has 32.
            unsafe {
                let line = |first: usize| {
                    let mask = mask(from.len().saturating_sub(first));
                    _mm512_maskz_loadu_epi16(mask, from.as_ptr().wrapping_add(first).cast())
                };
                let line = match stride {
                    1 => line(0),
                    // The lower ones of pairs.
                    _ => {
                        let (first, second) = (_mm512_cvtepi32_epi16(line(0)), _mm512_cvtepi32_epi16(line(2 * LANES)));
                        _mm512_inserti64x4::<1>(_mm512_castsi256_si512(first), second)
                    }
                };
                _mm512_storeu_epi16(to.as_mut_ptr().cast(), line);
            }
        });
    }

    /// Writes the result's gradient in tiles: for sixteen outputs, 32 places one after the other, with a line of outputs
    /// for each pair of places.
    #[target_feature(enable = "avx512f,avx512bw,avx512vbmi2")]
    fn turn(&self, dy: &[bf16], turned: &mut [u32]) {
        let positions = self.planes.positions();
        assert_eq!(dy.len(), self.outputs * positions, "another result");
        for (number, tile) in turned.chunks_exact_mut(TILE).enumerate() {
            let (block, first) = (number / self.tiles(), number % self.tiles() * GROUP);
            let upper = self.places.get(first + 1).map_or(0, |places| places.mask);
            let mask = u32::from(self.places[first].mask) | u32::from(upper) << LANES;
            let count = mask.count_ones() as usize;
            let line = |row: usize| match dy.get((block * WIDTH + row) * positions + self.places[first].position..) {
                Some(from) if block * WIDTH + row < self.outputs && count > 0 => {
                    let from = &from[..count];
                    // SAFETY: `count` numbers are read.
                    let dense =
                        unsafe { _mm512_maskz_loadu_epi16(u32::MAX >> (2 * LANES - count), from.as_ptr().cast()) };
                    _mm512_maskz_expand_epi16(mask, dense)
                }
                _ => _mm512_setzero_si512(),
            };
            let lines = product::transposed(std::array::from_fn(line));
            for (to, line) in tile.chunks_exact_mut(WIDTH).zip(lines) {
                // SAFETY: `to` has sixteen pairs.
                unsafe { _mm512_storeu_si512(to.as_mut_ptr().cast(), line) };
            }
        }
    }
}
