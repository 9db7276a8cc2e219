//! Divide and conquer for the eigenvectors of a matrix of three diagonals: Cuppen, "A Divide and Conquer Method for the
//! Symmetric Tridiagonal Eigenproblem" (1981), as in LAPACK's `dstedc`.
//!
//! Halves of the matrix without the number that connects them have vectors that differ from those of the whole by the
//! solution of a secular equation, from which they follow by two products of matrices.

use super::rotations::{self, MOST_ROWS};
use super::vectors::Vectors;
use crate::cpu::{for_chunks, vectorized};

/// Returns the eigenvalues of a matrix of three diagonals, in any order, and their vectors.
pub(super) fn diagonalize(mut diagonal: Vec<f64>, beside: &[f64]) -> (Vec<f64>, Vectors) {
    let n = diagonal.len();
    let mut vectors = Vectors { length: n, numbers: vec![0.0; n * n] };
    let mut parts = n.div_ceil(MOST_ROWS).next_power_of_two();
    let bound = |part: usize, parts: usize| n * part / parts;
    for part in 1..parts {
        let at = bound(part, parts);
        diagonal[at - 1] -= beside[at - 1].abs();
        diagonal[at] -= beside[at - 1].abs();
    }
    let mut separate = split(&mut diagonal, &mut vectors.numbers, n, parts);
    for_chunks(&mut separate, 1, n * n, |_, parts| {
        parts.iter_mut().for_each(|part| {
            let beside = &beside[part.first..];
            vectorized(
                #[inline(always)]
                || part.solve(beside),
            );
        });
    });
    while parts > 1 {
        parts /= 2;
        let mut joined = split(&mut diagonal, &mut vectors.numbers, n, parts);
        for_chunks(&mut joined, 1, n * n, |number, joined| {
            joined.iter_mut().for_each(|whole| {
                let second = bound(2 * number + 1, 2 * parts);
                whole.join(second - whole.first, beside[second - 1]);
            });
        });
    }
    (diagonal, vectors)
}

/// Returns the parts of a matrix, as many rows in each as in the others but for one.
fn split<'a>(mut values: &'a mut [f64], mut rows: &'a mut [f64], n: usize, parts: usize) -> Vec<Part<'a>> {
    let mut all = Vec::with_capacity(parts);
    for part in 0..parts {
        let (first, end) = (n * part / parts, n * (part + 1) / parts);
        let (own, others) = values.split_at_mut(end - first);
        let (own_rows, other_rows) = rows.split_at_mut((end - first) * n);
        all.push(Part { first, values: own, rows: own_rows, length: n });
        (values, rows) = (others, other_rows);
    }
    all
}

/// Eigenvalues of rows from number `first` on, and their vectors, which are zero elsewhere.
pub(super) struct Part<'a> {
    pub first: usize,
    pub values: &'a mut [f64],
    /// Of `length` numbers each.
    pub rows: &'a mut [f64],
    pub length: usize,
}

impl Part<'_> {
    /// Returns the numbers of a vector in the rows of this part.
    #[inline(always)]
    pub fn vector(&mut self, place: usize) -> &mut [f64] {
        &mut self.rows[place * self.length + self.first..][..self.values.len()]
    }

    /// Finds the eigenvalues of a small part.
    #[inline(always)]
    fn solve(&mut self, beside: &[f64]) {
        let count = self.values.len();
        let vectors = rotations::diagonalize(self.values, &mut beside[..count].to_vec());
        for (place, found) in vectors.iter().enumerate() {
            self.vector(place).copy_from_slice(&found[..count]);
        }
    }
}
