//! Loss and accuracy of a model on rows of its run or on other rows.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use serde::Serialize;

use super::file_rows::FileRows;
use super::{Trained, TrainedError};
use crate::Notice;
use crate::data::{
    Batch, DataConfig, DataError, Dataset, Format, Input, Vocabulary, files_at, lines_before_rows, open_text,
};
use crate::metric::Task;
use crate::train::{Evaluation, Judge, evaluate};

/// Rows of a run's data for an evaluation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EvaluationRows {
    /// The validation rows.
    #[default]
    Validation,
    /// The training rows.
    Train,
    /// Both, in their order.
    All,
    /// The test rows.
    Test,
}

impl fmt::Display for EvaluationRows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Validation => "validation",
            Self::Train => "training",
            Self::All => "own",
            Self::Test => "test",
        })
    }
}

/// Result of an evaluation.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Evaluated {
    /// Number of rows.
    pub rows: usize,
    /// Mean loss over the targets, without label smoothing.
    pub loss: f64,
    /// Share of correctly classified targets, if there are classes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub accuracy: Option<f64>,
    /// The metrics of the run: `validation_<name>` for each, for any choice of rows.
    #[serde(flatten)]
    pub metrics: BTreeMap<String, f64>,
    /// Lists of numbers that belong to them, such as one for each class.
    #[serde(flatten)]
    pub lists: BTreeMap<String, Vec<f64>>,
}

impl Trained {
    /// Evaluates the model on rows of its run's data. On the validation rows the result is the one that the run logged
    /// at this step, to the last bit.
    ///
    /// # Errors
    /// The data is missing, has changed, or has no such rows.
    pub fn evaluate(&self, rows: EvaluationRows) -> Result<Evaluated, TrainedError> {
        self.evaluate_watched(rows, &mut |_, _| {})
    }

    /// Like [`Trained::evaluate`]; `watch` is called with the number of rows processed and the number of all rows.
    ///
    /// # Errors
    /// As [`Trained::evaluate`].
    pub fn evaluate_watched(
        &self,
        rows: EvaluationRows,
        watch: &mut dyn FnMut(usize, usize),
    ) -> Result<Evaluated, TrainedError> {
        let data = self.data_in_its_state()?;
        let rows_of_run = match rows {
            EvaluationRows::Validation => data.validation_rows().clone(),
            EvaluationRows::Train => data.train_rows().clone(),
            EvaluationRows::All => data.all_rows(),
            EvaluationRows::Test => data.test_rows().clone(),
        };
        let (mut seen, all) = (0, rows_of_run.len());
        watch(seen, all);
        let batches = data.evaluation_batches(rows_of_run).inspect(|batch| {
            watch(seen, all);
            seen += batch.as_ref().map_or(0, Batch::rows);
        });
        let found = self.evaluate_batches(batches)?;
        found.ok_or_else(|| TrainedError::NoRows { rows: rows.to_string() })
    }

    /// Evaluates the model on all rows at `path`, which must have the format of the run's data, and may be a pattern of names
    /// of files; columns of a table are found by their names. Classes, categories and statistics are those of the run. Also
    /// returns likely mistakes in these rows.
    ///
    /// # Errors
    /// There are no such rows, or they are invalid; the error names the place.
    pub fn evaluate_on(&self, path: &Path) -> Result<(Evaluated, Vec<Notice>), TrainedError> {
        let (found, notices) = if let Input::Tokens { .. } = self.schema.input {
            let (config, notices) = self.texts_at(path)?;
            let vocabulary = Vocabulary::load(&self.memory).map_err(DataError::from)?;
            let text = open_text(&config, vocabulary).map_err(TrainedError::of_rows(path))?;
            let count = text.input().evaluation_rows();
            let starts = (0..text.len()).step_by(count);
            let gather = |start| {
                let rows: Vec<usize> = (start..text.len().min(start + count)).collect();
                Ok(text.gather(&rows)?.on(&self.device)?)
            };
            (self.evaluate_batches(starts.map(gather))?, notices)
        } else {
            let (mut rows, mut fault) = (FileRows::open(self, path, true)?, None);
            let with_targets = rows.by_ref().map_while(|rows| rows.map_err(|error| fault = Some(error)).ok());
            let with_targets = with_targets.filter_map(|rows| {
                let targets = rows.targets?;
                Some(Batch { inputs: rows.inputs, targets }.on(&self.device).map_err(DataError::from))
            });
            let found = self.evaluate_batches(with_targets);
            if let Some(fault) = fault {
                return Err(fault);
            }
            (found?, rows.notices())
        };
        let found = found.ok_or_else(|| DataError::NoRows { path: path.to_owned() })?;
        Ok((found, notices))
    }

    /// Returns the run's data options for other texts, in the file or files at `path`, and notices for the user.
    fn texts_at(&self, path: &Path) -> Result<(DataConfig, Vec<Notice>), TrainedError> {
        let files = files_at(path)?;
        let Some((first, others)) = files.split_first() else { return self.data_at(path, true) };
        let (mut config, notices) = self.data_at(first, true)?;
        for other in others {
            Format::of_other(&self.config.data, other)?;
        }
        config.more_paths = others.to_vec();
        Ok((config, notices))
    }

    /// Returns the run's data options for other data at `path`, and notices for the user.
    pub(super) fn data_at(&self, path: &Path, with_targets: bool) -> Result<(DataConfig, Vec<Notice>), TrainedError> {
        std::fs::metadata(path).map_err(|source| TrainedError::Rows { path: path.to_owned(), source })?;
        let format = Format::of_other(&self.config.data, path)?;
        let mut config = self.config.data.for_other(path);
        config.format = Some(format);
        let usual = config.skip_lines.unwrap_or(0);
        let lines = match self.skip_lines {
            Some(_) if format != Format::Csv => {
                return Err(TrainedError::Option {
                    option: "skip-lines",
                    value: path.display().to_string(),
                    rule: "only a CSV file has lines to skip",
                });
            }
            Some(lines) => lines,
            None if format == Format::Csv => lines_before_rows(&config, &self.schema, &self.memory, with_targets),
            None => usual,
        };
        config.skip_lines = Some(lines).filter(|&lines| lines > 0);
        let (path, is_other) = (path.display(), self.skip_lines.is_none() && lines != usual);
        let said =
            || format!("{path}: {lines} lines are skipped before the rows, not {usual} as in the run's own file");
        Ok((config, is_other.then(said).map(Notice::Note).into_iter().collect()))
    }

    fn evaluate_batches(
        &self,
        batches: impl Iterator<Item = Result<Batch, DataError>>,
    ) -> Result<Option<Evaluated>, TrainedError> {
        let mut rows = 0;
        let counted = batches.inspect(|batch| rows += batch.as_ref().map_or(0, Batch::rows));
        let token_bytes = match self.schema.input {
            Input::Tokens { .. } => Vocabulary::load(&self.memory).ok().and_then(|vocabulary| vocabulary.token_bytes()),
            Input::Numbers(_) => None,
        };
        let task = Task::new(self.schema.targets).of_labels(self.loss.takes_labels()).of_text(token_bytes);
        let (loss, scale) = (self.loss.as_ref(), self.scale.as_ref());
        let judge = Judge { loss, metrics: &self.config.validation.metrics, task: &task, scale };
        let found = evaluate(self.model.as_ref(), judge, counted)?;
        let evaluated =
            |Evaluation { loss, accuracy, metrics, lists }| Evaluated { rows, loss, accuracy, metrics, lists };
        Ok(found.map(evaluated))
    }
}
