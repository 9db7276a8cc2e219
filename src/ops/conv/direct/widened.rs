//! Images of bf16 on a processor without the matrix unit: each is widened to f32, which is exact, before its convolution
//! in f32, and each element of the result is rounded once.

use std::mem::MaybeUninit;
use std::ops::Range;

use half::bf16;

use super::flat::{Convolution, Finish};
use super::weight::WeightGradient;
use crate::cpu::{Half, vectorized, widen_to, with_scratch};

/// A computation with images of f32.
pub(super) struct Widened<T>(pub T);

impl Widened<Convolution> {
    /// [`Convolution::of_image`].
    ///
    /// # Safety
    /// As there.
    pub unsafe fn of_image(&self, x: &[bf16], blocks: Range<usize>, finish: Finish<'_>, y: *mut bf16) {
        let len = self.0.len_of(&blocks);
        with_scratch(x.len() + len, |memory| {
            let (wide, results) = memory.split_at_mut(x.len());
            widen(x, wide);
            // SAFETY: as promised by the caller; there is room for the results.
            let y = unsafe {
                self.0.of_image(wide, blocks, finish, results.as_mut_ptr());
                std::slice::from_raw_parts_mut(y.cast::<MaybeUninit<bf16>>(), len)
            };
            vectorized(
                #[inline(always)]
                || y.iter_mut().zip(results).for_each(|(y, sum)| *y = MaybeUninit::new(bf16::rounded(*sum))),
            );
        });
    }
}

impl Widened<WeightGradient> {
    /// [`WeightGradient::add`].
    ///
    /// # Safety
    /// As there.
    pub unsafe fn add(&self, x: &[bf16], dy: &[bf16], sums: &mut [f32]) {
        with_scratch(x.len() + dy.len(), |memory| {
            let (wide_x, wide_dy) = memory.split_at_mut(x.len());
            widen(x, wide_x);
            widen(dy, wide_dy);
            // SAFETY: as promised by the caller.
            unsafe { self.0.add(wide_x, wide_dy, sums) }
        });
    }
}

fn widen(x: &[bf16], wide: &mut [f32]) {
    vectorized(
        #[inline(always)]
        || widen_to(x, wide),
    );
}
