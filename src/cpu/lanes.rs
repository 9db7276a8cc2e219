//! Sums and maxima of rows in a fixed number of lanes: the same bits for any register width of the processor.

use num_traits::Float;

/// Number of independent partial sums: as many as the widest registers hold numbers.
const LANES: usize = 16;

/// Returns the sum of `f` over the elements of a row.
#[inline(always)]
pub(crate) fn sum<A: Copy, T: Float>(x: &[A], f: impl Fn(A) -> T) -> T {
    let mut lanes = [T::zero(); LANES];
    let (blocks, rest) = x.as_chunks::<LANES>();
    for block in blocks {
        for (lane, &x) in lanes.iter_mut().zip(block) {
            *lane = *lane + f(x);
        }
    }
    for (lane, &x) in lanes.iter_mut().zip(rest) {
        *lane = *lane + f(x);
    }
    collapse(lanes)
}

/// Returns the sum of `f` over two rows of equal length, element by element.
#[inline(always)]
pub(crate) fn sum2<T: Float>(x: &[T], y: &[T], f: impl Fn(T, T) -> T) -> T {
    let mut lanes = [T::zero(); LANES];
    let ((x_blocks, x_rest), (y_blocks, y_rest)) = (x.as_chunks::<LANES>(), y.as_chunks::<LANES>());
    for (x, y) in x_blocks.iter().zip(y_blocks) {
        for ((lane, &x), &y) in lanes.iter_mut().zip(x).zip(y) {
            *lane = *lane + f(x, y);
        }
    }
    for ((lane, &x), &y) in lanes.iter_mut().zip(x_rest).zip(y_rest) {
        *lane = *lane + f(x, y);
    }
    collapse(lanes)
}

#[inline(always)]
fn collapse<T: Float>(lanes: [T; LANES]) -> T {
    lanes.iter().fold(T::zero(), |sum, &lane| sum + lane)
}

/// Returns the largest element of a row; NaN is ignored.
#[inline(always)]
pub(crate) fn max<T: Float>(x: &[T]) -> T {
    let mut lanes = [T::neg_infinity(); LANES];
    let larger = |a: T, b: T| if b > a { b } else { a };
    let (blocks, rest) = x.as_chunks::<LANES>();
    for block in blocks {
        for (lane, &x) in lanes.iter_mut().zip(block) {
            *lane = larger(*lane, x);
        }
    }
    let rest = rest.iter().fold(T::neg_infinity(), |a, &b| larger(a, b));
    lanes.iter().fold(rest, |a, &b| larger(a, b))
}

/// Returns the sum of `f` over a row in f64.
#[inline(always)]
pub(crate) fn sum_f64<X: Copy>(x: &[X], f: impl Fn(X) -> f64) -> f64 {
    sum2_f64(x, x, |x, _| f(x))
}

/// Returns the sum of `f` over two rows of equal length, in f64.
#[inline(always)]
pub(crate) fn sum2_f64<X: Copy>(x: &[X], y: &[X], f: impl Fn(X, X) -> f64) -> f64 {
    const LANES: usize = 8;
    let mut lanes = [0.0; LANES];
    let ((x_blocks, x_rest), (y_blocks, y_rest)) = (x.as_chunks::<LANES>(), y.as_chunks::<LANES>());
    for (x, y) in x_blocks.iter().zip(y_blocks) {
        for ((lane, &x), &y) in lanes.iter_mut().zip(x).zip(y) {
            *lane += f(x, y);
        }
    }
    for ((lane, &x), &y) in lanes.iter_mut().zip(x_rest).zip(y_rest) {
        *lane += f(x, y);
    }
    lanes.iter().sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whole numbers have exact sums in any order.
    #[test]
    fn sums_and_maxima_visit_every_element() {
        for length in [1, 15, 16, 17, 40, 1000] {
            let x: Vec<f64> = (0..length).map(|i| f64::from(i * 7 % 11) - 3.0).collect();
            assert_eq!(sum(&x, |x| x * x), x.iter().map(|x| x * x).sum::<f64>());
            assert_eq!(sum2(&x, &x, |x, y| x * y + 1.0), x.iter().map(|x| x * x + 1.0).sum::<f64>());
            assert_eq!(max(&x), x.iter().copied().fold(f64::NEG_INFINITY, f64::max));
        }
    }
}
