//! Why what a run has learned cannot be used.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

use crate::backtrace::from_candle;
use crate::data::{DataError, Input, TextError};
use crate::remedy;
use crate::train::TrainError;

/// Why what a run has learned cannot be used.
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
    #[error("{} holds no configuration: it was saved by another program, which is the one to use it", path.display())]
    NoConfig {
        /// The checkpoint.
        path: PathBuf,
    },
    /// The checkpoint does not say what rows its model takes, and the data that does cannot be opened.
    #[error(
        "{} was saved before checkpoints said what rows their model takes; the run's data says it, and cannot be used: \
         {reason}; give its place with `--set data.path=…`",
        path.display()
    )]
    NoSchema {
        /// The checkpoint.
        path: PathBuf,
        /// Why the data at the path in the configuration cannot be used.
        reason: Box<DataError>,
    },
    /// The checkpoint says nothing that can be about its rows.
    #[error("{}: what it says of the rows of its data is not understood: {reason}", path.display())]
    Schema {
        /// The checkpoint.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A setting would make another run of it.
    #[error("--set {key}: a run is used as it is; only `device` and the paths of its data can be set")]
    Setting {
        /// Its key.
        key: String,
    },
    /// An option has a value it cannot have.
    #[error("--{option} {value}: {rule}")]
    Option {
        /// The option.
        option: &'static str,
        /// Its value.
        value: String,
        /// What it must be.
        rule: &'static str,
    },
    /// Other rows than the run's own cannot be read.
    #[error("cannot read the rows {}: {source}{}; `--data` says where they are", path.display(), remedy::after(source))]
    Rows {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// There is nothing to evaluate on.
    #[error("the run has no {rows} rows; choose others with --rows, or other data with --data")]
    NoRows {
        /// Which were asked for.
        rows: String,
    },
    /// The model does not speak.
    #[error(
        "{}: the model takes {input} and cannot go on with a text; `train predict` says what it makes of rows",
        path.display()
    )]
    NotText {
        /// The checkpoint.
        path: PathBuf,
        /// What the model takes.
        input: Input,
    },
    /// There is nothing to go on with.
    #[error("the prompt is empty, and a model goes on with at least one token")]
    EmptyPrompt,
    /// The prompt is not text of the model's.
    #[error("the prompt: {0}")]
    Prompt(TextError),
    /// Tokens do not become text.
    #[error(transparent)]
    Text(#[from] TextError),
    /// What a model puts out is no number.
    #[error("what the model puts out for {what} is not finite")]
    NotFinite {
        /// For what.
        what: String,
    },
    /// The ending of an output's name says nothing.
    #[error("the name of {} does not tell its format; let it end with .csv or .parquet", path.display())]
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
        /// Why.
        source: io::Error,
    },
    /// The result cannot be written to stdout.
    #[error("the result cannot be written to stdout: {source}")]
    Stdout {
        /// Why.
        source: io::Error,
    },
    /// Signals cannot be heard.
    #[error("no handler for signals can be installed: {source}{}", remedy::after(source))]
    Signals {
        /// Why.
        source: io::Error,
    },
    /// The tensor library.
    #[error(transparent)]
    Tensor(candle_core::Error),
}

from_candle!(TrainedError => Tensor);

impl From<DataError> for TrainedError {
    fn from(error: DataError) -> Self {
        Self::Data(Box::new(error))
    }
}

impl TrainedError {
    /// Whether the request was wrong, rather than what it asked for having failed.
    pub fn is_input_error(&self) -> bool {
        match self {
            Self::Train(error) => error.is_input_error(),
            error => {
                !matches!(error, Self::Tensor(_) | Self::NotFinite { .. } | Self::Stdout { .. } | Self::Signals { .. })
            }
        }
    }
}
