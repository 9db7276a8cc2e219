//! The gradient of the weights in f32: for a vector of outputs at a time, sums over the places of an image.
//!
//! The result's gradient is turned first, so that the numbers of a vector's outputs at a place are adjacent. They are
//! multiplied with the pixel that a tap needs there, and added to the tap's sums, which stay in registers. Only places
//! of the result are visited.

use std::arch::x86_64::{__m256, __m512};
use std::ops::Range;

use super::planes::{Form, Planes};
use super::turn::{turn, turned_len, turned_rows};
use super::vector::{Registers, Vector};
use crate::cpu::with_scratch;

/// Places whose sums are computed before they are added to those of the places before them.
const PLACES: usize = 1 << 10;

/// The gradient of the weights of a convolution of planes.
pub(super) struct WeightGradient {
    planes: Planes,
    offsets: Vec<usize>,
    outputs: usize,
    registers: Registers,
}

/// The sources of the sums at some places: an image's planes, the turned gradient, and rows of the result.
#[derive(Clone)]
struct Image<'a> {
    planes: &'a [f32],
    dy: &'a [f32],
    rows: Range<usize>,
}

impl WeightGradient {
    pub fn new(form: Form, channels: usize, outputs: usize, registers: Registers) -> Self {
        let planes = Planes::new(channels, form, 1);
        let offsets = planes.offsets(false);
        let [height, width] = planes.form.output;
        let farthest = offsets.iter().max().map_or(0, |farthest| farthest + (height - 1) * planes.pitch + width);
        assert!(farthest <= planes.total(), "places beyond the planes");
        Self { planes, offsets, outputs, registers }
    }

    /// Returns the number of sums: for each block of outputs, a vector for each tap.
    pub fn sums(&self) -> usize {
        turned_len(self.outputs, self.offsets.len(), self.registers.lanes())
    }

    /// Returns the gradient of the weights: the taps of each output.
    ///
    /// # Safety
    /// The processor has the registers.
    pub unsafe fn weights(&self, sums: &[f32]) -> Vec<f32> {
        #[target_feature(enable = "avx512f")]
        fn in_avx512(sums: &[f32], rows: usize, width: usize) -> Vec<f32> {
            // SAFETY: the instructions are enabled.
            unsafe { turned_rows::<__m512>(sums, rows, width) }
        }
        #[target_feature(enable = "avx2,fma")]
        fn in_avx2(sums: &[f32], rows: usize, width: usize) -> Vec<f32> {
            // SAFETY: the instructions are enabled.
            unsafe { turned_rows::<__m256>(sums, rows, width) }
        }
        // SAFETY: as promised by the caller.
        unsafe {
            match self.registers {
                Registers::Avx512 => in_avx512(sums, self.outputs, self.offsets.len()),
                Registers::Avx2 => in_avx2(sums, self.outputs, self.offsets.len()),
            }
        }
    }

    /// Adds the sums over the places of an image.
    ///
    /// # Safety
    /// The processor has the registers.
    pub unsafe fn add(&self, x: &[f32], dy: &[f32], sums: &mut [f32]) {
        let turned = turned_len(self.outputs, self.planes.positions(), self.registers.lanes());
        with_scratch(turned + self.planes.total(), |memory| {
            let memory = memory.split_at_mut(turned);
            // SAFETY: as promised by the caller.
            unsafe {
                match self.registers {
                    Registers::Avx512 => self.add_in_avx512(x, dy, memory, sums),
                    Registers::Avx2 => self.add_in_avx2(x, dy, memory, sums),
                }
            }
        });
    }

    #[target_feature(enable = "avx512f")]
    fn add_in_avx512(&self, x: &[f32], dy: &[f32], (turned, planes): (&mut [f32], &mut [f32]), sums: &mut [f32]) {
        // SAFETY: the instructions are enabled.
        unsafe {
            self.planes.fill_from::<__m512>(x, planes);
            turn::<__m512>(dy, self.planes.positions(), turned);
            let pieces = |image: &Image<'_>, sums: &mut [f32], (pairs, are_adjacent)| match (pairs, are_adjacent) {
                (true, true) => self.taps::<__m512, 2, 4, 3>(image, sums),
                (true, false) => self.taps::<__m512, 2, 8, 1>(image, sums),
                (false, true) if self.offsets.len() <= 12 => self.taps::<__m512, 1, 4, 3>(image, sums),
                (false, true) => self.taps::<__m512, 1, 8, 3>(image, sums),
                (false, false) => self.taps::<__m512, 1, 8, 1>(image, sums),
            };
            self.add_planes::<__m512>(planes, turned, sums, pieces);
        }
    }

    #[target_feature(enable = "avx2,fma")]
    fn add_in_avx2(&self, x: &[f32], dy: &[f32], (turned, planes): (&mut [f32], &mut [f32]), sums: &mut [f32]) {
        // SAFETY: the instructions are enabled.
        unsafe {
            self.planes.fill_from::<__m256>(x, planes);
            turn::<__m256>(dy, self.planes.positions(), turned);
            let pieces = |image: &Image<'_>, sums: &mut [f32], (pairs, are_adjacent)| match (pairs, are_adjacent) {
                (true, _) => self.taps::<__m256, 2, 4, 1>(image, sums),
                (false, true) => self.taps::<__m256, 1, 4, 3>(image, sums),
                (false, false) => self.taps::<__m256, 1, 8, 1>(image, sums),
            };
            self.add_planes::<__m256>(planes, turned, sums, pieces);
        }
    }

    /// Adds the sums of all taps by `add`, rows of the result and one or two blocks of outputs at a time. It is told
    /// whether there are two, and whether the taps of a kernel's row are three and adjacent.
    ///
    /// # Safety
    /// The caller enables the instructions for `V`.
    #[inline(always)]
    unsafe fn add_planes<V: Vector>(
        &self,
        planes: &[f32],
        dy: &[f32],
        sums: &mut [f32],
        add: impl Fn(&Image<'_>, &mut [f32], (bool, bool)),
    ) {
        assert_eq!(sums.len(), self.sums(), "other sums");
        let [height, width] = self.planes.form.output;
        let each = (PLACES / width).max(1);
        let are_adjacent = self.planes.form.kernel[1] == 3 && self.planes.form.stride == 1;
        for first in (0..height).step_by(each) {
            let rows = first..height.min(first + each);
            let blocks = sums.chunks_mut(2 * self.offsets.len() * V::LANES);
            for (sums, dy) in blocks.zip(dy.chunks(2 * height * width * V::LANES)) {
                let are_two = dy.len() > height * width * V::LANES;
                add(&Image { planes, dy, rows: rows.clone() }, sums, (are_two, are_adjacent));
            }
        }
    }

    /// Adds the sums of all taps for `B` blocks of outputs, `R` times `A` adjacent taps at a time.
    ///
    /// # Safety
    /// The image's parts and the sums have the sizes of this gradient, for `B` blocks. The caller enables the
    /// instructions for `V`.
    #[inline(always)]
    unsafe fn taps<V: Vector, const B: usize, const R: usize, const A: usize>(
        &self,
        image: &Image<'_>,
        sums: &mut [f32],
    ) {
        let groups = self.offsets.len() / A;
        for first in (0..groups).step_by(R) {
            let count = R.min(groups - first);
            // Beyond the last group, that group again.
            let offsets = std::array::from_fn(|r| self.offsets[(first + r.min(count - 1)) * A]);
            // SAFETY: as promised by the caller.
            let found = unsafe { self.sums_of::<V, B, R, A>(image, offsets) };
            for (block, sums) in sums.chunks_exact_mut(self.offsets.len() * V::LANES).enumerate() {
                let sums = sums[first * A * V::LANES..].chunks_exact_mut(V::LANES);
                for (found, sum) in found.as_flattened()[..count * A].iter().zip(sums) {
                    // SAFETY: `sum` has as many numbers as a vector.
                    unsafe { V::load(sum.as_ptr()).add(found[block]).store(sum.as_mut_ptr()) }
                }
            }
        }
    }

    /// Returns the sums of taps at these offsets and the `A - 1` after each.
    ///
    /// # Safety
    /// As [`WeightGradient::taps`]; the offsets are those of taps.
    #[inline(always)]
    unsafe fn sums_of<V: Vector, const B: usize, const R: usize, const A: usize>(
        &self,
        image: &Image<'_>,
        offsets: [usize; R],
    ) -> [[[V; B]; A]; R] {
        let [height, width] = self.planes.form.output;
        let pixels = offsets.map(|offset| image.planes[offset..].as_ptr());
        let mut dy = image.dy[image.rows.start * width * V::LANES..].as_ptr();
        // SAFETY: the caller enables the instructions.
        let zero = unsafe { V::zero() };
        let mut sums = [[[zero; B]; A]; R];
        for y in image.rows.clone() {
            for place in y * self.planes.pitch..y * self.planes.pitch + width {
                // SAFETY: the place is one of the result, whose pixels are within the planes from every offset.
                unsafe {
                    let mut g = [zero; B];
                    for (block, g) in g.iter_mut().enumerate() {
                        *g = V::load(dy.add(block * height * width * V::LANES));
                    }
                    dy = dy.add(V::LANES);
                    for (sums, pixels) in sums.iter_mut().zip(pixels) {
                        for (a, sums) in sums.iter_mut().enumerate() {
                            let pixel = V::splat(*pixels.add(place + a));
                            for (sum, g) in sums.iter_mut().zip(g) {
                                *sum = g.mul_add(pixel, *sum);
                            }
                        }
                    }
                }
            }
        }
        sums
    }
}
