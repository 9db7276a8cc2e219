//! The convolution of planes of f32: eight outputs at up to 48 places at a time, whose sums stay in registers.

use std::arch::x86_64::*;
use std::ops::Range;

use super::planes::{LANES, Places, Planes};
use crate::cpu::with_scratch;

/// Outputs that are computed together.
pub(super) const OUTPUTS: usize = 8;

/// Vectors that are in the planes together.
pub(super) const GROUP: usize = 1;

/// Numbers of the planes that are visited for all outputs before the next ones: they fit into a core's cache.
const VISITED: usize = 1 << 16;

/// Weights in the order in which they are used: blocks of eight outputs, in each all taps, for each the weights of the
/// outputs. There are zeros for outputs beyond the last.
pub(super) struct Packed {
    weights: Vec<f32>,
    taps: usize,
    outputs: usize,
}

impl Packed {
    /// Packs weights of these outputs and taps, of which `at` returns the index.
    pub fn new(weight: &[f32], outputs: usize, taps: usize, at: impl Fn(usize, usize) -> usize) -> Self {
        let mut weights = vec![0.0; outputs.next_multiple_of(OUTPUTS) * taps];
        for (block, weights) in weights.chunks_exact_mut(OUTPUTS * taps).enumerate() {
            for output in block * OUTPUTS..outputs.min((block + 1) * OUTPUTS) {
                let weights = weights[output % OUTPUTS..].iter_mut().step_by(OUTPUTS);
                weights.enumerate().for_each(|(tap, to)| *to = weight[at(output, tap)]);
            }
        }
        Self { weights, taps, outputs }
    }
}

/// A convolution of planes with weights.
pub(super) struct Convolution {
    planes: Planes,
    weights: Packed,
    offsets: Vec<usize>,
    places: Vec<Places>,
}

/// The last work on a sum before it is written.
#[derive(Clone, Copy)]
pub(super) struct Finish<'a> {
    pub bias: Option<&'a [f32]>,
    pub relu: bool,
}

impl Finish<'_> {
    /// Leaves a sum as it is.
    pub const NONE: Self = Self { bias: None, relu: false };
}

impl Convolution {
    /// Creates a convolution; `turned` as for [`Planes::offsets`].
    pub fn new(planes: Planes, weights: Packed, turned: bool) -> Self {
        let (offsets, places) = (planes.offsets(turned), planes.places());
        let farthest = offsets.iter().max().map_or(0, |farthest| farthest + places.len() * LANES);
        assert!(offsets.len() == weights.taps && farthest <= planes.total(), "places beyond the planes");
        Self { planes, weights, offsets, places }
    }

    /// Returns all blocks of eight outputs.
    pub fn blocks(&self) -> Range<usize> {
        0..self.weights.outputs.div_ceil(OUTPUTS)
    }

    /// Returns how many numbers the results of these blocks have.
    pub fn len_of(&self, blocks: &Range<usize>) -> usize {
        let outputs = (blocks.end * OUTPUTS).min(self.weights.outputs).saturating_sub(blocks.start * OUTPUTS);
        outputs * self.planes.positions()
    }

    /// Convolves an image for these blocks of eight outputs, and writes their positions to `y`.
    ///
    /// # Safety
    /// The processor has AVX-512, and there is room for the positions of the blocks' outputs at `y`.
    pub unsafe fn of_image(&self, x: &[f32], blocks: Range<usize>, finish: Finish<'_>, y: *mut f32) {
        with_scratch(self.planes.total(), |planes| {
            // SAFETY: as promised by the caller.
            unsafe {
                self.planes.fill_from(x, planes);
                self.of_planes(planes, blocks, finish, y);
            }
        });
    }

    #[target_feature(enable = "avx512f")]
    unsafe fn of_planes(&self, planes: &[f32], blocks: Range<usize>, finish: Finish<'_>, y: *mut f32) {
        assert!(blocks.end <= self.blocks().end, "blocks beyond the last");
        assert!(finish.bias.is_none_or(|bias| bias.len() == self.weights.outputs), "a bias of another length");
        let each = (VISITED / self.planes.channels / LANES).max(3);
        for chunk in (0..self.places.len()).step_by(each) {
            let end = self.places.len().min(chunk + each);
            for block in blocks.clone() {
                // SAFETY: as promised by the caller.
                let y = unsafe { y.add((block - blocks.start) * OUTPUTS * self.planes.positions()) };
                let mut first = chunk;
                while first < end {
                    // SAFETY: the vectors are those of places; the rest as promised by the caller.
                    unsafe {
                        first += match end - first {
                            1 => self.vectors::<1>(planes, block, first, finish, y),
                            // Twice two take less time than three and one.
                            2 | 4 => self.vectors::<2>(planes, block, first, finish, y),
                            _ => self.vectors::<3>(planes, block, first, finish, y),
                        }
                    }
                }
            }
        }
    }

    /// Convolves `V` vectors of places from number `first`, and returns `V`.
    ///
    /// # Safety
    /// As [`Convolution::of_image`]; the vectors are those of places.
    #[inline]
    #[target_feature(enable = "avx512f")]
    unsafe fn vectors<const V: usize>(
        &self,
        planes: &[f32],
        block: usize,
        first: usize,
        finish: Finish<'_>,
        y: *mut f32,
    ) -> usize {
        let mut sums = [[_mm512_setzero_ps(); V]; OUTPUTS];
        let planes = planes[first * LANES..].as_ptr();
        let weights = self.weights.weights[block * self.weights.taps * OUTPUTS..].chunks_exact(OUTPUTS);
        for (&offset, weights) in self.offsets.iter().zip(weights) {
            // SAFETY: as `new` asserts, all places are within the planes from every offset.
            let x: [__m512; V] = std::array::from_fn(|v| unsafe { _mm512_loadu_ps(planes.add(offset + v * LANES)) });
            for (sums, &weight) in sums.iter_mut().zip(weights) {
                let weight = _mm512_set1_ps(weight);
                for (sum, x) in sums.iter_mut().zip(x) {
                    *sum = _mm512_fmadd_ps(weight, x, *sum);
                }
            }
        }
        let outputs = (self.weights.outputs - block * OUTPUTS).min(OUTPUTS);
        for (output, sums) in sums.into_iter().enumerate().take(outputs) {
            let bias = finish.bias.map(|bias| _mm512_set1_ps(bias[block * OUTPUTS + output]));
            for (mut sum, places) in sums.into_iter().zip(&self.places[first..]) {
                sum = bias.map_or(sum, |bias| _mm512_add_ps(sum, bias));
                if finish.relu {
                    // NaN stays.
                    sum = _mm512_max_ps(_mm512_setzero_ps(), sum);
                }
                let dense = _mm512_maskz_compress_ps(places.mask, sum);
                let mask = ((1u32 << places.mask.count_ones()) - 1) as u16;
                // SAFETY: the positions are within the result, for which there is room.
                unsafe {
                    let y = y.add(output * self.planes.positions() + places.position);
                    _mm512_mask_storeu_ps(y, mask, dense);
                }
            }
        }
        V
    }
}
