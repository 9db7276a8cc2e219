//! A first configuration for a user's data: the probable interpretation of the data, with a comment at every line that
//! explains its purpose and the alternatives, and a list of all decisions.
//!
//! `table.rs` writes the configuration of a table: `target.rs` chooses the column to predict, `columns.rs` the use of
//! each other one. `files.rs` handles images and text, `documents.rs` JSON Lines, `tensors.rs` tensors, and `lines.rs` writes.

mod columns;
mod documents;
mod files;
mod lines;
mod table;
mod target;
mod tensors;

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::Notice;
use crate::data::{DataConfig, DataError, Format, Survey, TableError, files_at, lines_above_table, survey};
use crate::remedy;
use lines::Lines;

/// Errors of making a first configuration.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StarterError {
    /// The path does not exist, or cannot be read.
    #[error(
        "cannot read the data {}: {source}{}; give the path of a file or folder to learn from", path.display(),
        remedy::after(source)
    )]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// It is a pipe or a device.
    #[error("{} is {kind}; give the path of a file or folder to learn from", path.display())]
    NotAFile {
        /// The path.
        path: PathBuf,
        /// Its kind.
        kind: &'static str,
    },
    /// Its content cannot be read.
    #[error(transparent)]
    Data(Box<DataError>),
    /// The first lines have fewer columns than the following ones.
    #[error("{error}; if there are other lines above the table, skip them with `--skip-lines {lines}`")]
    Above {
        /// The error for the line whose width differs from the first.
        error: Box<DataError>,
        /// Number of lines before the probable start of the table.
        lines: usize,
    },
    /// Its format is unknown.
    #[error(
        "{path} has no known format of training data: give a table (`.csv`, `.tsv`, `.parquet`), tensors \
         (`.safetensors`, `.npz`, `.npy`), a text (`.txt`), documents (`.jsonl`), each with or without `.gz`, a folder with \
         MNIST's files, or a folder with one subfolder of images for each class"
    )]
    Unknown {
        /// The file or folder.
        path: PathBuf,
    },
    /// No column can be the target, or no other column can be learned from.
    #[error("{path}: {reason}")]
    NoTarget {
        /// The file.
        path: PathBuf,
        /// The missing part.
        reason: String,
    },
    /// An option does not apply to the data.
    #[error("--{option} does not apply to {}: {rule}", path.display())]
    Request {
        /// The option.
        option: &'static str,
        /// The data.
        path: PathBuf,
        /// The data that the option applies to.
        rule: &'static str,
    },
}

impl From<DataError> for StarterError {
    fn from(error: DataError) -> Self {
        match error {
            DataError::Read { path, source } => Self::Read { path, source },
            DataError::NotAFile { path, kind } => Self::NotAFile { path, kind },
            other => Self::Data(Box::new(other)),
        }
    }
}

/// Options of the data that the user gives.
#[derive(Clone, Copy, Debug, Default)]
pub struct Requests<'a> {
    /// Tables: the column to predict, by its name or its number.
    pub label: Option<&'a str>,
    /// CSV: number of lines above the table.
    pub skip_lines: usize,
}

/// A first configuration.
#[derive(Clone, Debug)]
pub struct Starter {
    /// The file, in TOML.
    pub text: String,
    /// All decisions about the data. They are also in the comments of the text.
    pub decisions: Vec<Notice>,
}

/// Writes a configuration for the data at `data`, of which the file tells the path as `written`, relative to itself. Of a
/// pattern of names of files, the first file shows what the data is.
///
/// # Errors
/// The data cannot be read, or a run cannot learn from it.
pub fn configuration(data: &Path, written: &Path, requests: Requests) -> Result<Starter, StarterError> {
    let files = files_at(data)?;
    let (pattern, data) = (data, files.first().map_or(data, PathBuf::as_path));
    let survey = survey(data, requests.skip_lines).map_err(|error| of_lines_above(data, error))?;
    let mut survey = survey.ok_or_else(|| StarterError::Unknown { path: data.into() })?;
    refuse_without_meaning(&survey, data, requests)?;
    let mut lines = Lines::new();
    if pattern != data {
        refuse_pattern(&survey, data)?;
        lines.decide(format!("files: {} of the pattern; the first, {}, shows the rest", files.len(), data.display()));
        add_rows(&mut survey, files.get(1..).unwrap_or_default(), requests.skip_lines)?;
    }
    let length = match &survey {
        Survey::Table(table) => table::describe(&mut lines, table, data, written, requests)?,
        Survey::Tensors(tensors) => tensors::describe(&mut lines, tensors, data, written)?,
        Survey::Idx { has_validation, shape, labels } => {
            files::idx(&mut lines, data, written, *has_validation, *shape, *labels)?
        }
        Survey::Images { path, validation_path, classes, files, sides } => {
            let from_there = |path: &Path| match path.strip_prefix(data) {
                Ok(inner) if inner != Path::new("") => written.join(inner),
                _ => written.to_owned(),
            };
            let validation = validation_path.as_deref().map(from_there);
            files::images(&mut lines, &from_there(path), validation.as_deref(), classes, *files, *sides)
        }
        Survey::Documents(survey) => documents::describe(&mut lines, survey, data, written)?,
        Survey::Text { tokens, distinct, is_unicode } => {
            files::text(&mut lines, data, written, *tokens, *distinct, *is_unicode)?
        }
    };
    lines.training(&length);
    Ok(lines.into_starter())
}

/// Adds the rows of the other files of a pattern to those of the first one, where they are counted.
fn add_rows(whole: &mut Survey, others: &[PathBuf], skip_lines: usize) -> Result<(), StarterError> {
    if let Survey::Documents(documents) = whole {
        documents.has_more |= !others.is_empty();
    }
    if !matches!(whole, Survey::Table(_) | Survey::Tensors(_)) {
        return Ok(());
    }
    for path in others {
        match (&mut *whole, survey(path, skip_lines).map_err(|error| of_lines_above(path, error))?) {
            (Survey::Table(whole), Some(Survey::Table(table))) => whole.rows += table.rows,
            (Survey::Tensors(whole), Some(Survey::Tensors(tensors))) => {
                for one in whole {
                    let other = tensors.iter().find(|other| other.name == one.name);
                    let rows = other.and_then(|other| other.shape.first().copied()).unwrap_or_default();
                    one.shape.iter_mut().take(1).for_each(|all| *all += rows);
                }
            }
            _ => {}
        }
    }
    Ok(())
}

/// Adds a remedy if lines above the table are the probable cause of an error.
fn of_lines_above(data: &Path, error: DataError) -> StarterError {
    let is_wider = matches!(&error, DataError::Table(table)
        if matches!(**table, TableError::Ragged { found, expected, .. } if expected < found));
    match lines_above_table(data).filter(|_| is_wider) {
        Some(lines) => StarterError::Above { error: Box::new(error), lines },
        None => error.into(),
    }
}

fn refuse_without_meaning(survey: &Survey, data: &Path, requests: Requests) -> Result<(), StarterError> {
    let refused = |option, rule| Err(StarterError::Request { option, path: data.into(), rule });
    match survey {
        Survey::Table(table) if table.is_parquet && requests.skip_lines > 0 => {
            refused("skip-lines", "only a CSV file has lines to skip")
        }
        Survey::Table(_) => Ok(()),
        _ if requests.skip_lines > 0 => refused("skip-lines", "only a CSV file has lines to skip"),
        _ if requests.label.is_some() => refused("label", "only a table has a column to predict"),
        _ => Ok(()),
    }
}

/// Refuses a pattern of files that are not read one after the other by their names alone.
fn refuse_pattern(survey: &Survey, data: &Path) -> Result<(), StarterError> {
    let is_npy = |path: &Path| matches!(Format::of(&DataConfig::new(path)), Ok(Format::Npy));
    match survey {
        Survey::Tensors(_) if is_npy(data) => Err(nothing(
            data,
            "the targets of several `.npy` files are in others, whose pattern is not known; give this file, and then \
             write patterns for `path` and `targets`",
        )),
        _ => Ok(()),
    }
}

/// Creates the error of data without a target, or without other columns.
fn nothing(path: &Path, reason: impl Into<String>) -> StarterError {
    StarterError::NoTarget { path: path.into(), reason: reason.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_without_data_is_refused_with_the_formats_that_there_are() {
        let folder = tempfile::tempdir().unwrap();
        let message = configuration(folder.path(), Path::new("data"), Requests::default()).unwrap_err().to_string();
        assert!(message.contains("one subfolder of images for each class"), "{message}");
    }
}
