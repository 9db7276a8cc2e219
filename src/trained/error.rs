//! Errors of using a trained model.

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::backtrace::from_candle;
use crate::data::{DataError, Input, TextError};
use crate::device::is_out_of_memory;
use crate::remedy;
use crate::train::TrainError;

/// Errors of using a trained model.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TrainedError {
    /// The run or its checkpoint.
    #[error(transparent)]
    Train(#[from] TrainError),
    /// The data.
    #[error(transparent)]
    Data(Box<DataError>),
    /// The checkpoint was not saved by a run.
    #[error("{} holds no configuration: it was saved by another program; use it with that program", path.display())]
    NoConfig {
        /// The checkpoint.
        path: PathBuf,
    },
    /// The checkpoint does not describe the rows of its model, and the run's data cannot be opened.
    #[error(
        "{} does not describe the rows of its model, as newer checkpoints do, and the run's data cannot be used \
         instead: {reason}; give the path of the data with `--set data.path=…`",
        path.display()
    )]
    NoSchema {
        /// The checkpoint.
        path: PathBuf,
        /// Why the data at the path in the configuration cannot be used.
        reason: Box<DataError>,
    },
    /// The checkpoint's description of its rows is invalid.
    #[error("{}: its description of the data's rows is invalid: {reason}", path.display())]
    Schema {
        /// The checkpoint.
        path: PathBuf,
        /// The fault.
        reason: String,
    },
    /// A setting that would change the run.
    #[error("--set {key}: a run cannot be changed here; only `device` and the paths of its data can be set")]
    Setting {
        /// Its key.
        key: String,
    },
    /// An option has an invalid value.
    #[error("--{option} {value}: {rule}")]
    Option {
        /// The option.
        option: &'static str,
        /// Its value.
        value: String,
        /// The valid values.
        rule: &'static str,
    },
    /// Rows at another path cannot be read.
    #[error(
        "cannot read the rows {}: {source}{}; give their path with `--data`",
        path.display(), remedy::after(source)
    )]
    Rows {
        /// The file or folder.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// Rows that come through stdin cannot be kept.
    #[error(
        "the rows of stdin cannot be kept in {}: {source}{}; TMPDIR names another folder",
        folder.display(), remedy::after(source)
    )]
    Stdin {
        /// The folder of temporary files.
        folder: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// Rows at another path are not in a file.
    #[error("--data {}: is {kind}, and the rows are read from a file; name one in the format of the run's data", path.display())]
    NotAFile {
        /// The path.
        path: PathBuf,
        /// Its kind.
        kind: &'static str,
    },
    /// There are no rows to evaluate.
    #[error("the run has no {rows} rows; choose others with --rows, or other data with --data")]
    NoRows {
        /// The requested rows.
        rows: String,
    },
    /// The model does not generate text.
    #[error(
        "{}: the model takes {input} and cannot continue a text; use `train predict` for rows",
        path.display()
    )]
    NotText {
        /// The checkpoint.
        path: PathBuf,
        /// The input of the model.
        input: Input,
    },
    /// The prompt is empty.
    #[error("the prompt is empty; give at least one token")]
    EmptyPrompt,
    /// The prompt cannot be encoded by the model's vocabulary.
    #[error("the prompt: {0}")]
    Prompt(TextError),
    /// A question cannot be put into the form of the run's prompts.
    #[error("--ask: {reason}")]
    Question {
        /// The cause.
        reason: String,
    },
    /// A file of prompts cannot be read.
    #[error(
        "cannot read the prompts {}: {source}{}; give their path with `--prompts`",
        path.display(), remedy::after(source)
    )]
    Prompts {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// Tokens do not become text.
    #[error(transparent)]
    Text(#[from] TextError),
    /// An output of the model is NaN or infinite.
    #[error("the model's output for {what} is not finite")]
    NotFinite {
        /// The input of the output.
        what: String,
    },
    /// The ending of an output's name is not a known format.
    #[error("the name of {} does not show its format; let it end with .csv, .jsonl or .parquet", path.display())]
    UnknownFormat {
        /// The file.
        path: PathBuf,
    },
    /// This program was built without Parquet.
    #[error("{} is Parquet, which this program was built without; build it with `--features parquet`", path.display())]
    NoParquet {
        /// The file.
        path: PathBuf,
    },
    /// An output cannot be written.
    #[error("{} cannot be written: {source}; choose another place with --output", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The result cannot be written to stdout.
    #[error("the result cannot be written to stdout: {source}")]
    Stdout {
        /// The cause.
        source: io::Error,
    },
    /// No handler for signals can be installed.
    #[error("no handler for signals can be installed: {source}{}", remedy::after(source))]
    Signals {
        /// The cause.
        source: io::Error,
    },
    /// The tensor library.
    #[error("{}{}", .0, if is_out_of_memory(.0) { "; `--device cpu` uses the memory of the machine" } else { "" })]
    Tensor(candle_core::Error),
}

from_candle!(TrainedError => Tensor);

impl From<DataError> for TrainedError {
    fn from(error: DataError) -> Self {
        Self::Data(Box::new(error))
    }
}

impl TrainedError {
    /// For `map_err`: an error of the rows at `given`, the path of `--data`, which is named in place of `data.path`.
    pub(super) fn of_rows(given: &Path) -> impl Fn(DataError) -> Self {
        move |error| match error {
            DataError::NotAFile { path, kind } if path == given => Self::NotAFile { path, kind },
            DataError::Read { path, source } if path == given => Self::Rows { path, source },
            error => error.into(),
        }
    }

    /// Whether the request was wrong, as opposed to a failure while processing it.
    pub fn is_input_error(&self) -> bool {
        match self {
            Self::Train(error) => error.is_input_error(),
            error => {
                !matches!(error, Self::Tensor(_) | Self::NotFinite { .. } | Self::Stdout { .. } | Self::Signals { .. })
            }
        }
    }
}
