//! Passes of CAME over the slices of a matrix, whose mean squares are known by row and column alone.

use candle_core::{Result, WithDType};

use super::super::Update;
use super::factored::{Means, sum_of_squares};
use crate::cpu::{self, Element, update_rows_and_sum, vectorized};

/// The factors of a matrix: one for each row and one for each column, by which numbers are multiplied one after the other,
/// because the product of two could be infinite.
pub(super) struct Scales<T> {
    pub rows: Vec<T>,
    pub columns: Vec<T>,
}

/// How the mean step follows a gradient with its factors.
pub(super) struct Mean {
    /// Its number among the states.
    pub index: usize,
    pub kept: f64,
    /// The largest steps are cut by this factor.
    pub cut: f64,
}

impl<T: Element> Scales<T> {
    /// Writes a row of the gradient with its factors.
    #[inline(always)]
    fn fill(&self, numbers: &mut [T], gradient: &[T], scale: T, of_row: T) {
        for ((x, &g), &of_column) in numbers.iter_mut().zip(gradient).zip(&self.columns) {
            *x = (g * scale) * of_row * of_column;
        }
    }

    /// Returns the sum of squares of the gradient with its factors.
    pub fn sum_of_squares(&self, tensors: &Update<'_>) -> Result<f64> {
        let (width, scale) = (self.columns.len(), <T as WithDType>::from_f64(tensors.gradient_scale));
        let of_rows = |first: usize, [_]: [&mut [T]; 1], gradient: &[T]| {
            let mut row = vec![T::zero(); width];
            vectorized(
                #[inline(always)]
                || {
                    let mut sum = 0.0;
                    for (gradient, &of_row) in gradient.chunks_exact(width).zip(&self.rows[first..]) {
                        self.fill(&mut row, gradient, scale, of_row);
                        sum += sum_of_squares(&row, T::zero());
                    }
                    [sum]
                },
            )
        };
        // The weights are not read.
        let [sum] = update_rows_and_sum([tensors.parameter.as_tensor()], tensors.gradient, width, of_rows)?;
        Ok(sum)
    }

    /// Updates the mean step.
    pub fn update_mean(&self, tensors: &Update<'_>, mean: &Mean) -> Result<()> {
        let number = <T as WithDType>::from_f64;
        let (width, scale, cut) = (self.columns.len(), number(tensors.gradient_scale), number(mean.cut));
        let (kept, taken) = (number(mean.kept), number(1.0 - mean.kept));
        let of_rows = |first: usize, [means]: [&mut [T]; 1], gradient: &[T]| {
            vectorized(
                #[inline(always)]
                || {
                    let rows = means.chunks_exact_mut(width).zip(gradient.chunks_exact(width));
                    for ((means, gradient), &of_row) in rows.zip(&self.rows[first..]) {
                        for ((m, &g), &of_column) in means.iter_mut().zip(gradient).zip(&self.columns) {
                            *m = *m * kept + ((g * scale) * of_row * of_column * cut) * taken;
                        }
                    }
                    []
                },
            )
        };
        let means = tensors.state_var(mean.index)?.as_tensor();
        update_rows_and_sum([means], tensors.gradient, width, of_rows).map(|[]| ())
    }

    /// Returns the means of the squared differences of steps from the new mean step, after `eps` is added to each.
    pub fn differences(&self, tensors: &Update<'_>, mean: &Mean, eps: f64) -> Result<Means<T>> {
        let number = <T as WithDType>::from_f64;
        let (width, scale, cut) = (self.columns.len(), number(tensors.gradient_scale), number(mean.cut));
        cpu::read(tensors.gradient, |gradient: &[T]| {
            cpu::read(tensors.state_var(mean.index)?, |means: &[T]| {
                let shape = [self.rows.len(), width];
                Ok(Means::of_rows(
                    shape,
                    eps,
                    #[inline(always)]
                    |row, numbers: &mut [T]| {
                        let (of_row, place) = (self.rows[row], row * width);
                        let others = gradient[place..].iter().zip(&means[place..]).zip(&self.columns);
                        for (x, ((&g, &m), &of_column)) in numbers.iter_mut().zip(others) {
                            *x = (g * scale) * of_row * of_column * cut - m;
                        }
                    },
                ))
            })
        })
    }

    /// Moves the weights by state number `index` with its factors.
    pub fn move_weights(&self, tensors: &Update<'_>, index: usize, lr: f64, shrink: f64) -> Result<()> {
        let number = <T as WithDType>::from_f64;
        let (width, lr, shrink) = (self.columns.len(), number(lr), number(shrink));
        // The mean step takes the place of the gradient.
        let of_rows = |first: usize, [weights]: [&mut [T]; 1], means: &[T]| {
            vectorized(
                #[inline(always)]
                || {
                    let rows = weights.chunks_exact_mut(width).zip(means.chunks_exact(width));
                    for ((weights, means), &of_row) in rows.zip(&self.rows[first..]) {
                        for ((w, &m), &of_column) in weights.iter_mut().zip(means).zip(&self.columns) {
                            *w = *w * shrink - (m * of_row * of_column) * lr;
                        }
                    }
                    []
                },
            )
        };
        let means = tensors.state_var(index)?.as_tensor();
        update_rows_and_sum([tensors.parameter.as_tensor()], means, width, of_rows).map(|[]| ())
    }
}
