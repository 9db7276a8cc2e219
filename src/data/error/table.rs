//! Errors of tables, in CSV or Parquet.

use std::path::PathBuf;

use thiserror::Error;

use super::Problem;
use crate::figures::counted;

/// Errors of a table.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TableError {
    /// There is no column besides the label.
    #[error(
        "{path}, line {line}: a single column, so there are no features besides the label; columns are separated by \
         {delimiter}{hint}"
    )]
    NoFeatures {
        /// The file.
        path: PathBuf,
        /// Line in the file, from 1.
        line: usize,
        /// The delimiter in words.
        delimiter: String,
        /// Another delimiter in the line, as a remedy after a semicolon; may be empty.
        hint: String,
    },
    /// A row has another number of columns than the first.
    #[error("{path}, line {line}: {}, but the first line has {expected}{hint}", counted(*found, "column"))]
    Ragged {
        /// The file.
        path: PathBuf,
        /// Line in the file, from 1.
        line: usize,
        /// Number of columns in this line.
        found: usize,
        /// Number of columns in the first.
        expected: usize,
        /// The likely cause; may be empty.
        hint: &'static str,
    },
    /// A quote is never closed, so the rest of the file would be one field.
    #[error(
        "{path}, line {line}: a quote opens a field here and is never closed, so the rest of the file would be one \
         field; close it, or double it if it is a character of a quoted field"
    )]
    UnclosedQuote {
        /// The file.
        path: PathBuf,
        /// The line on which the quote opens, from 1.
        line: usize,
    },
    /// The header line is a row of numbers.
    #[error("{path}, line {line}: numbers instead of the names of the columns; set `data.header = false`")]
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
    /// A field of a CSV file is invalid.
    #[error("{path}, line {line}, {column}: {problem}")]
    Field {
        /// The file.
        path: PathBuf,
        /// Line in the file, from 1.
        line: usize,
        /// The column, by name or number.
        column: String,
        /// The fault.
        problem: Problem,
    },
    /// The file is not valid Parquet.
    #[error("the Parquet file {path} cannot be read: {reason}")]
    Parquet {
        /// The file.
        path: PathBuf,
        /// The fault.
        reason: String,
    },
    /// A column of a Parquet file is neither numbers nor text.
    #[error("{path}, {column} is {what}, and neither numbers nor text; ignore it with `data.ignore`")]
    ParquetColumn {
        /// The file.
        path: PathBuf,
        /// The column.
        column: String,
        /// Its type, in words.
        what: String,
    },
    /// This program was built without Parquet.
    #[error("{path} is Parquet, which this program was built without; build it with `--features parquet`")]
    NoParquet {
        /// The file.
        path: PathBuf,
    },
    /// A field of a Parquet file is invalid.
    #[error("{path}, row {row} (counted from 0), {column}: {problem}")]
    ParquetField {
        /// The file.
        path: PathBuf,
        /// The row, from 0.
        row: usize,
        /// The column.
        column: String,
        /// The fault.
        problem: Problem,
    },
    /// A label does not fit the others.
    #[error("{path}, row {row} (counted from 0, without the header), {column}: {problem}")]
    Label {
        /// The file.
        path: PathBuf,
        /// The row, from 0.
        row: usize,
        /// The column.
        column: String,
        /// The fault.
        problem: Problem,
    },
    /// A column of the model is missing.
    #[error("{path} has no column `{name}`, which the model was trained on{hint}")]
    MissingColumn {
        /// The file.
        path: PathBuf,
        /// The column.
        name: String,
        /// A suggestion, and all columns.
        hint: String,
    },
    /// The number of columns differs from the model's.
    #[error("{path} has {}, and the model was trained on {trained}; its label is column {label}", counted(*found, "column"))]
    OtherColumns {
        /// The file.
        path: PathBuf,
        /// Its number of columns.
        found: usize,
        /// Number of columns in the model's data, including the label.
        trained: usize,
        /// The number of its label column, from 0.
        label: usize,
    },
    /// Two columns have one name.
    #[error("{path} has two columns named `{name}`, columns {first} and {second} (counted from 0); {remedy}")]
    DoubleName {
        /// The file.
        path: PathBuf,
        /// Their name, without blanks around it.
        name: String,
        /// The number of the first, from 0.
        first: usize,
        /// The number of the second, from 0.
        second: usize,
        /// The remedy.
        remedy: &'static str,
    },
    /// A column does not exist.
    #[error("`data.{option}`: {path} has no column `{name}`{hint}")]
    NoSuchColumn {
        /// The file.
        path: PathBuf,
        /// The option that names it.
        option: &'static str,
        /// The column asked for.
        name: String,
        /// A suggestion, and all columns.
        hint: String,
    },
    /// The number of a column is out of range.
    #[error(
        "`data.{option}` = {index}, but {path} has {columns} columns: \
         0 to {} from the first, -1 to -{columns} from the last",
        columns - 1
    )]
    NoSuchIndex {
        /// The file.
        path: PathBuf,
        /// The option with the number.
        option: &'static str,
        /// The number.
        index: i64,
        /// Number of columns.
        columns: usize,
    },
    /// A column is given by name, but names are not known.
    #[error(
        "`data.{option}` = \"{name}\" is a name, and `data.header = false` says that columns have none; give its number"
    )]
    NoNames {
        /// The option that names it.
        option: &'static str,
        /// The column asked for.
        name: String,
    },
}
