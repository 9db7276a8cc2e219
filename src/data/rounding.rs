//! The loss when numbers become numbers of 32 bits.

use crate::cpu::vectorized;

/// Numbers that are added independently of each other.
const LANES: usize = 16;

/// Returns a sentence about the loss when numbers are rounded to 32 bits without standardization; `None` if it is
/// negligible.
pub(super) fn of_rounding(numbers: &[f64]) -> Option<String> {
    if vectorized(|| is_surely_negligible(numbers)) {
        return None;
    }
    let there = || numbers.iter().copied().filter(|number| !number.is_nan());
    let count = there().count() as f64;
    let mean = there().sum::<f64>() / count;
    let spread = (there().map(|number| (number - mean).powi(2)).sum::<f64>() / count).sqrt();
    let coarsest =
        there().max_by(|a, b| (a - f64::from(*a as f32)).abs().total_cmp(&(b - f64::from(*b as f32)).abs()))?;
    let lost = (coarsest - f64::from(coarsest as f32)).abs();
    (lost * 1000.0 > spread && spread > 0.0).then(|| {
        let step = f64::from((coarsest.abs() as f32).next_up()) - f64::from(coarsest.abs() as f32);
        format!(
            "numbers such as {coarsest} are rounded to 32 bits, which have steps of {step} there, while they differ by \
             {spread:.3} (standard deviation); subtract the same number from all of them"
        )
    })
}

/// Whether the loss is negligible even if the deviation, which is estimated in one pass, is only half as large.
#[inline(always)]
fn is_surely_negligible(numbers: &[f64]) -> bool {
    let Some(origin) = numbers.iter().copied().find(|number| !number.is_nan()) else { return false };
    let mut sums = Sums::default();
    let (chunks, rest) = numbers.as_chunks::<LANES>();
    chunks.iter().for_each(|chunk| sums.add(chunk, origin));
    let mut last = [f64::NAN; LANES];
    last.iter_mut().zip(rest).for_each(|(last, &number)| *last = number);
    sums.add(&last, origin);
    let [count, distance, square] = [sums.count, sums.distance, sums.square].map(|lanes| lanes.iter().sum::<f64>());
    let (mean, square) = (distance / count, square / count);
    let variance = square - mean * mean;
    let lost = sums.lost.iter().copied().fold(0.0, f64::max);
    // Where the first number is far from all others, the difference is lost to rounding, and says nothing.
    variance > 1e-4 * square && lost * 1000.0 < 0.5 * variance.sqrt()
}

/// Sums over the numbers that are there, in lanes.
#[derive(Default)]
struct Sums {
    count: [f64; LANES],
    /// Distances from one of the numbers.
    distance: [f64; LANES],
    /// Squares of the distances.
    square: [f64; LANES],
    /// The largest loss.
    lost: [f64; LANES],
}

impl Sums {
    #[inline(always)]
    fn add(&mut self, numbers: &[f64; LANES], origin: f64) {
        for (lane, &number) in numbers.iter().enumerate() {
            let is_there = !number.is_nan();
            let number = if is_there { number } else { origin };
            let distance = number - origin;
            let lost = if is_there { (number - f64::from(number as f32)).abs() } else { 0.0 };
            self.count[lane] += if is_there { 1.0 } else { 0.0 };
            self.distance[lane] += distance;
            self.square[lane] += distance * distance;
            self.lost[lane] = if lost > self.lost[lane] { lost } else { self.lost[lane] };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Stream;

    /// The same answer without the estimate.
    fn exactly(numbers: &[f64]) -> bool {
        let there: Vec<f64> = numbers.iter().copied().filter(|number| !number.is_nan()).collect();
        let count = there.len() as f64;
        let mean = there.iter().sum::<f64>() / count;
        let spread = (there.iter().map(|number| (number - mean).powi(2)).sum::<f64>() / count).sqrt();
        let lost = there.iter().map(|number| (number - f64::from(*number as f32)).abs()).fold(0.0, f64::max);
        lost * 1000.0 > spread && spread > 0.0
    }

    /// Numbers of any spread around any middle, some of them missing, and a first one that may be far away.
    #[test]
    fn the_estimate_passes_over_nothing_that_is_told() {
        let mut told = [0; 2];
        for made in 0..4000 {
            let stream = Stream::new(made, "rounding");
            let drawn = stream.uniform(0, 64);
            let power = |at: usize| 10_f64.powi((drawn[at] * 14.0) as i32 - 4);
            let (middle, spread, far) = (power(0), power(1), power(2));
            let place = |&drawn: &f32| if drawn < 0.1 { f64::NAN } else { middle + spread * f64::from(drawn) / 3.0 };
            let mut numbers: Vec<f64> = drawn[4..4 + (made as usize % 60)].iter().map(place).collect();
            if let Some(first) = numbers.first_mut().filter(|_| made % 3 == 0) {
                *first += far;
            }
            assert_eq!(of_rounding(&numbers).is_some(), exactly(&numbers), "{numbers:?}");
            told[usize::from(exactly(&numbers))] += 1;
        }
        assert!(told.iter().all(|&count| count > 400), "{told:?}");
    }

    #[test]
    fn numbers_of_few_digits_are_known_at_once() {
        let numbers: Vec<f64> = (0..1000).map(|row| f64::from(row) * 0.001).collect();
        assert!(is_surely_negligible(&numbers));
        assert!(!is_surely_negligible(&[]) && !is_surely_negligible(&[f64::NAN; 20]));
    }
}
