//! Householder's reflections, and products of some as one change by products of matrices: Schreiber and Van Loan, "A
//! Storage-Efficient WY Representation for Products of Householder Transformations" (1989).

use super::vectors::{Vectors, dot_inline};
use crate::cpu::{map_tasks, vectorized};
use crate::ops::{Matrix, product};

/// Reflections of a block.
pub(super) const BLOCK: usize = 32;

/// Vectors of a task.
pub(super) const TASK: usize = 64;

/// Turns a vector into the unit vector whose reflection takes it to a multiple of its first axis, and returns this
/// multiple. Of a vector that is there already the reflection is by zeros: none.
pub(super) fn reflection(v: &mut [f64]) -> f64 {
    vectorized(
        #[inline(always)]
        || {
            let (first, square) = (v[0], dot_inline(&v[1..], &v[1..]));
            if square == 0.0 {
                v.fill(0.0);
                return first;
            }
            let size = (first * first + square).sqrt();
            v[0] += size.copysign(first);
            let scale = (v[0] * v[0] + square).sqrt();
            v.iter_mut().for_each(|x| *x /= scale);
            -size.copysign(first)
        },
    )
}

/// The order in which the reflections of a block are made.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Order {
    FirstToLast,
    LastToFirst,
}

/// The product of a block of reflections `I - 2 v vᵀ`, as `I - Vᵀ C` with the unit vectors in `V`.
pub(super) struct Block<'a> {
    /// The number of the axis at which the vectors begin.
    pub first: usize,
    along: Matrix<'a, f64>,
    /// `-C`.
    change: Vec<f64>,
}

impl<'a> Block<'a> {
    /// Returns the product of reflections along vectors number `start` to `end`, which begin at axis `first`.
    pub fn new(along: &'a Vectors, [start, end]: [usize; 2], first: usize, order: Order) -> Self {
        let (length, count, own) = (along.length, end - start, along.length - first);
        let along = Matrix::new(&along.numbers[start * length + first..], count, own, length);
        let mut change = vec![0.0; count * own];
        product(Matrix::new(&factor(along, order), count, count, count), along, &mut change, own, false);
        Self { first, along, change }
    }

    /// Reflects vectors of `length` numbers.
    pub fn reflect(&self, vectors: &mut [f64], length: usize) {
        let (count, of_block, own) = (vectors.len() / length, self.along.rows, self.along.columns);
        if count == 0 || own == 0 {
            return;
        }
        let mut parts = vec![0.0; count * of_block];
        let seen = Matrix::new(&vectors[self.first..], count, own, length);
        product(seen, self.along.transposed(), &mut parts, of_block, false);
        let change = Matrix::new(&self.change, of_block, own, own);
        product(Matrix::new(&parts, count, of_block, of_block), change, &mut vectors[self.first..], length, true);
    }
}

/// Returns the blocks of all reflections, whose vectors begin `beyond` axes after the axis of their number.
pub(super) fn blocks(along: &Vectors, beyond: usize, order: Order) -> Vec<Block<'_>> {
    let count = along.count();
    let of_block = |block: usize| {
        let start = block * BLOCK;
        Block::new(along, [start, (start + BLOCK).min(count)], (start + beyond).min(along.length), order)
    };
    map_tasks(count.div_ceil(BLOCK), count > 2 * BLOCK, of_block)
}

/// Returns `-T`, where the product of reflections along these rows is `I - Vᵀ T V`.
fn factor(along: Matrix<'_, f64>, order: Order) -> Vec<f64> {
    let count = along.rows;
    let mut overlaps = vec![0.0; count * count];
    product(along, along.transposed(), &mut overlaps, count, false);
    let mut factor = vec![0.0; count * count];
    for last in 0..count {
        factor[last * count + last] = -2.0;
        for i in 0..last {
            let sum: f64 = (i..last).map(|j| factor[i * count + j] * overlaps[j * count + last]).sum();
            factor[i * count + last] = -2.0 * sum;
        }
    }
    if order == Order::LastToFirst {
        for i in 0..count {
            for j in 0..i {
                factor.swap(i * count + j, j * count + i);
            }
        }
    }
    factor
}
