//! Vectors of f64, and the sums over them, in one order whatever instructions the processor has.

use crate::cpu::vectorized;

/// Vectors of equal length, one after the other.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::optim::rules) struct Vectors {
    pub length: usize,
    pub numbers: Vec<f64>,
}

impl Vectors {
    /// Returns `count` axes.
    pub(super) fn axes(count: usize) -> Self {
        let mut numbers = vec![0.0; count * count];
        numbers.iter_mut().step_by(count + 1).for_each(|x| *x = 1.0);
        Self { length: count, numbers }
    }

    /// Returns how many there are.
    pub(super) fn count(&self) -> usize {
        self.numbers.len() / self.length.max(1)
    }

    /// Returns each.
    pub fn iter(&self) -> impl Iterator<Item = &[f64]> {
        self.numbers.chunks_exact(self.length.max(1))
    }

    /// Returns vector number `place`.
    #[inline(always)]
    pub(super) fn at(&self, place: usize) -> &[f64] {
        &self.numbers[place * self.length..][..self.length]
    }
}

/// Sums at a time.
pub(super) const LANES: usize = 8;

/// Returns the product of two vectors of equal length.
pub(super) fn dot(a: &[f64], b: &[f64]) -> f64 {
    vectorized(
        #[inline(always)]
        || dot_inline(a, b),
    )
}

/// The same within a function that is compiled for the processor.
#[inline(always)]
pub(super) fn dot_inline(a: &[f64], b: &[f64]) -> f64 {
    let [product] = dots_inline([a], b);
    product
}

/// Returns the products of some vectors with another, which is read once. All are of equal length.
#[inline(always)]
pub(super) fn dots_inline<const N: usize>(many: [&[f64]; N], one: &[f64]) -> [f64; N] {
    let (whole, rest) = one.as_chunks::<LANES>();
    let rows = many.map(|a| &a.as_chunks::<LANES>().0[..whole.len()]);
    let mut lanes = [[0.0; LANES]; N];
    for (place, b) in whole.iter().enumerate() {
        for (lanes, row) in lanes.iter_mut().zip(rows) {
            let a = &row[place];
            for lane in 0..LANES {
                lanes[lane] += a[lane] * b[lane];
            }
        }
    }
    let of_rest = |a: &[f64]| a[a.len() - rest.len()..].iter().zip(rest).map(|(a, b)| a * b).sum::<f64>();
    std::array::from_fn(|i| lanes[i].iter().sum::<f64>() + of_rest(many[i]))
}

/// Adds a multiple of `one` to `sum`.
#[inline(always)]
pub(super) fn add_inline(sum: &mut [f64], multiple: f64, one: &[f64]) {
    sum.iter_mut().zip(one).for_each(|(x, y)| *x += multiple * y);
}
