//! The convolution of planes of f32: some outputs at a few vectors of places at a time, whose sums stay in registers.

use std::arch::x86_64::{__m256, __m512};
use std::ops::Range;

use super::planes::{Places, Planes};
use super::vector::{Registers, Vector};
use crate::cpu::with_scratch;

/// Vectors that are in the planes together.
pub(super) const GROUP: usize = 1;

/// Numbers of the planes that are visited for all outputs before the next ones: they fit into a core's cache.
const VISITED: usize = 1 << 16;

/// Weights in the order in which they are used: blocks of outputs, in each all taps, for each the weights of the
/// outputs. There are zeros for outputs beyond the last.
pub(super) struct Packed {
    weights: Vec<f32>,
    taps: usize,
    outputs: usize,
    registers: Registers,
}

impl Packed {
    /// Packs weights of these outputs and taps, of which `at` returns the index, for a computation in `registers`.
    pub fn new(
        weight: &[f32],
        [outputs, taps]: [usize; 2],
        registers: Registers,
        at: impl Fn(usize, usize) -> usize,
    ) -> Self {
        let each = registers.outputs();
        let mut weights = vec![0.0; outputs.next_multiple_of(each) * taps];
        for (block, weights) in weights.chunks_exact_mut(each * taps).enumerate() {
            for output in block * each..outputs.min((block + 1) * each) {
                let weights = weights[output % each..].iter_mut().step_by(each);
                weights.enumerate().for_each(|(tap, to)| *to = weight[at(output, tap)]);
            }
        }
        Self { weights, taps, outputs, registers }
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
        let lanes = weights.registers.lanes();
        let (offsets, places) = (planes.offsets(turned), planes.places(lanes));
        let farthest = offsets.iter().max().map_or(0, |farthest| farthest + places.len() * lanes);
        assert!(offsets.len() == weights.taps && farthest <= planes.total(), "places beyond the planes");
        Self { planes, weights, offsets, places }
    }

    /// Returns the outputs of a block.
    pub fn block(&self) -> usize {
        self.weights.registers.outputs()
    }

    /// Returns all blocks of outputs.
    pub fn blocks(&self) -> Range<usize> {
        0..self.weights.outputs.div_ceil(self.block())
    }

    /// Returns how many numbers the results of these blocks have.
    pub fn len_of(&self, blocks: &Range<usize>) -> usize {
        let end = (blocks.end * self.block()).min(self.weights.outputs);
        end.saturating_sub(blocks.start * self.block()) * self.planes.positions()
    }

    /// Convolves an image for these blocks of outputs, and writes their positions to `y`.
    ///
    /// # Safety
    /// The processor has the registers, and there is room for the positions of the blocks' outputs at `y`.
    pub unsafe fn of_image(&self, x: &[f32], blocks: Range<usize>, finish: Finish<'_>, y: *mut f32) {
        with_scratch(self.planes.total(), |planes| {
            // SAFETY: as promised by the caller.
            unsafe {
                match self.weights.registers {
                    Registers::Avx512 => self.in_avx512(x, planes, blocks, finish, y),
                    Registers::Avx2 => self.in_avx2(x, planes, blocks, finish, y),
                }
            }
        });
    }

    #[target_feature(enable = "avx512f")]
    unsafe fn in_avx512(&self, x: &[f32], planes: &mut [f32], blocks: Range<usize>, finish: Finish<'_>, y: *mut f32) {
        // SAFETY: as promised by the caller.
        unsafe {
            self.planes.fill_from::<__m512>(x, planes);
            self.of_planes::<__m512, 8>(planes, blocks, finish, y);
        }
    }

    #[target_feature(enable = "avx2,fma")]
    unsafe fn in_avx2(&self, x: &[f32], planes: &mut [f32], blocks: Range<usize>, finish: Finish<'_>, y: *mut f32) {
        // SAFETY: as promised by the caller.
        unsafe {
            self.planes.fill_from::<__m256>(x, planes);
            self.of_planes::<__m256, 4>(planes, blocks, finish, y);
        }
    }

    /// Convolves planes for blocks of `O` outputs.
    ///
    /// # Safety
    /// As [`Convolution::of_image`]; the caller enables the instructions for `V`.
    #[inline(always)]
    unsafe fn of_planes<V: Vector, const O: usize>(
        &self,
        planes: &[f32],
        blocks: Range<usize>,
        finish: Finish<'_>,
        y: *mut f32,
    ) {
        assert!(O == self.block() && blocks.end <= self.blocks().end, "blocks beyond the last");
        assert!(finish.bias.is_none_or(|bias| bias.len() == self.weights.outputs), "a bias of another length");
        let each = (VISITED / self.planes.channels / V::LANES).max(V::PLACES);
        for chunk in (0..self.places.len()).step_by(each) {
            let end = self.places.len().min(chunk + each);
            for block in blocks.clone() {
                // SAFETY: as promised by the caller.
                let y = unsafe { y.add((block - blocks.start) * O * self.planes.positions()) };
                let mut first = chunk;
                while first < end {
                    // SAFETY: the vectors are those of places; the rest as promised by the caller.
                    unsafe {
                        first += match end - first {
                            1 => self.vectors::<V, O, 1>(planes, block, first, finish, y),
                            3 | 5.. if V::PLACES == 3 => self.vectors::<V, O, 3>(planes, block, first, finish, y),
                            // Twice two take less time than three and one.
                            _ => self.vectors::<V, O, 2>(planes, block, first, finish, y),
                        }
                    }
                }
            }
        }
    }

    /// Convolves `N` vectors of places from number `first`, and returns `N`.
    ///
    /// # Safety
    /// As [`Convolution::of_planes`]; the vectors are those of places, and are computed in their order.
    #[inline(always)]
    unsafe fn vectors<V: Vector, const O: usize, const N: usize>(
        &self,
        planes: &[f32],
        block: usize,
        first: usize,
        finish: Finish<'_>,
        y: *mut f32,
    ) -> usize {
        // SAFETY: the caller enables the instructions.
        let zero = unsafe { V::zero() };
        let mut sums = [[zero; N]; O];
        let planes = planes[first * V::LANES..].as_ptr();
        let weights = self.weights.weights[block * self.weights.taps * O..].as_chunks::<O>().0;
        for (&offset, weights) in self.offsets.iter().zip(weights) {
            let mut x = [zero; N];
            for (v, x) in x.iter_mut().enumerate() {
                // SAFETY: as `new` asserts, all places are within the planes from every offset.
                *x = unsafe { V::load(planes.add(offset + v * V::LANES)) };
            }
            for (sums, &weight) in sums.iter_mut().zip(weights) {
                // SAFETY: the caller enables the instructions.
                unsafe {
                    let weight = V::splat(weight);
                    for (sum, x) in sums.iter_mut().zip(x) {
                        *sum = weight.mul_add(x, *sum);
                    }
                }
            }
        }
        let (outputs, positions) = ((self.weights.outputs - block * O).min(O), self.planes.positions());
        for (output, sums) in sums.into_iter().enumerate().take(outputs) {
            let bias = finish.bias.map(|bias| bias[block * O + output]);
            for (mut sum, places) in sums.into_iter().zip(&self.places[first..]) {
                // SAFETY: the positions are within the result, for which there is room; those after them in an output are
                // written later.
                unsafe {
                    if let Some(bias) = bias {
                        sum = sum.add(V::splat(bias));
                    }
                    if finish.relu {
                        sum = sum.relu();
                    }
                    let room = positions - places.position;
                    sum.store_masked(places.mask, room, y.add(output * positions + places.position));
                }
            }
        }
        N
    }
}
