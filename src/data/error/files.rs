//! Errors of the choice of files.

use std::path::PathBuf;

use thiserror::Error;

/// Errors of the files that a data set is made of.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum FilesError {
    /// A pattern matches no file.
    #[error(
        "`data.{option}`: no file is named {pattern}; a pattern matches names of files, with `*` for any characters"
    )]
    NoMatch {
        /// The option.
        option: &'static str,
        /// The pattern.
        pattern: PathBuf,
    },
    /// The pattern cannot be read.
    #[error("`data.{option}`: {pattern} is not a pattern: {reason}")]
    Pattern {
        /// The option.
        option: &'static str,
        /// The pattern.
        pattern: String,
        /// The fault.
        reason: String,
    },
    /// A pattern of the command line matches no file.
    #[error("no file is named {pattern}; a pattern matches names of files, with `*` for any characters")]
    NoFiles {
        /// The pattern.
        pattern: PathBuf,
    },
    /// A pattern of the command line cannot be read.
    #[error("{pattern} is not a pattern of names of files: {reason}")]
    NoPattern {
        /// The pattern.
        pattern: String,
        /// The fault.
        reason: String,
    },
    /// A file is named twice.
    #[error(
        "{path} is named {}; name each file once",
        if first == second { format!("twice in `data.{first}`") } else { format!("in `data.{first}` and in `data.{second}`") }
    )]
    Twice {
        /// The file.
        path: PathBuf,
        /// The option that names it first.
        first: &'static str,
        /// The option that names it again.
        second: &'static str,
    },
    /// Several files where the format takes one.
    #[error("`data.{option}` names several files, and {format} is read from one path; give one")]
    OnePath {
        /// The option.
        option: &'static str,
        /// The format.
        format: &'static str,
    },
    /// A table has other columns than the first one.
    #[error(
        "{path} has other columns than {first}: {difference}; all files of a run have the same columns in one order"
    )]
    OtherColumns {
        /// The file.
        path: PathBuf,
        /// The first file.
        first: PathBuf,
        /// The first difference.
        difference: String,
    },
}
