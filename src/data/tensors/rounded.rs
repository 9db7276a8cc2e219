//! Finds numbers of 64 bits, or whole ones, whose differences are lost when they become f32.

use crate::data::rounding::of_rounding;

/// Of rows of `width` numbers, returns the first place at which too much is lost, with a sentence about it.
pub(super) fn first(numbers: &[f64], width: usize) -> Option<(usize, String)> {
    let spans = spans(numbers, width);
    let suspects = spans.iter().enumerate().filter(|(_, span)| span.may_lose()).map(|(place, _)| place);
    suspects.into_iter().find_map(|place| {
        let column: Vec<f64> = numbers.iter().copied().skip(place).step_by(width).collect();
        Some((place, of_rounding(&column)?))
    })
}

/// The smallest and the largest number at a place.
#[derive(Clone, Copy)]
struct Span {
    least: f64,
    most: f64,
}

impl Span {
    /// Whether a column within this span may lose more than negligible differences: its standard deviation is at most
    /// the length of the span, and its rounding at most half a step of f32 at its ends.
    fn may_lose(self) -> bool {
        let (length, largest) = (self.most - self.least, self.least.abs().max(self.most.abs()));
        // A column with few outliers has a much smaller deviation than its span.
        const MARGIN: f64 = 1000.0;
        length > 0.0 && largest * f64::from(f32::EPSILON) * 1000.0 * MARGIN > length
    }
}

/// Reads the rows once, in their order in memory.
fn spans(numbers: &[f64], width: usize) -> Vec<Span> {
    let mut spans = vec![Span { least: f64::INFINITY, most: f64::NEG_INFINITY }; width];
    for row in numbers.chunks_exact(width) {
        for (span, &number) in spans.iter_mut().zip(row) {
            *span = Span { least: span.least.min(number), most: span.most.max(number) };
        }
    }
    spans
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_since_1970_are_reported_and_small_numbers_are_not() {
        let rows: Vec<f64> = (0..50).flat_map(|i| [f64::from(i), 1_700_000_000.0 + f64::from(i)]).collect();
        let (place, said) = first(&rows, 2).unwrap();
        assert!(place == 1 && said.contains("are rounded to 32 bits"), "{said}");
        assert_eq!(first(&rows[..1], 1), None);
        let small: Vec<f64> = (0..50).map(|i| 0.1 * f64::from(i)).collect();
        assert_eq!(first(&small, 1), None);
    }
}
