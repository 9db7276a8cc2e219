//! Passes of Adafactor over the slices of a matrix, whose mean squares are known by row and column alone.

use candle_core::{Result, WithDType};

use super::super::Update;
use super::super::number::Number;
use super::unfactored::Steps;
use crate::cpu::{Element, map_tasks, total, update_rows_and_sum, vectorized};

/// Numbers at a time.
const LANES: usize = 16;

/// Additions in the type of the numbers before they are added in f64.
const WAY: usize = 32;

/// The mean of the squares of each row and of each column.
pub(super) struct Means<T> {
    pub rows: Vec<T>,
    pub columns: Vec<T>,
}

impl<T: Element> Means<T> {
    /// Returns those of a gradient with `columns` columns, after `eps` is added to each square.
    pub fn of(gradient: &[T], scale: f64, columns: usize, eps: f64) -> Self {
        let scale = <T as WithDType>::from_f64(scale);
        Self::of_rows(
            [gradient.len() / columns.max(1), columns],
            eps,
            #[inline(always)]
            |row, numbers| {
                let gradient = &gradient[row * columns..][..columns];
                numbers.iter_mut().zip(gradient).for_each(|(x, &g)| *x = g * scale);
            },
        )
    }

    /// Returns those of a matrix of this many rows and columns, of which `fill` writes the row of each number.
    #[inline(always)]
    pub fn of_rows([rows, columns]: [usize; 2], eps: f64, fill: impl Fn(usize, &mut [T]) + Sync) -> Self {
        /// Rows of a task: few enough for sums in f32, and enough for the sums of columns to take little memory.
        const ROWS: usize = 256;
        let eps = <T as WithDType>::from_f64(eps);
        let tasks = map_tasks(rows.div_ceil(ROWS), rows > ROWS, |task| {
            let (mut row, mut sums) = (vec![T::zero(); columns], vec![T::zero(); columns]);
            let mut means = Vec::with_capacity(ROWS);
            vectorized(
                #[inline(always)]
                || {
                    for number in task * ROWS..rows.min((task + 1) * ROWS) {
                        fill(number, &mut row);
                        add_squares(&mut sums, &row, eps);
                        means.push(<T as WithDType>::from_f64(sum_of_squares(&row, eps) / columns as f64));
                    }
                },
            );
            (means, sums)
        });
        let (means, sums): (Vec<_>, Vec<_>) = tasks.into_iter().unzip();
        let share = <T as WithDType>::from_f64(1.0 / rows.max(1) as f64);
        let columns = total(sums, columns).into_iter().map(|sum| sum * share).collect();
        Self { rows: means.concat(), columns }
    }
}

#[inline(always)]
fn add_squares<T: Element>(sums: &mut [T], row: &[T], eps: T) {
    for (sum, &x) in sums.iter_mut().zip(row) {
        *sum += x * x + eps;
    }
}

/// Adds in the type of the numbers for a short way, then in f64.
#[inline(always)]
pub(super) fn sum_of_squares<T: Element>(row: &[T], eps: T) -> f64 {
    let mut sum = 0.0;
    for part in row.chunks(WAY * LANES) {
        let (blocks, rest) = part.as_chunks::<LANES>();
        let mut lanes = [T::zero(); LANES];
        for block in blocks {
            add_squares(&mut lanes, block, eps);
        }
        add_squares(&mut lanes, rest, eps);
        sum += lanes.iter().map(|lane| WithDType::to_f64(*lane)).sum::<f64>();
    }
    sum
}

/// The factors of a gradient: one for each row times one for each column, at most `largest`.
pub(super) struct Factors<T> {
    pub rows: Vec<T>,
    pub columns: Vec<T>,
    pub largest: T,
}

impl<T: Element + Number> Factors<T> {
    #[inline(always)]
    fn of(&self, of_row: T, of_column: T) -> T {
        let factor = of_row * of_column;
        // Also where one is infinite and the other 0: the gradients are 0.
        if factor < self.largest { factor } else { self.largest }
    }

    #[inline(always)]
    fn squares_of_row(&self, gradient: &[T], scale: T, of_row: T) -> f64 {
        let (blocks, rest) = gradient.as_chunks::<LANES>();
        let (factors, rest_factors) = self.columns.as_chunks::<LANES>();
        let mut sum = 0.0;
        for (blocks, factors) in blocks.chunks(WAY).zip(factors.chunks(WAY)) {
            let mut lanes = [T::zero(); LANES];
            for (block, factors) in blocks.iter().zip(factors) {
                for ((lane, &g), &of_column) in lanes.iter_mut().zip(block).zip(factors) {
                    let moved = (g * scale) * self.of(of_row, of_column);
                    *lane += moved * moved;
                }
            }
            sum += lanes.iter().map(|lane| WithDType::to_f64(*lane)).sum::<f64>();
        }
        let rest = rest.iter().zip(rest_factors).map(|(&g, &of_column)| (g * scale) * self.of(of_row, of_column));
        sum + rest.map(|moved| WithDType::to_f64(moved * moved)).sum::<f64>()
    }

    /// Returns the sums of squares of the gradient with its factors, and of the weights.
    pub fn squares(&self, tensors: &Update<'_>) -> Result<[f64; 2]> {
        let (width, scale) = (self.columns.len(), <T as WithDType>::from_f64(tensors.gradient_scale));
        let of_rows = |first: usize, [weights]: [&mut [T]; 1], gradient: &[T]| {
            vectorized(
                #[inline(always)]
                || {
                    let mut sums = [0.0; 2];
                    let rows = weights.chunks_exact(width).zip(gradient.chunks_exact(width));
                    for ((weights, gradient), &of_row) in rows.zip(&self.rows[first..]) {
                        sums[0] += self.squares_of_row(gradient, scale, of_row);
                        sums[1] += sum_of_squares(weights, T::zero());
                    }
                    sums
                },
            )
        };
        update_rows_and_sum([tensors.parameter.as_tensor()], tensors.gradient, width, of_rows)
    }

    /// Moves the weights by the gradient with its factors, or by a mean of such steps, which is the last of the states.
    pub fn update(&self, tensors: &Update<'_>, by: Steps) -> Result<()> {
        let number = <T as WithDType>::from_f64;
        let (width, scale) = (self.columns.len(), number(tensors.gradient_scale));
        let (shrink, taken) = (number(by.shrink), number(by.taken));
        let parameter = tensors.parameter.as_tensor();
        let Some(mean) = by.mean else {
            let of_rows = |first: usize, [weights]: [&mut [T]; 1], gradient: &[T]| {
                vectorized(
                    #[inline(always)]
                    || {
                        let rows = weights.chunks_exact_mut(width).zip(gradient.chunks_exact(width));
                        for ((weights, gradient), &of_row) in rows.zip(&self.rows[first..]) {
                            for ((w, &g), &of_column) in weights.iter_mut().zip(gradient).zip(&self.columns) {
                                *w = *w * shrink - (g * scale) * self.of(of_row, of_column) * taken;
                            }
                        }
                        []
                    },
                )
            };
            return update_rows_and_sum([parameter], tensors.gradient, width, of_rows).map(|[]| ());
        };
        let moved = number(mean.moved);
        let of_rows = |first: usize, [weights, means]: [&mut [T]; 2], gradient: &[T]| {
            vectorized(
                #[inline(always)]
                || {
                    let rows = weights.chunks_exact_mut(width).zip(means.chunks_exact_mut(width));
                    let rows = rows.zip(gradient.chunks_exact(width)).zip(&self.rows[first..]);
                    for (((weights, means), gradient), &of_row) in rows {
                        let numbers = weights.iter_mut().zip(means).zip(gradient).zip(&self.columns);
                        for (((w, m), &g), &of_column) in numbers {
                            *m = mean.after(*m, (g * scale) * self.of(of_row, of_column));
                            *w = *w * shrink - *m * moved;
                        }
                    }
                    []
                },
            )
        };
        let tensors_of_update = [parameter, tensors.state_var(tensors.states.len() - 1)?.as_tensor()];
        update_rows_and_sum(tensors_of_update, tensors.gradient, width, of_rows).map(|[]| ())
    }
}
