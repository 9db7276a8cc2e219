//! Everything that can be wrong with data: what, where, and what to do about it.

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use super::{EncodingError, IdxError, ImageError, Input, TextError};
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
    /// The path is a directory, a pipe or a device.
    #[error("{path} is not a regular file; `data.path` must name one file")]
    NotAFile {
        /// The path.
        path: PathBuf,
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
    /// There are no rows of data in the file.
    #[error("{path} holds no rows of data")]
    NoRows {
        /// The file.
        path: PathBuf,
    },
    /// There is nothing beside the label.
    #[error("{path}, line {line}: a single column, so no features beside the label; columns are separated by commas")]
    NoFeatures {
        /// The file.
        path: PathBuf,
        /// Line in the file, from 1.
        line: usize,
    },
    /// A row has another number of columns than the first.
    #[error("{path}, line {line}: {found} columns where the first line has {expected}")]
    Ragged {
        /// The file.
        path: PathBuf,
        /// Line in the file, from 1.
        line: usize,
        /// Columns in this line.
        found: usize,
        /// Columns in the first.
        expected: usize,
    },
    /// The line that should name the columns is a row of numbers.
    #[error("{path}, line {line}: numbers where the names of the columns should be; set `data.header = false`")]
    HeaderOfNumbers {
        /// The file.
        path: PathBuf,
        /// Line in the file, from 1.
        line: usize,
    },
    /// The file is not text.
    #[error("{path}, line {line}: not UTF-8 text; save the file as UTF-8")]
    NotText {
        /// The file.
        path: PathBuf,
        /// Line in the file, from 1.
        line: usize,
    },
    /// A field of a CSV file is not what it should be.
    #[error("{path}, line {line}, {column}: {problem}")]
    Field {
        /// The file.
        path: PathBuf,
        /// Line in the file, from 1.
        line: usize,
        /// The column, by name or number.
        column: String,
        /// What is wrong.
        problem: Problem,
    },
    /// The file is not Parquet, or not whole.
    #[error("the Parquet file {path} cannot be read: {reason}")]
    Parquet {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// This program was built without Parquet.
    #[error("{path} is Parquet, which this program was built without; build it with `--features parquet`")]
    NoParquet {
        /// The file.
        path: PathBuf,
    },
    /// A field of a Parquet file is not what it should be.
    #[error("{path}, row {row} (counted from 0), {column}: {problem}")]
    ParquetField {
        /// The file.
        path: PathBuf,
        /// The row, from 0.
        row: usize,
        /// The column.
        column: String,
        /// What is wrong.
        problem: Problem,
    },
    /// A column that a model was trained on is not there.
    #[error("{path} has no column `{name}`, which the model was trained on{hint}")]
    MissingColumn {
        /// The file.
        path: PathBuf,
        /// The column.
        name: String,
        /// The nearest, and all there are.
        hint: String,
    },
    /// There are other columns than a model was trained on.
    #[error("{path} has {found} columns, and the model was trained on {trained}, of which column {label} is the label")]
    OtherColumns {
        /// The file.
        path: PathBuf,
        /// How many it has.
        found: usize,
        /// How many the model's data had, with the label.
        trained: usize,
        /// Which of them was the label, from 0.
        label: usize,
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
    /// A column is none of the file's.
    #[error("`data.{option}`: {path} has no column `{name}`{hint}")]
    NoSuchColumn {
        /// The file.
        path: PathBuf,
        /// The option that names it.
        option: &'static str,
        /// The column asked for.
        name: String,
        /// The nearest, and all there are.
        hint: String,
    },
    /// The number of a column is beyond the columns.
    #[error(
        "`data.{option}` = {index}, but {path} has {columns} columns: \
         0 to {} from the first, -1 to -{columns} from the last",
        columns - 1
    )]
    NoSuchIndex {
        /// The file.
        path: PathBuf,
        /// The option that has it.
        option: &'static str,
        /// The number asked for.
        index: i64,
        /// How many columns there are.
        columns: usize,
    },
    /// A column is named, but names are not known.
    #[error(
        "`data.{option}` = \"{name}\" is a name, and `data.header = false` says that columns have none; give its number"
    )]
    NoNames {
        /// The option that names it.
        option: &'static str,
        /// The column asked for.
        name: String,
    },
    /// The labels are rather values than classes.
    #[error(
        "{path}: label {largest} asks for more classes than there are rows ({rows}); \
         set `data.task = \"regression\"` for values, or `data.classes` for their number"
    )]
    TooManyClasses {
        /// The file.
        path: PathBuf,
        /// The largest label.
        largest: u32,
        /// How many rows there are.
        rows: usize,
    },
    /// The file is not valid safetensors.
    #[error("{path} is not a valid safetensors file: {source}")]
    Safetensors {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: safetensors::SafeTensorError,
    },
    /// The header of a safetensors file is not one.
    #[error("{path} is not a valid safetensors file: {reason}")]
    BadTensors {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A tensor is missing.
    #[error("`data.{option}`: {path} has no tensor `{name}`{hint}")]
    NoSuchTensor {
        /// The file.
        path: PathBuf,
        /// The option that names the tensor.
        option: &'static str,
        /// The tensor asked for.
        name: String,
        /// The nearest, and all there are.
        hint: String,
    },
    /// A tensor has a dtype or shape that cannot be used.
    #[error("{path}: tensor `{name}` is {kind}; `data.{option}` must be {expected}")]
    TensorKind {
        /// The file.
        path: PathBuf,
        /// The tensor.
        name: String,
        /// The option that names it.
        option: &'static str,
        /// Its dtype and shape.
        kind: String,
        /// What it should be.
        expected: &'static str,
    },
    /// Inputs and targets disagree about the rows.
    #[error("{path}: the inputs have {inputs} rows and the targets {targets}")]
    RowsDisagree {
        /// The file.
        path: PathBuf,
        /// Rows of the inputs.
        inputs: usize,
        /// Rows of the targets.
        targets: usize,
    },
    /// An element of a tensor is not what it should be.
    #[error("{path}, tensor `{name}`, row {row} (counted from 0): {problem}")]
    Element {
        /// The file.
        path: PathBuf,
        /// The tensor.
        name: String,
        /// Its row, from 0.
        row: usize,
        /// What is wrong.
        problem: Problem,
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
    Device(#[from] candle_core::Error),
}

impl DataError {
    /// The error of an option that has no meaning.
    pub(super) fn meaningless(option: &str, place: &'static str) -> Self {
        Self::Meaningless { option: option.to_owned(), place }
    }
}

/// What to do about a file that cannot be read. Debian has each data set in a package of its own.
fn remedy(path: &Path, source: &io::Error) -> String {
    let packaged = path.strip_prefix("/usr/share/datasets").ok().and_then(|rest| rest.iter().next());
    match packaged.filter(|_| source.kind() == io::ErrorKind::NotFound) {
        Some(name) => {
            let name = name.to_string_lossy();
            format!("`apt-get install dataset-{name}` brings it, or `data.path` says where it is")
        }
        None => "`data.path` says where it is".to_owned(),
    }
}

/// What is wrong with a single value.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Problem {
    /// The field is empty.
    #[error("the field is empty; set `data.missing` to say what stands in for a missing value")]
    Empty,
    /// The text is no number.
    #[error("{0} is not a number")]
    NotANumber(String),
    /// A value of a kind that no feature and no label is.
    #[error("a value is neither a number nor text; leave the column out with `data.ignore`")]
    NotPlain,
    /// A number in a column of categories.
    #[error("{0} is a number, and the column began with words; name it in `data.categories` if all are names")]
    NumberAmongWords(String),
    /// A number among labels that are names.
    #[error("label {0} is a number, and the labels before it are names")]
    NumberAmongNames(String),
    /// A class that is none of the model's.
    #[error("label {0} is none of the classes that the model was trained on")]
    UnknownClass(String),
    /// The number is infinite, too large, or none.
    #[error("{0} is not a finite 32-bit number")]
    NotFinite(String),
    /// The label is no class.
    #[error("label {0} is not a whole number from 0 up; for other values set `data.task = \"regression\"`")]
    NotAClass(String),
    /// The label is beyond the classes.
    #[error("label {label} is not below the number of classes, {classes}; labels count from 0")]
    ClassTooLarge {
        /// The label.
        label: u32,
        /// How many classes there are.
        classes: usize,
    },
}

/// What a user may have meant by `name`, and what there is: the end of a message that something is missing.
pub(super) fn hint(name: &str, known: &[&str]) -> String {
    const LISTED: usize = 20;
    let distance = |known: &str| strsim::damerau_levenshtein(&name.to_lowercase(), &known.to_lowercase());
    let nearest =
        known.iter().min_by_key(|known| distance(known)).filter(|known| distance(known) <= 1 + name.len() / 4);
    let mut text = nearest.map(|nearest| format!("; did you mean `{nearest}`?")).unwrap_or_default();
    let list: Vec<String> = known.iter().take(LISTED).map(|known| format!("`{known}`")).collect();
    text += &format!("; it has {}", list.join(", "));
    if known.len() > LISTED {
        text += &format!(" and {} more", known.len() - LISTED);
    }
    text
}

/// A piece of a user's file as a message shows it: quoted, without control characters, and not too long.
pub(super) fn quoted(text: &str) -> String {
    const SHOWN: usize = 40;
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{:?}…", &text[..end]),
        None => format!("{text:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hint_names_the_nearest_and_lists_what_there_is() {
        assert_eq!(hint("lable", &["x", "label"]), "; did you mean `label`?; it has `x`, `label`");
        assert_eq!(hint("price", &["x", "y"]), "; it has `x`, `y`");
        let many: Vec<String> = (0..30).map(|i| format!("pixel{i}")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        assert!(hint("class", &many).ends_with("`pixel19` and 10 more"));
    }

    #[test]
    fn a_long_field_is_shown_in_part() {
        assert_eq!(quoted("a\tb"), "\"a\\tb\"");
        assert_eq!(quoted(&"é".repeat(1000)), format!("\"{}\"…", "é".repeat(40)));
    }
}
