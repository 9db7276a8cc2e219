//! Errors of data, with place and remedy. Errors of a single format have their own types: `table.rs` and `tensor.rs`
//! here, the others beside their readers.

mod encoding;
mod files;
mod idx;
mod image;
mod problem;
mod stream;
mod table;
mod tensor;
mod text;

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

pub use self::encoding::EncodingError;
pub(super) use self::encoding::MOST_CATEGORIES;
pub use self::files::FilesError;
pub use self::idx::IdxError;
pub use self::image::ImageError;
pub use self::problem::Problem;
pub(super) use self::problem::{describe, hint, quoted};
pub use self::stream::StreamError;
pub use self::table::TableError;
pub use self::tensor::TensorError;
pub use self::text::{TextError, Unknown};
use super::Fold;
use crate::backtrace::from_candle;
use crate::memory::TooLarge;
use crate::model::Input;
use crate::remedy;
use crate::state::StateError;

/// All formats, for a message.
const FORMATS: &str = r#""csv", "parquet", "safetensors", "npy", "npz", "idx", "text", "jsonl" or "images""#;

/// Errors of reading, splitting or gathering data.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum DataError {
    /// The file is missing, or cannot be read.
    #[error("cannot read the data file {path}: {source}; {}", remedy(path, source))]
    Read {
        /// The file.
        path: PathBuf,
        /// The cause.
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
    /// The file is packed in a way that is not read.
    #[error("{path} is {kind}, and gzip and zstd are read; {remedy}")]
    OtherPacking {
        /// The file.
        path: PathBuf,
        /// The kind of file.
        kind: &'static str,
        /// How it is unpacked.
        remedy: &'static str,
    },
    /// The packed file is damaged.
    #[error("the {kind} file {path} is damaged or cut short: {source}; fetch it again")]
    Unpack {
        /// The file.
        path: PathBuf,
        /// How it is packed.
        kind: &'static str,
        /// The error of the decompression.
        source: io::Error,
    },
    /// The content is not that of the checkpoint's run.
    #[error(
        "the content of {path} cannot change within a run: it is {saved} in the checkpoint and {found} now; \
         `--set data.path=…` gives the new path of the run's data"
    )]
    OtherContent {
        /// The file.
        path: PathBuf,
        /// The fingerprint in the checkpoint.
        saved: String,
        /// The fingerprint of the data.
        found: String,
    },
    /// The file has changed since it was first read.
    #[error("{path} changed while it was read; stop other programs from writing to it, and start again")]
    Changed {
        /// The file.
        path: PathBuf,
    },
    /// Other data does not have the format of the run's data.
    #[error("{path} is {found} by its name, and the model was trained on {trained}; give data in that format")]
    OtherFormat {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: &'static str,
        /// The format of the run's data.
        trained: &'static str,
    },
    /// The file's name does not determine its format.
    #[error("the name of {path} does not show its format; set `data.format` to {FORMATS}")]
    UnknownFormat {
        /// The file.
        path: PathBuf,
    },
    /// A folder without a format.
    #[error("{path} is a folder{content}")]
    FolderFormat {
        /// The folder.
        path: PathBuf,
        /// A description of its content, and the format that fits.
        content: String,
    },
    /// An option that does not apply.
    #[error("`data.{option}` does not apply to {place}; remove it")]
    Meaningless {
        /// The option.
        option: String,
        /// The data that it was given for.
        place: &'static str,
    },
    /// Rows cannot be drawn as configured.
    #[error("`data.sampling` {reason}")]
    Sampling {
        /// The reason.
        reason: String,
    },
    /// Images cannot be augmented as configured.
    #[error("`data.augment{option}` {reason}")]
    Augment {
        /// The option in the table, with a dot before it; empty for the table itself.
        option: &'static str,
        /// The reason.
        reason: String,
    },
    /// The rows that the training program passes as a value are missing.
    #[error(
        "data.format = custom: the rows are passed as a value by the program that trains this run; use that \
         program (`Session::builder` takes them)"
    )]
    NotGiven,
    /// A setting of a registered format has an invalid value.
    #[error("data.{field} = {value}: {rule}")]
    Setting {
        /// The setting.
        field: &'static str,
        /// Its value.
        value: String,
        /// The rule for it.
        rule: String,
    },
    /// Rows in a user-defined format, which only the training program can read.
    #[error(
        "{path}: rows in the format `{format}` are read only by the program that trains on them; give the model \
         tensors (`Trained::outputs`)"
    )]
    OwnFormat {
        /// The file.
        path: PathBuf,
        /// The name of the format.
        format: &'static str,
    },
    /// The file has no rows of data.
    #[error("{path} holds no rows of data")]
    NoRows {
        /// The file.
        path: PathBuf,
    },
    /// Rows of another shape than the model takes.
    #[error("{path}: a row is numbers of shape {found:?}, and the model takes {expected}")]
    OtherShape {
        /// The file.
        path: PathBuf,
        /// The shape of its rows.
        found: Vec<usize>,
        /// The input of the model.
        expected: Input,
    },
    /// A checkpoint's state does not fit the data.
    #[error("the data does not fit the state of the data in the checkpoint: {0}")]
    Memory(#[from] StateError),
    /// Rows of this kind cannot be read one after the other.
    #[error("{path}: the model takes {input}; texts are judged by `train predict` and continued by `train sample`")]
    NotRows {
        /// The file.
        path: PathBuf,
        /// The input of the model.
        input: Input,
    },
    /// The labels are probably values, not classes.
    #[error("{path}: label {largest} needs more classes than there are rows ({rows}); {remedy}")]
    TooManyClasses {
        /// The file.
        path: PathBuf,
        /// The largest label.
        largest: u32,
        /// Number of rows.
        rows: usize,
        /// The remedy for a file of this format.
        remedy: &'static str,
    },
    /// All labels are the same.
    #[error("{place}: every row has the label {label}, so nothing can be learned; {otherwise}")]
    OneClass {
        /// The file, and the place in it.
        place: String,
        /// The label.
        label: String,
        /// The remedy if other labels were meant.
        otherwise: &'static str,
    },
    /// Sizes of rows made in memory do not match.
    #[error(
        "{inputs} inputs of shape {input_shape:?} a row and {targets} targets \
         do not come out as the same number of rows"
    )]
    Uneven {
        /// Number of input values.
        inputs: usize,
        /// The shape of one row's inputs.
        input_shape: Vec<usize>,
        /// Number of target values.
        targets: usize,
    },
    /// A row made in memory is invalid.
    #[error("row {row} (counted from 0): {problem}")]
    Row {
        /// Its number, from 0.
        row: usize,
        /// The fault.
        problem: Problem,
    },
    /// There are no rows.
    #[error("there are no rows to train on")]
    NothingToVisit,
    /// The share of validation rows is out of range.
    #[error("`data.validation` is a share of the rows, from 0 up to but not 1; it is {0}")]
    Share(f64),
    /// The share of validation rows leaves one side empty.
    #[error(
        "`data.validation` = {share} of {rows} rows is {validation} for validation and {} for training; \
         both need at least one",
        rows - validation
    )]
    OneSided {
        /// The requested share.
        share: f64,
        /// All rows.
        rows: usize,
        /// Number of validation rows.
        validation: usize,
    },
    /// Rows are to be set aside by their classes, and have none.
    #[error("`data.stratify` sets rows aside by their classes, and these rows do not have one class each; remove it")]
    NoStrata,
    /// There are fewer rows than folds.
    #[error("`data.fold` = {fold}: there are {rows} rows, fewer than folds")]
    FewerThanFolds {
        /// Number of rows.
        rows: usize,
        /// The fold.
        fold: Fold,
    },
    /// The only batch of an epoch would be dropped.
    #[error(
        "`data.drop_last` leaves no batch: `data.batch_size` is {batch_size} and there are {rows} rows to train on; \
         lower the batch size, or keep the last batch"
    )]
    NoFullBatch {
        /// The batch size.
        batch_size: usize,
        /// Number of training rows.
        rows: usize,
    },
    /// A data set, its split and its order have different numbers of rows.
    #[error("the {what} is made for {made_for} rows, and there are {rows}")]
    MadeForOthers {
        /// Split or order.
        what: &'static str,
        /// Its number of rows.
        made_for: usize,
        /// The actual number of rows.
        rows: usize,
    },
    /// The choice of files.
    #[error(transparent)]
    Files(#[from] FilesError),
    /// A table.
    #[error(transparent)]
    Table(Box<TableError>),
    /// A file of tensors.
    #[error(transparent)]
    Tensor(#[from] TensorError),
    /// Shards in object storage.
    #[error(transparent)]
    Stream(#[from] StreamError),
    /// An IDX file.
    #[error(transparent)]
    Idx(#[from] IdxError),
    /// Text.
    #[error(transparent)]
    Text(#[from] TextError),
    /// A folder of images, or an image.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// Columns that cannot be converted to numbers.
    #[error(transparent)]
    Encoding(#[from] EncodingError),
    /// A requested row does not exist.
    #[error("there is no row {row} (counted from 0) among {rows}")]
    NoSuchRow {
        /// Its number, from 0.
        row: usize,
        /// Number of rows.
        rows: usize,
    },
    /// A user-defined data set cannot read its rows.
    #[error(transparent)]
    Own(Box<dyn std::error::Error + Send + Sync>),
    /// The processes of the run cannot open the data together.
    #[error(transparent)]
    Processes(Box<dyn std::error::Error + Send + Sync>),
    /// The device failed.
    #[error("the data cannot be transferred to the device: {0}")]
    Device(candle_core::Error),
}

from_candle!(DataError => Device);

impl From<TableError> for DataError {
    fn from(error: TableError) -> Self {
        Self::Table(Box::new(error))
    }
}

impl DataError {
    /// Creates the error of a setting of a registered format.
    pub fn setting(field: &'static str, value: impl ToString, rule: impl Into<String>) -> Self {
        Self::Setting { field, value: value.to_string(), rule: rule.into() }
    }

    /// Creates the error of an option that does not apply.
    pub(super) fn meaningless(option: &str, place: &'static str) -> Self {
        Self::Meaningless { option: option.to_owned(), place }
    }
}

/// Returns the remedy for a file that cannot be read. Debian has a package for each data set.
fn remedy(path: &Path, source: &io::Error) -> String {
    if let Some(remedy) = remedy::of(source) {
        return remedy.to_owned();
    }
    let packaged = path.strip_prefix("/usr/share/datasets").ok().and_then(|rest| rest.iter().next());
    match packaged.filter(|_| source.kind() == io::ErrorKind::NotFound) {
        Some(name) => {
            let name = name.to_string_lossy();
            format!("`apt-get install dataset-{name}` installs it, or set `data.path` to its path")
        }
        None => "set `data.path` to its path".to_owned(),
    }
}
