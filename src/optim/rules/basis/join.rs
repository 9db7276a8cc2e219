//! Joins the eigenvectors of two halves of a matrix of three diagonals.
//!
//! Values that the joining hardly moves are left out: Dongarra and Sorensen, "A Fully Parallel Algorithm for the
//! Symmetric Eigenvalue Problem" (1987).

use std::f64::consts::FRAC_1_SQRT_2;

use super::conquer::Part;
use super::rotations::rotate;
use super::secular::{Root, Secular};
use crate::cpu::{for_chunks, vectorized};
use crate::ops::{Matrix, product};

/// The rows in which a vector has numbers.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Within {
    Upper,
    Both,
    Lower,
}

/// A value that the joining moves: its number, and where its vector is.
#[derive(Clone, Copy)]
struct Moved {
    place: usize,
    within: Within,
}

/// A vector that counts in the new ones, with its pole and its `z` in the secular equation.
struct Term {
    vector: Moved,
    pole: f64,
    z: f64,
}

impl Part<'_> {
    /// Joins two halves, of which the upper has `upper` rows, and between which the matrix has this number.
    pub fn join(&mut self, upper: usize, between: f64) {
        // The matrix is that of the halves with this multiple of `z zᵀ` added.
        let multiple = 2.0 * between.abs();
        let mut z: Vec<f64> = (0..self.values.len())
            .map(|place| match place < upper {
                true => self.vector(place)[upper - 1] * FRAC_1_SQRT_2,
                false => self.vector(place)[upper] * FRAC_1_SQRT_2.copysign(between),
            })
            .collect();
        let moved = self.deflate(&mut z, multiple, upper);
        let of = |numbers: &[f64]| moved.iter().map(|moved| numbers[moved.place]).collect();
        let secular = Secular { poles: of(self.values), z: of(&z), multiple };
        let roots = secular.roots();
        let numbers = secular.poles.iter().zip(secular.exact_z(&roots));
        let term = |(&vector, (&pole, z)): (&Moved, _)| Term { vector, pole, z };
        let mut terms: Vec<Term> = moved.iter().zip(numbers).map(term).collect();
        terms.sort_by_key(|term| term.vector.within);
        self.replace(&terms, &secular, &roots, upper);
    }

    /// Leaves out values that the joining does not move, or not once the vectors of two close values are rotated.
    /// Returns the others, the smallest first.
    fn deflate(&mut self, z: &mut [f64], multiple: f64, upper: usize) -> Vec<Moved> {
        let largest = self.values.iter().fold(multiple, |most, value| most.max(value.abs()));
        let rounding = 8.0 * f64::EPSILON * largest;
        let mut order: Vec<usize> = (0..z.len()).collect();
        order.sort_by(|&a, &b| self.values[a].total_cmp(&self.values[b]));
        let mut moved: Vec<Moved> = Vec::with_capacity(z.len());
        for place in order {
            if multiple * z[place].abs() <= rounding {
                continue;
            }
            let mut within = if place < upper { Within::Upper } else { Within::Lower };
            if let Some(before) = moved.last().copied() {
                let size = z[before.place].hypot(z[place]);
                let turn = [z[place] / size, z[before.place] / size];
                let gap = self.values[place] - self.values[before.place];
                if (gap * turn[0] * turn[1]).abs() <= rounding {
                    z[place] = size;
                    self.rotate([before.place, place], turn);
                    within = if within == before.within { within } else { Within::Both };
                    moved.pop();
                }
            }
            moved.push(Moved { place, within });
        }
        moved
    }

    /// Rotates two vectors and their values by an angle with this cosine and sine.
    fn rotate(&mut self, [low, high]: [usize; 2], [cosine, sine]: [f64; 2]) {
        let (a, b) = (self.values[low], self.values[high]);
        self.values[low] = a * cosine * cosine + b * sine * sine;
        self.values[high] = a * sine * sine + b * cosine * cosine;
        let own = self.first..self.first + self.values.len();
        let (before, after) = self.rows.split_at_mut(low.max(high) * self.length);
        let first = &mut before[low.min(high) * self.length..][own.clone()];
        // In the other order the angle is the opposite.
        rotate(first, &mut after[own], cosine, if low < high { sine } else { -sine });
    }

    /// Replaces the vectors of terms by those of the roots, which come first; the others stay.
    fn replace(&mut self, terms: &[Term], secular: &Secular, roots: &[Root], upper: usize) {
        /// Vectors of a task.
        const TASK: usize = 64;
        let (first, second, end) = (self.first, self.first + upper, self.first + self.values.len());
        let (length, width) = (self.length, terms.len());
        let in_upper = terms.partition_point(|term| term.vector.within <= Within::Both);
        let only_upper = terms.partition_point(|term| term.vector.within < Within::Both);
        let of_upper = self.gathered(&terms[..in_upper], first..second);
        let of_lower = self.gathered(&terms[only_upper..], second..end);
        self.keep_others(terms);
        self.values.iter_mut().zip(roots).for_each(|(value, root)| *value = secular.value(*root));
        let (poles, z): (Vec<f64>, Vec<f64>) = terms.iter().map(|term| (term.pole, term.z)).unzip();
        let effort = width * width * (end - first);
        for_chunks(&mut self.rows[..width * length], TASK * length, effort, |task, rows| {
            let roots = &roots[task * TASK..][..rows.len() / length];
            let mut shares = vec![0.0; roots.len() * width];
            vectorized(
                #[inline(always)]
                || {
                    let vectors = shares.chunks_exact_mut(width).zip(roots);
                    vectors.for_each(|(vector, root)| secular.write_vector(vector, &poles, &z, *root));
                },
            );
            let upper_shares = Matrix::new(&shares, roots.len(), in_upper, width);
            multiply(upper_shares, &of_upper, &mut rows[first..], length, upper);
            let lower_shares = Matrix::new(&shares[only_upper..], roots.len(), width - only_upper, width);
            multiply(lower_shares, &of_lower, &mut rows[second..], length, end - second);
        });
    }

    /// Returns these numbers of the vectors of terms.
    fn gathered(&self, terms: &[Term], range: std::ops::Range<usize>) -> Vec<f64> {
        let mut numbers = Vec::with_capacity(terms.len() * range.len());
        for term in terms {
            numbers.extend_from_slice(&self.rows[term.vector.place * self.length..][range.clone()]);
        }
        numbers
    }

    /// Puts the vectors that are not among the terms behind as many rows as there are terms, with their values.
    fn keep_others(&mut self, terms: &[Term]) {
        let mut stays = vec![true; self.values.len()];
        terms.iter().for_each(|term| stays[term.vector.place] = false);
        let mut free = self.values.len();
        for place in (0..self.values.len()).rev().filter(|&place| stays[place]) {
            free -= 1;
            self.values[free] = self.values[place];
            self.rows.copy_within(place * self.length..(place + 1) * self.length, free * self.length);
        }
    }
}

/// Writes the product of `left` with rows of `width` numbers to rows of `length`.
fn multiply(left: Matrix<'_, f64>, right: &[f64], into: &mut [f64], length: usize, width: usize) {
    if left.columns == 0 {
        into.chunks_mut(length).for_each(|row| row[..width].fill(0.0));
        return;
    }
    product(left, Matrix::new(right, left.columns, width, width), into, length, false);
}
