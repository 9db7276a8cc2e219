//! The implicit QL method, which finds the eigenvalues of a small matrix of three diagonals by rotations: Golub and Van
//! Loan, "Matrix Computations", section 8.3.3.

/// The most rows of a matrix.
pub(super) const MOST_ROWS: usize = 32;

/// Eigenvectors of a matrix, which has as many rows as there are.
pub(super) type Rotated = Vec<[f64; MOST_ROWS]>;

/// Brings a matrix of three diagonals to one, and returns its eigenvectors.
#[inline(always)]
pub(super) fn diagonalize(diagonal: &mut [f64], beside: &mut [f64]) -> Rotated {
    /// Far more than a number needs.
    const MOST: usize = 60;
    let n = diagonal.len();
    let mut vectors = vec![[0.0; MOST_ROWS]; n];
    vectors.iter_mut().enumerate().for_each(|(place, vector)| vector[place] = 1.0);
    for first in 0..n {
        for _ in 0..MOST {
            let is_apart = |i: &usize| beside[*i].abs() <= f64::EPSILON * (diagonal[*i].abs() + diagonal[*i + 1].abs());
            let last = (first..n - 1).find(is_apart).unwrap_or(n - 1);
            if last == first {
                break;
            }
            chase(diagonal, beside, first, last, &mut vectors);
        }
    }
    vectors
}

/// One sweep of rotations, from `last` up to `first`, shifted by an eigenvalue of the first two rows.
#[inline(always)]
fn chase(diagonal: &mut [f64], beside: &mut [f64], first: usize, last: usize, vectors: &mut Rotated) {
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
            return;
        }
        (sine, cosine) = (f / r, g / r);
        g = diagonal[i + 1] - moved;
        let r = (diagonal[i] - g) * sine + 2.0 * cosine * b;
        moved = sine * r;
        diagonal[i + 1] = g + moved;
        g = cosine * r - b;
        let (low, high) = vectors.split_at_mut(i + 1);
        rotate(&mut low[i], &mut high[0], cosine, sine);
    }
    diagonal[first] -= moved;
    beside[first] = g;
    beside[last] = 0.0;
}

/// Rotates two vectors.
#[inline(always)]
pub(super) fn rotate(low: &mut [f64], high: &mut [f64], cosine: f64, sine: f64) {
    for (low, high) in low.iter_mut().zip(high) {
        (*low, *high) = (cosine * *low - sine * *high, sine * *low + cosine * *high);
    }
}
