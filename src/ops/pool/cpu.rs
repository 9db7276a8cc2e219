//! Forward and backward passes of pooling on the CPU, plane by plane.

use std::ops::Range;

use super::{Kind, Windows};
use crate::cpu::{Real, for_chunks, vectorized};

impl Windows {
    pub fn len(&self) -> usize {
        self.rows.len() * self.columns.len()
    }

    /// Number of planes per task.
    pub fn planes(plane: usize) -> usize {
        (crate::cpu::LARGE_CHUNK / plane.max(1)).max(1)
    }

    pub fn pool<T: Real>(&self, x: &[T], width: usize, plane: usize) -> Vec<T> {
        let mut y = vec![T::zero(); x.len() / plane * self.len()];
        let planes = Self::planes(plane);
        for_chunks(&mut y, planes * self.len(), x.len(), |number, y| {
            let x = x[number * planes * plane..].chunks_exact(plane);
            y.chunks_exact_mut(self.len()).zip(x).for_each(|(y, x)| self.pool_plane(x, width, y));
        });
        y
    }

    pub fn pool_plane<T: Real>(&self, x: &[T], width: usize, y: &mut [T]) {
        match self.kind {
            Kind::Max => self.largest(x, width, y),
            Kind::Mean { size } => self.means(x, width, size, y),
        }
    }

    /// Computes the maximum of each column of a window first, then of each row of these.
    fn largest<T: Real>(&self, x: &[T], width: usize, y: &mut [T]) {
        // NaN counts as the largest, so that it is preserved.
        let larger = |a: T, b: T| if b > a || b.is_nan() { b } else { a };
        let (mut of_columns, in_pairs) = (vec![T::zero(); width], self.in_pairs());
        for (rows, y) in self.rows.iter().zip(y.chunks_exact_mut(self.columns.len())) {
            of_columns.copy_from_slice(&x[rows.start * width..][..width]);
            vectorized(
                #[inline(always)]
                || {
                    for row in rows.clone().skip(1) {
                        of_columns.iter_mut().zip(&x[row * width..]).for_each(|(a, &b)| *a = larger(*a, b));
                    }
                },
            );
            if in_pairs {
                vectorized(
                    #[inline(always)]
                    || of_columns.as_chunks::<2>().0.iter().zip(y).for_each(|([a, b], y)| *y = larger(*a, *b)),
                );
                continue;
            }
            for (columns, y) in self.columns.iter().zip(y) {
                *y = of_columns[columns.start + 1..columns.end]
                    .iter()
                    .fold(of_columns[columns.start], |a, &b| larger(a, b));
            }
        }
    }

    /// Whether the columns of the windows are adjacent pairs, the usual case, which is vectorized.
    fn in_pairs(&self) -> bool {
        self.columns.iter().enumerate().all(|(i, columns)| *columns == (2 * i..2 * i + 2))
    }

    fn means<T: Real>(&self, x: &[T], width: usize, size: Option<usize>, y: &mut [T]) {
        for (rows, y) in self.rows.iter().zip(y.chunks_exact_mut(self.columns.len())) {
            for (columns, y) in self.columns.iter().zip(y) {
                let numbers = rows.clone().flat_map(|row| &x[row * width..][columns.clone()]);
                *y = numbers.fold(T::zero(), |sum, &x| sum + x) * factor(size, rows, columns);
            }
        }
    }

    pub fn gradient<T: Real>(&self, x: &[T], y: &[T], dy: &[T], width: usize, plane: usize) -> Vec<T> {
        let mut dx = vec![T::zero(); x.len()];
        let (planes, outputs) = (Self::planes(plane), self.len());
        for_chunks(&mut dx, planes * plane, x.len(), |number, dx| {
            for (index, dx) in (number * planes..).zip(dx.chunks_exact_mut(plane)) {
                let (x, of_outputs) = (&x[index * plane..][..plane], index * outputs..(index + 1) * outputs);
                self.gradient_of_plane(x, &y[of_outputs.clone()], &dy[of_outputs], dx, width);
            }
        });
        dx
    }

    pub fn gradient_of_plane<T: Real>(&self, x: &[T], y: &[T], dy: &[T], dx: &mut [T], width: usize) {
        if matches!(self.kind, Kind::Max) && self.in_pairs() {
            return self.route_in_pairs(y, dy, x, dx, width);
        }
        let windows = self.rows.iter().flat_map(|rows| self.columns.iter().map(move |columns| (rows, columns)));
        for ((rows, columns), (&y, &g)) in windows.zip(y.iter().zip(dy)) {
            match self.kind {
                Kind::Max => route_to_first_max(y, g, x, dx, rows, columns, width),
                Kind::Mean { size } => {
                    let share = g * factor(size, rows, columns);
                    for row in rows.clone() {
                        dx[row * width..][columns.clone()].iter_mut().for_each(|dx| *dx += share);
                    }
                }
            }
        }
    }

    /// [`route_to_first_max`] for a row of adjacent windows; see [`Windows::in_pairs`].
    fn route_in_pairs<T: Real>(&self, y: &[T], dy: &[T], x: &[T], dx: &mut [T], width: usize) {
        let windows = self.columns.len();
        let mut left = vec![T::zero(); windows];
        for (rows, (y, g)) in self.rows.iter().zip(y.chunks_exact(windows).zip(dy.chunks_exact(windows))) {
            left.copy_from_slice(g);
            for row in rows.clone() {
                let range = row * width..row * width + 2 * windows;
                let (x, dx) = (x[range.clone()].as_chunks::<2>().0, dx[range].as_chunks_mut::<2>().0);
                vectorized(
                    #[inline(always)]
                    || {
                        for (((x, dx), y), left) in x.iter().zip(dx).zip(y).zip(&mut left) {
                            give_to_max(*y, x[0], &mut dx[0], left);
                            give_to_max(*y, x[1], &mut dx[1], left);
                        }
                    },
                );
            }
        }
    }
}

/// Gives the window's remaining gradient `left` to `x` if `x` is the maximum `y`. Branch-free, because the position is
/// unpredictable.
#[inline(always)]
fn give_to_max<T: Real>(y: T, x: T, dx: &mut T, left: &mut T) {
    let is_it = x == y || (x.is_nan() && y.is_nan());
    *dx += if is_it { *left } else { T::zero() };
    *left = if is_it { T::zero() } else { *left };
}

/// Returns the factor that turns a window's sum into its mean.
fn factor<T: Real>(size: Option<usize>, rows: &Range<usize>, columns: &Range<usize>) -> T {
    T::one() / T::from_f64(size.unwrap_or(rows.len() * columns.len()) as f64)
}

/// Adds the gradient `g` to the first element of a window that equals `y`.
fn route_to_first_max<T: Real>(
    y: T,
    g: T,
    x: &[T],
    dx: &mut [T],
    rows: &Range<usize>,
    columns: &Range<usize>,
    width: usize,
) {
    let mut left = g;
    for row in rows.clone() {
        let range = row * width + columns.start..row * width + columns.end;
        x[range.clone()].iter().zip(&mut dx[range]).for_each(|(x, dx)| give_to_max(y, *x, dx, &mut left));
    }
}
