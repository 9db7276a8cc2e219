//! Householder's reduction of a symmetric matrix to three diagonals: Golub and Van Loan, "Matrix Computations", section
//! 8.3.1.
//!
//! The change of the matrix by one reflection is made in the same pass as the products for the next one, so that each row is
//! read once. Rows are computed on all threads, each in one order.

use super::vectors::{Vectors, dot, dot_inline};
use crate::cpu::{for_chunks, vectorized};

/// A matrix of three diagonals, and the reflections that lead to it.
pub(super) struct Tridiagonal {
    pub diagonal: Vec<f64>,
    /// The numbers beside the diagonal, and a 0.
    pub beside: Vec<f64>,
    pub reflections: Vec<Reflection>,
}

/// A reflection along a unit vector, of the axes from number `first` on.
pub(super) struct Reflection {
    pub first: usize,
    pub along: Vec<f64>,
}

/// A change `A - v wᵀ - w vᵀ` of the rows and columns from `first` on.
struct Change {
    first: usize,
    v: Vec<f64>,
    w: Vec<f64>,
}

impl Change {
    /// Returns a number of the matrix after the change.
    fn of(&self, number: f64, row: usize, column: usize) -> f64 {
        let (i, j) = (row - self.first, column - self.first);
        number - (self.v[i] * self.w[j] + self.w[i] * self.v[j])
    }

    /// Changes the columns of a row from number `column` on.
    #[inline(always)]
    fn apply(&self, numbers: &mut [f64], row: usize, column: usize) {
        let (of_v, of_w) = (self.v[row - self.first], self.w[row - self.first]);
        let others = self.v[column - self.first..].iter().zip(&self.w[column - self.first..]);
        for (x, (v, w)) in numbers[column..].iter_mut().zip(others) {
            *x -= of_v * w + of_w * v;
        }
    }
}

/// Reduces a symmetric matrix.
pub(super) fn tridiagonal(mut matrix: Vectors) -> Tridiagonal {
    let n = matrix.len();
    let mut reduced = Tridiagonal { diagonal: Vec::with_capacity(n), beside: vec![0.0; n], reflections: Vec::new() };
    let mut change: Option<Change> = None;
    for k in 0..n {
        let now = |row: usize| {
            let number = matrix[row][k];
            change.as_ref().map_or(number, |change| change.of(number, row, k))
        };
        reduced.diagonal.push(now(k));
        let column: Vec<f64> = (k + 1..n).map(now).collect();
        let Some(first) = column.first() else { break };
        reduced.beside[k] = *first;
        let along = reflection(&column);
        if along.is_some() {
            let size = dot(&column, &column).sqrt();
            reduced.beside[k] = if *first > 0.0 { -size } else { size };
        }
        let products = change_and_multiply(&mut matrix[k + 1..], k + 1, change.as_ref(), along.as_deref());
        change = along.map(|along| {
            let half = dot(&products, &along);
            let w = products.iter().zip(&along).map(|(p, v)| 2.0 * (p - half * v)).collect();
            reduced.reflections.push(Reflection { first: k + 1, along: along.clone() });
            Change { first: k + 1, v: along, w }
        });
    }
    reduced
}

/// Makes the change of these rows, whose first has the number `first`, and returns the product of each with a vector.
fn change_and_multiply(
    rows: &mut [Vec<f64>],
    first: usize,
    change: Option<&Change>,
    along: Option<&[f64]>,
) -> Vec<f64> {
    /// Rows of a task.
    const ROWS: usize = 16;
    let effort = rows.len() * rows.len();
    let mut rows: Vec<(&mut Vec<f64>, f64)> = rows.iter_mut().map(|row| (row, 0.0)).collect();
    for_chunks(&mut rows, ROWS, effort, |task, rows| {
        vectorized(
            #[inline(always)]
            || {
                for (place, (row, product)) in rows.iter_mut().enumerate() {
                    if let Some(change) = change {
                        change.apply(row, first + task * ROWS + place, first);
                    }
                    if let Some(along) = along {
                        *product = dot_inline(&row[first..], along);
                    }
                }
            },
        );
    });
    rows.into_iter().map(|(_, product)| product).collect()
}

/// Returns the unit vector whose reflection takes `column` to a multiple of its first axis; `None` if it is there.
fn reflection(column: &[f64]) -> Option<Vec<f64>> {
    let size = dot(column, column).sqrt();
    if size == 0.0 || column[1..].iter().all(|x| *x == 0.0) {
        return None;
    }
    let mut v = column.to_vec();
    v[0] += if v[0] > 0.0 { size } else { -size };
    let size = dot(&v, &v).sqrt();
    v.iter_mut().for_each(|x| *x /= size);
    Some(v)
}
