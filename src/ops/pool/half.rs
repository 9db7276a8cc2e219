//! Pooling of a half type: a plane at a time in f32.

use super::Windows;
use crate::cpu::{Half, for_chunks, round_to, vectorized, widen_to};

impl Windows {
    /// [`Windows::pool`] for a half type, a plane at a time.
    pub fn pool_in_half<H: Half>(&self, x: &[H], width: usize, plane: usize) -> Vec<H> {
        let mut y = vec![H::zero(); x.len() / plane * self.len()];
        let planes = Self::planes(plane);
        for_chunks(&mut y, planes * self.len(), x.len(), |number, y| {
            let (mut wide_x, mut wide_y) = (vec![0.0; plane], vec![0.0; self.len()]);
            for (y, x) in y.chunks_exact_mut(self.len()).zip(x[number * planes * plane..].chunks_exact(plane)) {
                vectorized(
                    #[inline(always)]
                    || widen_to(x, &mut wide_x),
                );
                self.pool_plane(&wide_x, width, &mut wide_y);
                vectorized(
                    #[inline(always)]
                    || round_to(&wide_y, y),
                );
            }
        });
        y
    }

    /// [`Windows::gradient`] for a half type, a plane at a time.
    pub fn gradient_in_half<H: Half>(&self, x: &[H], y: &[H], dy: &[H], width: usize, plane: usize) -> Vec<H> {
        let mut dx = vec![H::zero(); x.len()];
        let (planes, outputs) = (Self::planes(plane), self.len());
        for_chunks(&mut dx, planes * plane, x.len(), |number, dx| {
            let (mut wide_x, mut wide_dx) = (vec![0.0; plane], vec![0.0; plane]);
            let (mut wide_y, mut wide_dy) = (vec![0.0; outputs], vec![0.0; outputs]);
            for (index, dx) in (number * planes..).zip(dx.chunks_exact_mut(plane)) {
                let of_outputs = index * outputs..(index + 1) * outputs;
                vectorized(
                    #[inline(always)]
                    || {
                        widen_to(&x[index * plane..][..plane], &mut wide_x);
                        widen_to(&y[of_outputs.clone()], &mut wide_y);
                        widen_to(&dy[of_outputs], &mut wide_dy);
                    },
                );
                wide_dx.fill(0.0);
                self.gradient_of_plane(&wide_x, &wide_y, &wide_dy, &mut wide_dx, width);
                vectorized(
                    #[inline(always)]
                    || round_to(&wide_dx, dx),
                );
            }
        });
        dx
    }
}
