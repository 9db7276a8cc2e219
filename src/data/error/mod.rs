//! Everything that can be wrong with data: what, where, and what to do about it. What only one format can have wrong is
//! in an error of its own: `table.rs` and `tensor.rs` here, and the others beside what reads them.

mod problem;
mod table;
mod tensor;

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

pub use self::problem::Problem;
pub(super) use self::problem::{hint, quoted};
pub use self::table::TableError;
pub use self::tensor::TensorError;
use super::{EncodingError, IdxError, ImageError, Input, TextError};
use crate::memory::TooLarge;
use crate::remedy;
use crate::state::StateError;

/// The formats there are, for a message.
const FORMATS: &str = r#""csv", "parquet", "safetensors", "idx", "text" or "images""#;

/// Why data cannot be read, divided or gathered.
#[derive(Debug, Error)]
pub enum DataError {
    /// The file is missing, or may not be read.
    #[error("cannot read the data file {path}: {source}; {}", remedy(path, source))]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// It does not fit in memory.
    #[error(transparent)]
    TooLarge(#[from] Box<TooLarge>),
    /// The path is a directory, a pipe or a device.
    #[error("{path} is {kind}, not a regular file; `data.path` must name one file")]
    NotAFile {
        /// The path.
        path: PathBuf,
        /// Its kind.
        kind: &'static str,
    },
    /// The file has no content.
    #[error("the data file {path} is empty")]
    EmptyFile {
        /// The file.
        path: PathBuf,
    },
    /// The file starts as gzip and does not go on so.
    #[error("the gzip file {path} is damaged or cut short: {source}; fetch it again")]
    Gzip {
        /// The file.
        path: PathBuf,
        /// What the unpacking says.
        source: io::Error,
    },
    /// The content is not that which the run of a checkpoint learns from.
    #[error(
        "the content of {path} cannot change within a run: it is {saved} in the checkpoint and {found} now; \
         `--set data.path=…` says where the run's data lives now"
    )]
    OtherContent {
        /// The file.
        path: PathBuf,
        /// The fingerprint in the checkpoint.
        saved: String,
        /// The fingerprint that was found.
        found: String,
    },
    /// The file is not what it was when it was looked at first.
    #[error("{path} changed while it was read; let nothing write to it, and start again")]
    Changed {
        /// The file.
        path: PathBuf,
    },
    /// Other data is not in the format of the run's.
    #[error("{path} is {found} by its name, and the model was trained on {trained}; give data in that format")]
    OtherFormat {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: &'static str,
        /// That of the run's data.
        trained: &'static str,
    },
    /// The file's name says nothing about its format.
    #[error("the name of {path} does not tell its format; set `data.format` to {FORMATS}")]
    UnknownFormat {
        /// The file.
        path: PathBuf,
    },
    /// An option was given where it has no meaning.
    #[error("`data.{option}` has no meaning for {place}; remove it")]
    Meaningless {
        /// The option.
        option: String,
        /// What it was given for.
        place: &'static str,
    },
    /// Images cannot be changed as they should be.
    #[error("`data.augment{option}` {reason}")]
    Augment {
        /// The option in the table, with a dot before it; empty for the table itself.
        option: &'static str,
        /// What does not fit.
        reason: String,
    },
    /// The rows are not there, which the program that trains hands over.
    #[error(
        "data.format = custom: the rows are passed as a value by the program that trains this run; use that \
         program (`Session::builder` takes them)"
    )]
    NotGiven,
    /// A setting of a registered format has a value it cannot have.
    #[error("data.{field} = {value}: {rule}")]
    Setting {
        /// The setting.
        field: &'static str,
        /// Its value.
        value: String,
        /// The rule for it.
        rule: String,
    },
    /// Other rows are in a custom format, which only the program that trains can read.
    #[error(
        "{path}: rows in the format `{format}` are read only by the program that trains on them; give the model tensors \
         (`Trained::outputs`)"
    )]
    OwnFormat {
        /// The file.
        path: PathBuf,
        /// The name of the format.
        format: &'static str,
    },
    /// There are no rows of data in the file.
    #[error("{path} holds no rows of data")]
    NoRows {
        /// The file.
        path: PathBuf,
    },
    /// Rows of another shape than a model takes.
    #[error("{path}: a row is numbers of shape {found:?}, and the model takes {expected}")]
    OtherShape {
        /// The file.
        path: PathBuf,
        /// The shape of its rows.
        found: Vec<usize>,
        /// What the model takes.
        expected: Input,
    },
    /// What a checkpoint says of its data fits no data.
    #[error("the data does not fit what the checkpoint remembers of its own: {0}")]
    Memory(#[from] StateError),
    /// Rows of this kind are not read one after the other.
    #[error("{path}: the model reads {input}; `train sample` lets it go on with a text")]
    NotRows {
        /// The file.
        path: PathBuf,
        /// What the model takes.
        input: Input,
    },
    /// The labels are rather values than classes.
    #[error("{path}: label {largest} asks for more classes than there are rows ({rows}); {remedy}")]
    TooManyClasses {
        /// The file.
        path: PathBuf,
        /// The largest label.
        largest: u32,
        /// How many rows there are.
        rows: usize,
        /// The remedy for a file of this format.
        remedy: &'static str,
    },
    /// All labels are the same.
    #[error("{place}: every row has the label {label}, so nothing can be learned; {otherwise}")]
    OneClass {
        /// The file, and what in it.
        place: String,
        /// The label.
        label: String,
        /// The remedy for a person who meant other labels.
        otherwise: &'static str,
    },
    /// Rows made in memory are not rows.
    #[error(
        "{inputs} inputs of shape {input_shape:?} a row and {targets} targets \
         do not come out as the same number of rows"
    )]
    Uneven {
        /// How many numbers the inputs are.
        inputs: usize,
        /// The shape of one row's inputs.
        input_shape: Vec<usize>,
        /// How many numbers the targets are.
        targets: usize,
    },
    /// A row made in memory is not what it should be.
    #[error("row {row} (counted from 0): {problem}")]
    Row {
        /// Its number, from 0.
        row: usize,
        /// What is wrong.
        problem: Problem,
    },
    /// There is no row to put in an order.
    #[error("there are no rows to train on")]
    NothingToVisit,
    /// The share of validation rows is not a share.
    #[error("`data.validation` is a share of the rows, from 0 up to but not 1; it is {0}")]
    Share(f64),
    /// The share of validation rows leaves a side without any.
    #[error(
        "`data.validation` = {share} of {rows} rows is {validation} for validation and {} for training; \
         both need at least one",
        rows - validation
    )]
    OneSided {
        /// The share asked for.
        share: f64,
        /// All rows.
        rows: usize,
        /// Those that would be for validation.
        validation: usize,
    },
    /// The only batch of an epoch would be dropped.
    #[error(
        "`data.drop_last` leaves no batch: `data.batch_size` is {batch_size} and there are {rows} rows to train on; \
         lower the batch size, or keep the last batch"
    )]
    NoFullBatch {
        /// The batch size asked for.
        batch_size: usize,
        /// Rows to train on.
        rows: usize,
    },
    /// A data set, its split and its order were made for different numbers of rows.
    #[error("the {what} is made for {made_for} rows, and there are {rows}")]
    MadeForOthers {
        /// Split or order.
        what: &'static str,
        /// The rows it was made for.
        made_for: usize,
        /// The rows there are.
        rows: usize,
    },
    /// A table.
    #[error(transparent)]
    Table(Box<TableError>),
    /// A safetensors file.
    #[error(transparent)]
    Tensor(#[from] TensorError),
    /// An IDX file.
    #[error(transparent)]
    Idx(#[from] IdxError),
    /// Text.
    #[error(transparent)]
    Text(#[from] TextError),
    /// A folder of images, or an image.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// Columns that do not become numbers.
    #[error(transparent)]
    Encoding(#[from] EncodingError),
    /// A row was asked for that is not there.
    #[error("there is no row {row} (counted from 0) among {rows}")]
    NoSuchRow {
        /// Its number, from 0.
        row: usize,
        /// How many there are.
        rows: usize,
    },
    /// A data set of your own cannot read its rows.
    #[error(transparent)]
    Own(Box<dyn std::error::Error + Send + Sync>),
    /// The device failed.
    #[error("the data cannot be brought to the device: {0}")]
    Device(candle_core::Error),
}

impl From<TableError> for DataError {
    fn from(error: TableError) -> Self {
        Self::Table(Box::new(error))
    }
}

impl DataError {
    /// The error of a setting of a registered format.
    pub fn setting(field: &'static str, value: impl ToString, rule: impl Into<String>) -> Self {
        Self::Setting { field, value: value.to_string(), rule: rule.into() }
    }

    /// The error of an option that has no meaning.
    pub(super) fn meaningless(option: &str, place: &'static str) -> Self {
        Self::Meaningless { option: option.to_owned(), place }
    }
}

/// What to do about a file that cannot be read. Debian has each data set in a package of its own.
fn remedy(path: &Path, source: &io::Error) -> String {
    if let Some(remedy) = remedy::of(source) {
        return remedy.to_owned();
    }
    let packaged = path.strip_prefix("/usr/share/datasets").ok().and_then(|rest| rest.iter().next());
    match packaged.filter(|_| source.kind() == io::ErrorKind::NotFound) {
        Some(name) => {
            let name = name.to_string_lossy();
            format!("`apt-get install dataset-{name}` brings it, or `data.path` says where it is")
        }
        None => "`data.path` says where it is".to_owned(),
    }
}
