//! What can be wrong with a table, as CSV or as Parquet.

use std::path::PathBuf;

use thiserror::Error;

use super::Problem;

/// What is wrong with a table.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TableError {
    /// There is nothing beside the label.
    #[error(
        "{path}, line {line}: a single column, so no features beside the label; columns are separated by {delimiter}{hint}"
    )]
    NoFeatures {
        /// The file.
        path: PathBuf,
        /// Line in the file, from 1.
        line: usize,
        /// The delimiter in words.
        delimiter: String,
        /// Another delimiter that the line has, as a remedy after a semicolon; empty where there is no such.
        hint: String,
    },
    /// A row has another number of columns than the first.
    #[error("{path}, line {line}: {found} columns where the first line has {expected}{hint}")]
    Ragged {
        /// The file.
        path: PathBuf,
        /// Line in the file, from 1.
        line: usize,
        /// Columns in this line.
        found: usize,
        /// Columns in the first.
        expected: usize,
        /// The likely cause, where there is one.
        hint: &'static str,
    },
    /// A quote opens a field that nothing closes, so that the rest of the file would be that field.
    #[error(
        "{path}, line {line}: a quote opens a field here and is never closed, so the rest of the file would be one field; \
         close it, or double it where it is a character of a quoted field"
    )]
    UnclosedQuote {
        /// The file.
        path: PathBuf,
        /// The line on which the quote opens, from 1.
        line: usize,
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
}
