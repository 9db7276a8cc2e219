//! What a model says of rows: the class and the probability of each, or values.

use std::path::Path;

use candle_core::{DType, Tensor};

use super::{Trained, TrainedError};
use crate::Notice;
use crate::data::{DataError, Input, ReadRows, RowReader, TargetKind};
use crate::loss::Predicted;

/// What a model says of some rows, one after the other.
#[derive(Clone, Debug, PartialEq)]
pub struct PredictedRows {
    /// What identifies each row, where it is a file of its own.
    pub names: Option<Vec<String>>,
    /// What the model says.
    pub predicted: Predicted,
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
        Ok(self.loss.interpret(rows))
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
