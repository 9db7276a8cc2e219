//! Householder's reduction of a symmetric matrix to three diagonals, in panels: Dongarra, Sorensen and Hammarling,
//! "Block reduction of matrices to condensed forms for eigenvalue computations" (1989).
//!
//! The reflections of a panel change the rest of the matrix at its end, by a product of matrices. Until then each needs
//! only one product of the rest with a vector. Both use only what is above the diagonal. Rows are computed on all
//! threads, each in one order.

use std::ops::Range;

use super::reflections::reflection;
use super::vectors::{Vectors, add_inline, dot, dot_inline, dots_inline};
use crate::cpu::{for_chunks, map_tasks, vectorized};
use crate::ops::{Matrix, product};

/// Reflections of a panel.
const PANEL: usize = 16;

/// Rows of a task.
const ROWS: usize = 64;

/// A matrix of three diagonals, and the reflections that lead to it.
pub(super) struct Tridiagonal {
    pub diagonal: Vec<f64>,
    /// The numbers beside the diagonal, and a 0.
    pub beside: Vec<f64>,
    /// The unit vector of the reflection of each row, which begins after the diagonal. That of the last is of zeros.
    pub along: Vectors,
}

/// Reduces a symmetric matrix.
pub(super) fn tridiagonal(mut matrix: Vectors) -> Tridiagonal {
    let n = matrix.length;
    let (mut diagonal, mut beside) = (Vec::with_capacity(n), Vec::with_capacity(n));
    let mut along = Vectors { length: n, numbers: vec![0.0; n * n] };
    let mut w = vec![0.0; PANEL * n];
    for k in 0..n {
        let start = k / PANEL * PANEL;
        let (before, v) = along.numbers.split_at_mut(k * n);
        let (w_before, w_after) = w.split_at_mut((k - start) * n);
        let change = Change { v: &before[start * n..], w: w_before, n };
        let mut row = matrix.at(k)[k..].to_vec();
        change.apply(&mut row, k);
        diagonal.push(row[0]);
        let (v, own_w) = (&mut v[k + 1..n], &mut w_after[..n]);
        v.copy_from_slice(&row[1..]);
        beside.push(if v.is_empty() { 0.0 } else { reflection(v) });
        own_w[..k + 1].fill(0.0);
        change.find(&matrix, v, &mut own_w[k + 1..]);
        if k + 1 == start + PANEL {
            Change { v: &along.numbers[start * n..(k + 1) * n], w: &w, n }.make(&mut matrix, k + 1);
        }
    }
    Tridiagonal { diagonal, beside, along }
}

/// A change `A - Vᵀ W - Wᵀ V` of a symmetric matrix, with rows of `n` numbers in `V` and `W`.
struct Change<'a> {
    v: &'a [f64],
    w: &'a [f64],
    n: usize,
}

impl Change<'_> {
    /// Returns each pair of rows.
    #[inline(always)]
    fn pairs(&self) -> impl Iterator<Item = (&[f64], &[f64])> {
        self.v.chunks_exact(self.n).zip(self.w.chunks_exact(self.n))
    }

    /// Makes the change of row `k` from its diagonal on.
    fn apply(&self, row: &mut [f64], k: usize) {
        vectorized(
            #[inline(always)]
            || {
                for (v, w) in self.pairs() {
                    add_inline(row, -v[k], &w[k..]);
                    add_inline(row, -w[k], &v[k..]);
                }
            },
        );
    }

    /// Writes the `w` of a reflection along the unit vector `v` of the last rows and columns of the changed matrix.
    fn find(&self, matrix: &Vectors, v: &[f64], w: &mut [f64]) {
        self.multiply(matrix, v, w);
        let along = dot(w, v);
        w.iter_mut().zip(v).for_each(|(w, v)| *w = 2.0 * (*w - along * *v));
    }

    /// Writes the product of the last rows and columns of the changed matrix with a vector.
    fn multiply(&self, matrix: &Vectors, vector: &[f64], products: &mut [f64]) {
        let (n, count) = (self.n, vector.len());
        let first = n - count;
        let mut shares = [[0.0; 2]; PANEL];
        vectorized(
            #[inline(always)]
            || {
                for (share, (v, w)) in shares.iter_mut().zip(self.pairs()) {
                    *share = dots_inline([&v[first..], &w[first..]], vector);
                }
            },
        );
        let parts = map_tasks(count.div_ceil(ROWS), count > 2 * ROWS, |task| {
            vectorized(
                #[inline(always)]
                || self.multiply_part(matrix, vector, &shares, task * ROWS..((task + 1) * ROWS).min(count)),
            )
        });
        products.fill(0.0);
        for (task, part) in parts.iter().enumerate() {
            products[task * ROWS..].iter_mut().zip(part).for_each(|(sum, x)| *sum += x);
        }
    }

    /// Returns the part of a product that these of its rows give, with the columns below them, from the first of them
    /// on.
    #[inline(always)]
    fn multiply_part(&self, matrix: &Vectors, vector: &[f64], shares: &[[f64; 2]], own: Range<usize>) -> Vec<f64> {
        let (n, first) = (self.n, self.n - vector.len());
        let mut part = vec![0.0; vector.len() - own.start];
        for row in own.clone().step_by(2) {
            let rows = &matrix.numbers[(first + row) * n..(first + (row + 2).min(own.end)) * n];
            multiply_rows(rows, n, &vector[row..], &mut part[row - own.start..]);
        }
        let part_of_own = &mut part[..own.len()];
        for ((v, w), [of_v, of_w]) in self.pairs().zip(shares) {
            add_inline(part_of_own, -of_w, &v[first + own.start..]);
            add_inline(part_of_own, -of_v, &w[first + own.start..]);
        }
        part
    }

    /// Makes the change of the rows and columns from number `first` on.
    fn make(&self, matrix: &mut Vectors, first: usize) {
        let (n, inner) = (self.n, 2 * PANEL);
        let left = [self.v, self.w].concat();
        let right: Vec<f64> = self.w.iter().chain(self.v).map(|x| -x).collect();
        let effort = (n - first).saturating_mul((n - first) * inner);
        for_chunks(&mut matrix.numbers[first * n..], ROWS * n, effort, |task, rows| {
            let start = first + task * ROWS;
            let left = Matrix::new(&left[start..], inner, rows.len() / n, n).transposed();
            product(left, Matrix::new(&right[start..], inner, n - start, n), &mut rows[start..], n, true);
        });
    }
}

/// Adds the product of a vector with one or two rows of a symmetric matrix and with the columns below these. All begin
/// at the diagonal of the first row.
#[inline(always)]
fn multiply_rows(rows: &[f64], n: usize, vector: &[f64], products: &mut [f64]) {
    let count = vector.len();
    let upper = &rows[n - count..n];
    if rows.len() == n {
        products[0] += dot_inline(upper, vector);
        add_inline(&mut products[1..], vector[0], &upper[1..]);
        return;
    }
    let lower = &rows[2 * n - count..];
    let [x, y, ..] = *vector else { return };
    products[0] += upper[0] * x + upper[1] * y + dot_inline(&upper[2..], &vector[2..]);
    products[1] += upper[1] * x + lower[1] * y + dot_inline(&lower[2..], &vector[2..]);
    // Both rows are in the cache.
    for ((sum, a), b) in products[2..].iter_mut().zip(&upper[2..]).zip(&lower[2..]) {
        *sum += a * x + b * y;
    }
}
