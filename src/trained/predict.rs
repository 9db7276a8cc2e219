//! What a model says of rows: the class and the probability of each, or values.

use std::path::Path;

use candle_core::{DType, Tensor};

use super::{Trained, TrainedError};
use crate::Notice;
use crate::data::{DataError, Input, ReadRows, RowReader, TargetKind};
use crate::train::LossKind;

/// What a model says of some rows, one after the other.
#[derive(Clone, Debug, PartialEq)]
pub struct PredictedRows {
    /// What identifies each row, where it is a file of its own.
    pub names: Option<Vec<String>>,
    /// What the model says.
    pub predicted: Predicted,
}

/// What a model says of each row.
#[derive(Clone, Debug, PartialEq)]
pub enum Predicted {
    /// Classes.
    Classes {
        /// The most probable one of each row; of equals the first.
        classes: Vec<u32>,
        /// The probability of every class, row after row.
        probabilities: Vec<Vec<f32>>,
    },
    /// Values.
    Values(Vec<Vec<f32>>),
}

impl Predicted {
    /// Of how many rows.
    pub fn len(&self) -> usize {
        match self {
            Self::Classes { classes, .. } => classes.len(),
            Self::Values(values) => values.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Trained {
    /// What the model says of the rows at `path`, in the format of the run's data, a batch at a time and in memory that
    /// does not grow with their number.
    ///
    /// A table need not have the column of the label. Columns are found by their names, and others are left aside;
    /// without names they are as many and in the order as they were in the run's data, with the label or without. Of
    /// images, the labels need not be there.
    ///
    /// # Errors
    /// The rows are not such as the model takes, or it is one of text. What is wrong with a row is said when it is
    /// read.
    pub fn predict(&self, path: &Path) -> Result<Predictions<'_>, TrainedError> {
        if let input @ Input::Tokens { .. } = &self.schema.input {
            return Err(DataError::NotRows { path: self.path.clone(), input: input.clone() }.into());
        }
        let (config, notices) = self.data_at(path, false)?;
        let rows = RowReader::open(&config, &self.schema, &self.memory, false)?;
        Ok(Predictions { trained: self, rows, before: 0, notices })
    }

    /// The names of the classes in the order of their numbers, or those numbers; none where the model puts out values.
    pub fn class_names(&self) -> Option<Vec<String>> {
        let TargetKind::Classes { count } = self.schema.targets else { return None };
        let known = self.schema.names.classes.as_deref().unwrap_or_default();
        let name = |class: usize| known.get(class).cloned().unwrap_or_else(|| class.to_string());
        Some((0..count).map(name).collect())
    }

    /// What outputs say, of which the first is that of row number `first`.
    fn interpret(&self, outputs: &Tensor, first: usize) -> Result<Predicted, TrainedError> {
        let rows = outputs.flatten_from(1)?.to_dtype(DType::F32)?.to_vec2::<f32>()?;
        if let Some(row) = rows.iter().position(|row| !row.iter().all(|output| output.is_finite())) {
            return Err(TrainedError::NotFinite { what: format!("row {} (counted from 0)", first + row) });
        }
        Ok(match self.objective.kind {
            LossKind::Mse => Predicted::Values(rows),
            LossKind::CrossEntropy => {
                let classes = rows.iter().map(|row| largest(row)).collect();
                Predicted::Classes { classes, probabilities: rows.iter().map(|row| softmax(row)).collect() }
            }
            LossKind::BinaryCrossEntropy => {
                // One output is the logit of class 1 against a logit of 0.
                let pairs = rows.iter().map(|row| [0.0, row.first().copied().unwrap_or_default()]);
                let (classes, probabilities) = pairs.map(|pair| (largest(&pair), softmax(&pair))).unzip();
                Predicted::Classes { classes, probabilities }
            }
        })
    }
}

/// The predictions for the rows of a file, a batch at a time.
pub struct Predictions<'a> {
    trained: &'a Trained,
    rows: RowReader,
    /// How many rows were read.
    before: usize,
    notices: Vec<Notice>,
}

impl Predictions<'_> {
    /// Likely mistakes in the rows that were read so far, such as categories that no training row has.
    pub fn notices(&self) -> Vec<Notice> {
        [self.notices.clone(), self.rows.notices()].concat()
    }

    fn of(&mut self, rows: ReadRows) -> Result<PredictedRows, TrainedError> {
        let predicted = self.trained.interpret(&self.trained.outputs(&rows.inputs)?, self.before)?;
        self.before += predicted.len();
        Ok(PredictedRows { names: rows.names, predicted })
    }
}

impl Iterator for Predictions<'_> {
    type Item = Result<PredictedRows, TrainedError>;

    fn next(&mut self) -> Option<Self::Item> {
        let rows = self.rows.next()?;
        Some(rows.map_err(TrainedError::from).and_then(|rows| self.of(rows)))
    }
}

/// The place of the largest number; of equals the first.
pub(super) fn largest(numbers: &[f32]) -> u32 {
    let better = |best: usize, place: usize| if numbers[place] > numbers[best] { place } else { best };
    (0..numbers.len()).reduce(better).unwrap_or_default() as u32
}

/// The probabilities of classes, computed in f64.
fn softmax(logits: &[f32]) -> Vec<f32> {
    let most = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let weights: Vec<f64> = logits.iter().map(|&logit| (f64::from(logit) - f64::from(most)).exp()).collect();
    let sum: f64 = weights.iter().sum();
    weights.into_iter().map(|weight| (weight / sum) as f32).collect()
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
            // A shift by 1000 leaves 24 bits for numbers up to 1000, so a logit is off by up to 3e-5.
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
