//! The implicit QL method, which finds the eigenvalues of a matrix of three diagonals: Golub and Van Loan, "Matrix
//! Computations", section 8.3.3.
//!
//! The rotations follow from the diagonals alone, so the vectors are rotated by many at a time.

use super::columns::{Columns, Sweep, Turn};

/// Rotations before the vectors are rotated: 16 MiB.
const KEPT: usize = 1 << 20;

/// Brings a matrix of three diagonals to one, and rotates `vectors` along.
pub(super) fn diagonalize(diagonal: &mut [f64], beside: &mut [f64], vectors: &mut Columns) {
    /// Far more than a number needs.
    const MOST: usize = 60;
    let n = diagonal.len();
    let (mut sweeps, mut kept) = (Vec::new(), 0);
    for first in 0..n {
        for _ in 0..MOST {
            let is_apart = |i: &usize| beside[*i].abs() <= f64::EPSILON * (diagonal[*i].abs() + diagonal[*i + 1].abs());
            let last = (first..n - 1).find(is_apart).unwrap_or(n - 1);
            if last == first {
                break;
            }
            let sweep = chase(diagonal, beside, first, last);
            kept += sweep.turns.len();
            sweeps.push(sweep);
            if kept >= KEPT {
                vectors.rotate(&sweeps);
                sweeps.clear();
                kept = 0;
            }
        }
    }
    vectors.rotate(&sweeps);
}

/// One sweep of rotations, from `last` up to `first`, shifted by an eigenvalue of the first two rows.
fn chase(diagonal: &mut [f64], beside: &mut [f64], first: usize, last: usize) -> Sweep {
    let mut turns = Vec::with_capacity(last - first);
    let half = (diagonal[first + 1] - diagonal[first]) / (2.0 * beside[first]);
    let root = half.hypot(1.0).copysign(half);
    let mut g = diagonal[last] - diagonal[first] + beside[first] / (half + root);
    let (mut sine, mut cosine, mut moved) = (1.0, 1.0, 0.0);
    for i in (first..last).rev() {
        let (f, b) = (sine * beside[i], cosine * beside[i]);
        let r = f.hypot(g);
        beside[i + 1] = r;
        if r == 0.0 {
            diagonal[i + 1] -= moved;
            beside[last] = 0.0;
            return Sweep { first: last, turns };
        }
        (sine, cosine) = (f / r, g / r);
        g = diagonal[i + 1] - moved;
        let r = (diagonal[i] - g) * sine + 2.0 * cosine * b;
        moved = sine * r;
        diagonal[i + 1] = g + moved;
        g = cosine * r - b;
        turns.push(Turn { cosine, sine });
    }
    diagonal[first] -= moved;
    beside[first] = g;
    beside[last] = 0.0;
    Sweep { first: last, turns }
}
