//! Errors of writing a run for another trainer.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

use crate::remedy;
use crate::trained::TrainedError;

/// A run that cannot be written for another trainer.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ExportError {
    /// The place is taken.
    #[error("{} exists; choose another place with -o", .0.display())]
    Occupied(PathBuf),
    /// A file cannot be written.
    #[error("{} cannot be written: {source}{}", path.display(), remedy::after(source))]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The checkpoint lacks a part that is exported, or the part is not as a trainer of ours writes it.
    #[error("{}: {what}", path.display())]
    Lacking {
        /// The checkpoint.
        path: PathBuf,
        /// The part.
        what: String,
    },
    /// The checkpoint's model cannot be opened.
    #[error(transparent)]
    Trained(Box<TrainedError>),
    /// The other trainer has no such thing.
    #[error("{thing}: {reason}")]
    Refused {
        /// The thing, in our words.
        thing: String,
        /// The reason, with the remedy.
        reason: String,
    },
}

impl From<TrainedError> for ExportError {
    fn from(error: TrainedError) -> Self {
        Self::Trained(Box::new(error))
    }
}

impl ExportError {
    /// Returns the refusal of `thing`.
    pub(super) fn refused(thing: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Refused { thing: thing.into(), reason: reason.into() }
    }
}
