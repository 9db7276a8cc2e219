//! Predictions for rows: the class and the probability of each class, or values.

use std::path::Path;

use candle_core::{DType, Tensor};

use super::file_rows::FileRows;
use super::{Trained, TrainedError};
use crate::Notice;
use crate::data::{DataError, Input, ReadRows, TargetKind};
use crate::loss::Predicted;

/// Predictions for some consecutive rows.
#[derive(Clone, Debug, PartialEq)]
pub struct PredictedRows {
    /// The name of each row, if it is a separate file.
    pub names: Option<Vec<String>>,
    /// The predictions.
    pub predicted: Predicted,
}

impl Trained {
    /// Predicts the rows at `path`, in the format of the run's data, batch by batch, in memory that does not grow with
    /// their number. The path may be a pattern of names of files, whose rows follow each other in the order of the names.
    ///
    /// A table need not have the label column. Columns are found by their names, and others are ignored; without names
    /// they must be in the order of the run's data, with or without the label. Images need no labels.
    ///
    /// # Errors
    /// The rows do not fit the model, or it is a text model, for which there is [`Trained::score`]. Faults of single rows are reported when they are read.
    pub fn predict(&self, path: &Path) -> Result<Predictions<'_>, TrainedError> {
        if let input @ Input::Tokens { .. } = &self.schema.input {
            return Err(DataError::NotRows { path: self.path.clone(), input: input.clone() }.into());
        }
        Ok(Predictions { trained: self, rows: FileRows::open(self, path, false)?, before: 0 })
    }

    /// Returns the names of the classes in the order of their numbers, or the numbers; `None` if the model outputs
    /// values.
    pub fn class_names(&self) -> Option<Vec<String>> {
        let TargetKind::Classes { count } = self.schema.targets else { return None };
        let known = self.schema.names.classes.as_deref().unwrap_or_default();
        let name = |class: usize| known.get(class).cloned().unwrap_or_else(|| class.to_string());
        Some((0..count).map(name).collect())
    }

    /// Returns the names of the columns of several labels or values, in the order of the outputs; `None` for a
    /// single value.
    pub fn label_names(&self) -> Option<Vec<String>> {
        let names = self.schema.names.columns.as_ref()?.label_names();
        (names.len() > 1 || self.config.data.has_labels()).then_some(names)
    }

    /// Interprets outputs, the first of which belongs to row number `first`.
    pub(super) fn interpret(&self, outputs: &Tensor, first: usize) -> Result<Predicted, TrainedError> {
        let rows = outputs.flatten_from(1)?.to_dtype(DType::F32)?.to_vec2::<f32>()?;
        if let Some(row) = rows.iter().position(|row| !row.iter().all(|output| output.is_finite())) {
            return Err(TrainedError::NotFinite { what: format!("row {} (counted from 0)", first + row) });
        }
        let predicted = self.loss.interpret_for(self.schema.targets, rows);
        Ok(match (predicted, &self.scale) {
            (Predicted::Values(rows), Some(scale)) => {
                Predicted::Values(rows.iter().map(|row| scale.invert(row)).collect())
            }
            (predicted, _) => predicted,
        })
    }
}

/// Predictions for the rows of files, batch by batch.
pub struct Predictions<'a> {
    trained: &'a Trained,
    rows: FileRows<'a>,
    /// Number of rows read.
    before: usize,
}

impl Predictions<'_> {
    /// Returns likely mistakes in the rows read so far, such as categories that no training row has.
    pub fn notices(&self) -> Vec<Notice> {
        self.rows.notices()
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
        Some(rows.and_then(|rows| self.of(rows)))
    }
}
