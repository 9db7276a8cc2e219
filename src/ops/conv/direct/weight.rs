//! The gradient of the weights in f32: for sixteen outputs at a time, sums over the places of an image.
//!
//! The result's gradient is turned first, so that the numbers of sixteen outputs at a place are adjacent. They are
//! multiplied with the pixel that a tap needs there, and added to the tap's sums, which stay in registers. Only places
//! of the result are visited.

use std::arch::x86_64::*;
use std::ops::Range;

use super::planes::{Form, LANES, Planes};
use super::turn::{turn, turned_len, turned_rows};
use crate::cpu::with_scratch;

/// Places whose sums are computed before they are added to those of the places before them.
const PLACES: usize = 1 << 10;

/// The gradient of the weights of a convolution of planes.
pub(super) struct WeightGradient {
    planes: Planes,
    offsets: Vec<usize>,
    outputs: usize,
}

/// The sources of the sums at some places: an image's planes, the turned gradient, and rows of the result.
#[derive(Clone)]
struct Image<'a> {
    planes: &'a [f32],
    dy: &'a [f32],
    rows: Range<usize>,
}

impl WeightGradient {
    pub fn new(form: Form, channels: usize, outputs: usize) -> Self {
        let planes = Planes::new(channels, form, 1);
        let offsets = planes.offsets(false);
        let [height, width] = planes.form.output;
        let farthest = offsets.iter().max().map_or(0, |farthest| farthest + (height - 1) * planes.pitch + width);
        assert!(farthest <= planes.total(), "places beyond the planes");
        Self { planes, offsets, outputs }
    }

    /// Returns the number of sums: for each block of sixteen outputs, sixteen for each tap.
    pub fn sums(&self) -> usize {
        turned_len(self.outputs, self.offsets.len())
    }

    /// Returns the gradient of the weights: the taps of each output.
    ///
    /// # Safety
    /// The processor has AVX-512.
    pub unsafe fn weights(&self, sums: &[f32]) -> Vec<f32> {
        // SAFETY: as promised by the caller.
        unsafe { turned_rows(sums, self.outputs, self.offsets.len()) }
    }

    /// Adds the sums over the places of an image.
    ///
    /// # Safety
    /// The processor has AVX-512.
    pub unsafe fn add(&self, x: &[f32], dy: &[f32], sums: &mut [f32]) {
        let turned = turned_len(self.outputs, self.planes.positions());
        with_scratch(turned + self.planes.total(), |memory| {
            let (turned, planes) = memory.split_at_mut(turned);
            // SAFETY: as promised by the caller.
            unsafe {
                self.planes.fill_from(x, planes);
                turn(dy, self.planes.positions(), turned);
                self.add_planes(planes, turned, sums);
            }
        });
    }

    #[target_feature(enable = "avx512f")]
    fn add_planes(&self, planes: &[f32], dy: &[f32], sums: &mut [f32]) {
        assert_eq!(sums.len(), self.sums(), "other sums");
        let [height, width] = self.planes.form.output;
        let each = (PLACES / width).max(1);
        let are_adjacent = self.planes.form.kernel[1] == 3 && self.planes.form.stride == 1;
        for first in (0..height).step_by(each) {
            let rows = first..height.min(first + each);
            let blocks = sums.chunks_mut(2 * self.offsets.len() * LANES);
            for (sums, dy) in blocks.zip(dy.chunks(2 * height * width * LANES)) {
                let (image, pairs) = (Image { planes, dy, rows: rows.clone() }, dy.len() > height * width * LANES);
                // SAFETY: the planes, the turned gradient and the sums have the sizes that were asserted; taps of a
                // kernel's row are adjacent.
                unsafe {
                    match (pairs, are_adjacent) {
                        (true, true) => self.taps::<2, 4, 3>(&image, sums),
                        (true, false) => self.taps::<2, 8, 1>(&image, sums),
                        (false, true) if self.offsets.len() <= 12 => self.taps::<1, 4, 3>(&image, sums),
                        (false, true) => self.taps::<1, 8, 3>(&image, sums),
                        (false, false) => self.taps::<1, 8, 1>(&image, sums),
                    }
                }
            }
        }
    }

    /// Adds the sums of all taps for `V` blocks of outputs, `R` times `A` adjacent taps at a time.
    ///
    /// # Safety
    /// The image's parts and the sums have the sizes of this gradient, for `V` blocks.
    #[target_feature(enable = "avx512f")]
    unsafe fn taps<const V: usize, const R: usize, const A: usize>(&self, image: &Image<'_>, sums: &mut [f32]) {
        let groups = self.offsets.len() / A;
        for first in (0..groups).step_by(R) {
            let count = R.min(groups - first);
            // Beyond the last group, that group again.
            let offsets = std::array::from_fn(|r| self.offsets[(first + r.min(count - 1)) * A]);
            // SAFETY: as promised by the caller.
            let found = unsafe { self.sums_of::<V, R, A>(image, offsets) };
            for (v, sums) in sums.chunks_exact_mut(self.offsets.len() * LANES).enumerate() {
                let sums = sums[first * A * LANES..].chunks_exact_mut(LANES);
                for (found, sum) in found.as_flattened()[..count * A].iter().zip(sums) {
                    // SAFETY: `sum` has sixteen numbers.
                    unsafe {
                        let sum = sum.as_mut_ptr();
                        _mm512_storeu_ps(sum, _mm512_add_ps(_mm512_loadu_ps(sum), found[v]));
                    }
                }
            }
        }
    }

    /// Returns the sums of taps at these offsets and the `A - 1` after each.
    ///
    /// # Safety
    /// As [`WeightGradient::taps`]; the offsets are those of taps.
    #[inline]
    #[target_feature(enable = "avx512f")]
    unsafe fn sums_of<const V: usize, const R: usize, const A: usize>(
        &self,
        image: &Image<'_>,
        offsets: [usize; R],
    ) -> [[[__m512; V]; A]; R] {
        let [height, width] = self.planes.form.output;
        let pixels = offsets.map(|offset| image.planes[offset..].as_ptr());
        let mut dy = image.dy[image.rows.start * width * LANES..].as_ptr();
        let mut sums = [[[_mm512_setzero_ps(); V]; A]; R];
        for y in image.rows.clone() {
            for place in y * self.planes.pitch..y * self.planes.pitch + width {
                // SAFETY: the place is one of the result, whose pixels are within the planes from every offset.
                unsafe {
                    let g: [__m512; V] = std::array::from_fn(|v| _mm512_loadu_ps(dy.add(v * height * width * LANES)));
                    dy = dy.add(LANES);
                    for (sums, pixels) in sums.iter_mut().zip(pixels) {
                        for (a, sums) in sums.iter_mut().enumerate() {
                            let pixel = _mm512_set1_ps(*pixels.add(place + a));
                            for (sum, g) in sums.iter_mut().zip(g) {
                                *sum = _mm512_fmadd_ps(g, pixel, *sum);
                            }
                        }
                    }
                }
            }
        }
        sums
    }
}
