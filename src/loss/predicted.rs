//! Interpreted outputs: classes with probabilities, or values.

/// Predictions for the rows of a batch.
#[derive(Clone, Debug, PartialEq)]
pub enum Predicted {
    /// Classes.
    Classes {
        /// The most probable class of each row; the first one if several are equal.
        classes: Vec<u32>,
        /// The probability of every class, one list per row.
        probabilities: Vec<Vec<f32>>,
    },
    /// Values.
    Values(Vec<Vec<f32>>),
}

impl Predicted {
    /// Returns the classes of rows of logits, one logit per class.
    pub fn of_logits(rows: &[Vec<f32>]) -> Self {
        let classes = rows.iter().map(|row| largest(row)).collect();
        Self::Classes { classes, probabilities: rows.iter().map(|row| softmax(row)).collect() }
    }

    /// Returns the number of rows.
    pub fn len(&self) -> usize {
        match self {
            Self::Classes { classes, .. } => classes.len(),
            Self::Values(values) => values.len(),
        }
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Returns the index of the largest number; the first one if several are equal.
pub(crate) fn largest(numbers: &[f32]) -> u32 {
    let better = |best: usize, place: usize| if numbers[place] > numbers[best] { place } else { best };
    (0..numbers.len()).reduce(better).unwrap_or_default() as u32
}

/// Returns the probabilities of classes, computed in f64.
fn softmax(logits: &[f32]) -> Vec<f32> {
    let most = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let weights: Vec<f64> = logits.iter().map(|&logit| (f64::from(logit) - f64::from(most)).exp()).collect();
    let sum: f64 = weights.iter().sum();
    weights.into_iter().map(|weight| (weight / sum) as f32).collect()
}

/// The probability of 1 for a logit, computed in f64.
pub(super) fn sigmoid(logit: f32) -> f32 {
    (1.0 / (1.0 + (-f64::from(logit)).exp())) as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probabilities_are_those_of_a_softmax_however_large_the_outputs() {
        // ln 1, ln 2 and ln 5, shifted.
        let logits = [0.0, 2f32.ln(), 5f32.ln()];
        for shift in [0.0, 1000.0, -1000.0] {
            let shifted: Vec<f32> = logits.iter().map(|logit| logit + shift).collect();
            // A shift by 1000 leaves 24 bits for numbers up to 1000, so the error of a logit is up to 3e-5.
            for (p, expected) in softmax(&shifted).iter().zip([0.125, 0.25, 0.625]) {
                assert!((p - expected).abs() < 5e-5, "{p} {expected}");
            }
        }
        assert_eq!(softmax(&[3e38, -3e38]), [1.0, 0.0]);
    }

    #[test]
    fn of_equal_outputs_the_first_is_the_class() {
        assert_eq!((largest(&[1.0, 3.0, 3.0]), largest(&[0.0, 0.0]), largest(&[-1.0])), (1, 0, 0));
    }
}
