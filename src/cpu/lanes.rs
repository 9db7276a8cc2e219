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

/// Two sums in f64 over the same rows, element by element.
pub(crate) struct TwoSums([[f64; LANES]; 2]);

impl TwoSums {
    pub fn new() -> Self {
        Self([[0.0; LANES]; 2])
    }

    /// Adds `f` and `g` of the elements at each place of three rows of equal length, each to its own sum.
    #[inline(always)]
    pub fn add<X: Copy>(&mut self, [x, y, z]: [&[X]; 3], f: impl Fn(X, X, X) -> f64, g: impl Fn(X, X, X) -> f64) {
        let [mut first, mut second] = self.0;
        let ((x, x_rest), (y, y_rest), (z, z_rest)) =
            (x.as_chunks::<LANES>(), y.as_chunks::<LANES>(), z.as_chunks::<LANES>());
        for ((x, y), z) in x.iter().zip(y).zip(z) {
            // Two loops, so that the compiler has no reason to mix lanes of both sums in one register.
            for lane in 0..LANES {
                first[lane] += f(x[lane], y[lane], z[lane]);
            }
            for lane in 0..LANES {
                second[lane] += g(x[lane], y[lane], z[lane]);
            }
        }
        for (lane, ((&x, &y), &z)) in x_rest.iter().zip(y_rest).zip(z_rest).enumerate() {
            first[lane] += f(x, y, z);
            second[lane] += g(x, y, z);
        }
        self.0 = [first, second];
    }

    pub fn totals(&self) -> [f64; 2] {
        self.0.map(|lanes| lanes.iter().sum())
    }
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
            let mut sums = TwoSums::new();
            for row in x.chunks(23) {
                sums.add([row, row, row], |x, y, _| x + y, |x, y, z| x * y * z);
            }
            let expected = [x.iter().map(|x| 2.0 * x).sum(), x.iter().map(|x| x * x * x).sum::<f64>()];
            assert_eq!(sums.totals(), expected);
        }
    }
}
