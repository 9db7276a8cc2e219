//! The loss when numbers become numbers of 32 bits.

/// Returns a sentence about the loss when numbers are rounded to 32 bits without standardization; `None` if it is
/// negligible.
pub(super) fn of_rounding(numbers: &[f64]) -> Option<String> {
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
