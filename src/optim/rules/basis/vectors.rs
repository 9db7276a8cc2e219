//! Vectors of f64, and the sums over them, in one order whatever instructions the processor has.

use crate::cpu::vectorized;

/// Vectors of equal length.
pub(in crate::optim::rules) type Vectors = Vec<Vec<f64>>;

/// Sums at a time.
const LANES: usize = 8;

/// Returns the axis number `place` of `n`.
pub(super) fn unit(n: usize, place: usize) -> Vec<f64> {
    (0..n).map(|i| if i == place { 1.0 } else { 0.0 }).collect()
}

/// Returns the product of two vectors of equal length.
pub(super) fn dot(a: &[f64], b: &[f64]) -> f64 {
    vectorized(
        #[inline(always)]
        || dot_inline(a, b),
    )
}

/// The same within a function that is compiled for the processor.
#[inline(always)]
pub(super) fn dot_inline(a: &[f64], b: &[f64]) -> f64 {
    let mut lanes = [0.0; LANES];
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<LANES>(), b.as_chunks::<LANES>());
    for (a, b) in a.iter().zip(b) {
        for lane in 0..LANES {
            lanes[lane] += a[lane] * b[lane];
        }
    }
    lanes.iter().sum::<f64>() + a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum::<f64>()
}
