//! The convolution of planes of bf16 by the matrix unit AMX: 32 outputs at 32 places, or 16 at 64, at a time.
//!
//! A plane has pairs of channels: at each place the numbers of two. So a tile of pixels, pairs of channels times places,
//! lies in sixteen planes one after the other, and another tap needs only another offset.

use std::arch::x86_64::*;
use std::ops::Range;

use half::bf16;

use super::flat::Finish;
use super::planes::{Form, LANES, Places, Planes, tail_mask};
use super::tiles::{ForOutputs, Sums, WIDTH};
use crate::cpu::with_scratch;

/// Outputs of a block.
pub(super) const OUTPUTS: usize = 2 * WIDTH;

/// Pairs of the planes that are visited for all outputs before the next ones: they fit into a core's cache.
const VISITED: usize = 1 << 16;

/// Vectors that are computed together at most.
const GROUP: usize = 4;

/// A convolution of planes with weights.
pub(super) struct PairedConvolution {
    /// Of the channels of the image: there may be planes of zeros after their pairs.
    channels: usize,
    planes: Planes,
    outputs: usize,
    /// Pairs of a tile.
    pairs: usize,
    /// Tiles of sixteen outputs: for each sixteen, for each block of pairs, each tap of the kernel.
    weights: Vec<u32>,
    offsets: Vec<usize>,
    places: Vec<Places>,
}

impl PairedConvolution {
    /// Creates a convolution; `at` returns the index of the weight of an output, a channel and a place of the kernel.
    /// `turned` as for [`Planes::offsets`].
    pub fn new(
        form: Form,
        channels: usize,
        weight: &[bf16],
        outputs: usize,
        at: impl Fn(usize, usize, usize) -> usize,
        turned: bool,
    ) -> Self {
        // As many blocks as are needed, all of the same number of pairs.
        let blocks = channels.div_ceil(2 * WIDTH);
        let pairs = channels.div_ceil(2).div_ceil(blocks);
        let planes = Planes::new(blocks * pairs, form, GROUP);
        let kernel = form.kernel[0] * form.kernel[1];
        let tile = WIDTH * pairs;
        let mut weights = vec![0; outputs.div_ceil(WIDTH) * blocks * kernel * tile];
        let number = |output, channel, place| match output < outputs && channel < channels {
            true => u32::from(weight[at(output, channel, place)].to_bits()),
            false => 0,
        };
        for (number_of_tile, tile) in weights.chunks_exact_mut(tile).enumerate() {
            let (strip, place) = (number_of_tile / kernel, number_of_tile % kernel);
            let (first_output, first_pair) = (strip / blocks * WIDTH, strip % blocks * pairs);
            for (output, line) in (first_output..).zip(tile.chunks_exact_mut(pairs)) {
                for (pair, to) in (first_pair..).zip(line) {
                    *to = number(output, 2 * pair, place) | number(output, 2 * pair + 1, place) << 16;
                }
            }
        }
        let offsets = planes.offsets(turned);
        let offsets: Vec<usize> = offsets.chunks_exact(kernel).step_by(pairs).flatten().copied().collect();
        let places = planes.places(LANES);
        let tile = (pairs - 1) * planes.of_channel() + places.len().next_multiple_of(GROUP) * LANES;
        assert!(offsets.iter().all(|offset| offset + tile <= planes.total()), "places beyond the planes");
        Self { channels, planes, outputs, pairs, weights, offsets, places }
    }

    /// Returns all blocks of 32 outputs.
    pub fn blocks(&self) -> Range<usize> {
        0..self.outputs.div_ceil(OUTPUTS)
    }

    /// Convolves an image for these blocks of 32 outputs, and writes their positions to `y`.
    ///
    /// # Safety
    /// The processor has AMX and AVX-512, and there is room for the positions of the blocks' outputs at `y`.
    pub unsafe fn of_image(&self, x: &[bf16], blocks: Range<usize>, finish: Finish<'_>, y: *mut bf16) {
        assert!(finish.bias.is_none_or(|bias| bias.len() == self.outputs), "a bias of another length");
        with_scratch(self.planes.total(), |planes| {
            // SAFETY: as promised by the caller.
            unsafe {
                self.fill(x, planes);
                let registers = ForOutputs::take(self.pairs);
                let mut sums = Sums([0.0; 4 * WIDTH * WIDTH]);
                let each = (VISITED / self.planes.channels / LANES).next_multiple_of(GROUP).max(GROUP);
                for chunk in (0..self.places.len()).step_by(each) {
                    let vectors = chunk..self.places.len().min(chunk + each);
                    for block in blocks.clone() {
                        let y = y.add((block - blocks.start) * OUTPUTS * self.planes.positions());
                        self.of_block(planes, block, vectors.clone(), finish, y, &registers, &mut sums);
                    }
                }
            }
        });
    }

    /// Copies the channels of an image to planes of pairs.
    #[target_feature(enable = "avx512f,avx512bw,avx512vl")]
    fn fill(&self, image: &[bf16], planes: &mut [u32]) {
        let (pixels, stride) = (image.len() / self.channels, self.planes.form.stride);
        let line = |channel: usize, pixel: usize, count: usize| match channel < self.channels {
            // SAFETY: only numbers of the channel are read.
            true => unsafe {
                let from = &image[channel * pixels + pixel..][..stride * (count - 1) + 1];
                match stride {
                    1 => _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(tail_mask(count), from.as_ptr().cast())),
                    // The lower ones of pairs.
                    _ => _mm512_maskz_loadu_epi16(0x5555_5555 >> (2 * LANES - 2 * count), from.as_ptr().cast()),
                }
            },
            false => _mm512_setzero_si512(),
        };
        self.planes.fill(planes, LANES, |pair, pixel, count, to| {
            let (lower, upper) = (line(2 * pair, pixel, count), line(2 * pair + 1, pixel, count));
            let pairs = _mm512_or_si512(lower, _mm512_slli_epi32::<16>(upper));
            // SAFETY: `to` has sixteen pairs.
            unsafe { _mm512_storeu_si512(to.as_mut_ptr().cast(), pairs) }
        });
    }

    /// Convolves vectors of places for a block of outputs.
    ///
    /// # Safety
    /// As [`PairedConvolution::of_image`].
    #[expect(clippy::too_many_arguments, reason = "all of them change between calls")]
    unsafe fn of_block(
        &self,
        planes: &[u32],
        block: usize,
        vectors: Range<usize>,
        finish: Finish<'_>,
        y: *mut bf16,
        registers: &ForOutputs,
        sums: &mut Sums,
    ) {
        let outputs = (self.outputs - block * OUTPUTS).min(OUTPUTS);
        let strip = self.offsets.len() * self.pairs * WIDTH;
        let weights = self.weights[2 * block * strip..].as_ptr();
        let across = if outputs > WIDTH { 2 } else { GROUP };
        for first in vectors.clone().step_by(across) {
            let planes = planes[first * LANES..].as_ptr();
            let (plane, offsets) = (self.planes.of_channel(), &self.offsets[..]);
            // SAFETY: planes have room for a group of vectors from every offset, and the weights for the block's
            // outputs; the rest as promised by the caller.
            unsafe {
                match outputs > WIDTH {
                    true => registers.of_32_outputs(weights, planes, plane, offsets, sums),
                    false => registers.of_16_outputs(weights, planes, plane, offsets, sums),
                }
                let places = &self.places[first..vectors.end.min(first + across)];
                self.finish(sums, across, places, block * OUTPUTS..block * OUTPUTS + outputs, finish, y);
            }
        }
    }

    /// Finishes the sums of outputs at some vectors of places, rounds and writes them.
    ///
    /// # Safety
    /// As [`PairedConvolution::of_image`].
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
    unsafe fn finish(
        &self,
        sums: &Sums,
        across: usize,
        places: &[Places],
        outputs: Range<usize>,
        finish: Finish<'_>,
        y: *mut bf16,
    ) {
        for (row, output) in outputs.enumerate() {
            let bias = finish.bias.map(|bias| _mm512_set1_ps(bias[output]));
            for (places, sums) in places.iter().zip(sums.0[row * across * WIDTH..].chunks_exact(WIDTH)) {
                // SAFETY: there are sixteen sums, and the positions are within the result.
                unsafe {
                    let mut sum = _mm512_load_ps(sums.as_ptr());
                    sum = bias.map_or(sum, |bias| _mm512_add_ps(sum, bias));
                    if finish.relu {
                        // NaN stays.
                        sum = _mm512_max_ps(_mm512_setzero_ps(), sum);
                    }
                    let dense = _mm512_maskz_compress_ps(places.mask, sum);
                    let rounded = std::mem::transmute::<__m256bh, __m256i>(_mm512_cvtneps_pbh(dense));
                    let mask = ((1u32 << places.mask.count_ones()) - 1) as u16;
                    let y = y.add(row * self.planes.positions() + places.position);
                    _mm256_mask_storeu_epi16(y.cast(), mask, rounded);
                }
            }
        }
    }
}
