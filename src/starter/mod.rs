//! A first configuration for data of a person: the data's probable meaning, with a comment at every line that says
//! its purpose and the alternatives, and a list of all that was decided.
//!
//! `table.rs` describes a table: `target.rs` chooses the column to predict, `columns.rs` the use of each other one.
//! `files.rs` describes images and text, `tensors.rs` a safetensors file, and `lines.rs` writes.

mod columns;
mod files;
mod lines;
mod table;
mod target;
mod tensors;

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::Notice;
use crate::data::{DataError, Survey, TableError, lines_above_table, survey};
use crate::remedy;
use lines::Lines;

/// Why there is no configuration for data.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StarterError {
    /// There is nothing at the path, or it cannot be read.
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
    /// The first lines have fewer columns than those after them.
    #[error("{error}; if other lines stand above the table, pass over them with `--skip-lines {lines}`")]
    Above {
        /// The line that is not as wide as the first.
        error: Box<DataError>,
        /// After how many lines the table probably begins.
        lines: usize,
    },
    /// It is no format that is known.
    #[error(
        "{path} is nothing that can be learned from: give a table (`.csv`, `.tsv`, `.parquet`), tensors \
         (`.safetensors`), a text (`.txt`), each with `.gz` or without, a folder with MNIST's files, or a folder that \
         has a folder of PNG or JPEG files for each class"
    )]
    Unknown {
        /// The file or folder.
        path: PathBuf,
    },
    /// Nothing in it can be the target, or nothing else can be learned from.
    #[error("{path}: {reason}")]
    NoTarget {
        /// The file.
        path: PathBuf,
        /// The part that is missing.
        reason: String,
    },
    /// A request has no meaning for the data.
    #[error("--{option} has no meaning for {}: {rule}", path.display())]
    Request {
        /// The option.
        option: &'static str,
        /// The data.
        path: PathBuf,
        /// The data that it has a meaning for.
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

/// The part of the data that a person says.
#[derive(Clone, Copy, Debug, Default)]
pub struct Requests<'a> {
    /// Tables: the column to predict, by its name or its number.
    pub label: Option<&'a str>,
    /// CSV: how many lines stand above the table.
    pub skip_lines: usize,
}

/// A first configuration.
#[derive(Clone, Debug)]
pub struct Starter {
    /// The file, in TOML.
    pub text: String,
    /// Everything that was decided from a look at the data. The text has it in its comments too.
    pub decisions: Vec<Notice>,
}

/// A configuration for the data at `data`, which the file names `written`, its path from there.
///
/// # Errors
/// When the data cannot be read, or is nothing that a run can learn from.
pub fn configuration(data: &Path, written: &Path, requests: Requests) -> Result<Starter, StarterError> {
    let survey = survey(data, requests.skip_lines).map_err(|error| of_lines_above(data, error))?;
    let survey = survey.ok_or_else(|| StarterError::Unknown { path: data.into() })?;
    refuse_without_meaning(&survey, data, requests)?;
    let mut lines = Lines::new();
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
        Survey::Text { tokens, distinct, is_unicode } => {
            files::text(&mut lines, data, written, *tokens, *distinct, *is_unicode)?
        }
    };
    lines.training(&length);
    Ok(lines.into_starter())
}

/// The error, with a remedy where lines above the table are the probable cause.
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
            refused("skip-lines", "only a CSV file has lines to pass over")
        }
        Survey::Table(_) => Ok(()),
        _ if requests.skip_lines > 0 => refused("skip-lines", "only a CSV file has lines to pass over"),
        _ if requests.label.is_some() => refused("label", "only a table has a column to predict"),
        _ => Ok(()),
    }
}

/// The error of data that has nothing to predict, or nothing to predict it from.
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
        assert!(message.contains("a folder of PNG or JPEG files for each class"), "{message}");
    }
}
