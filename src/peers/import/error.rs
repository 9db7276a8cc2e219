//! Errors of an import.

use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::peers::PeerError;
pub(super) use crate::peers::translate::Refusal;
use crate::train::TrainError;

/// A checkpoint of another trainer that cannot be continued here as it is.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ImportError {
    /// The checkpoint cannot be read.
    #[error(transparent)]
    Peer(#[from] PeerError),
    /// The configuration is wrong, or does not fit.
    #[error(transparent)]
    Train(#[from] TrainError),
    /// Something in it has no equal here, or cannot be told from it.
    #[error("{}: {thing}: {reason}", path.display())]
    Refused {
        /// The checkpoint.
        path: PathBuf,
        /// The thing, under a name that a person can look for.
        thing: String,
        /// The reason, and the remedy.
        reason: String,
    },
    /// The configuration says one thing and the checkpoint another.
    #[error(
        "{key} is {in_file} in {} and {in_config} in the configuration; leave it out of the configuration to take the \
         checkpoint's, or decide with `--set {key}=…`",
        path.display()
    )]
    Disagree {
        /// The checkpoint.
        path: PathBuf,
        /// The setting.
        key: String,
        /// Its value in the checkpoint.
        in_file: String,
        /// Its value in the configuration.
        in_config: String,
    },
    /// The file of names cannot be read.
    #[error("{}{}: {reason}", path.display(), line.map(|line| format!(", line {line}")).unwrap_or_default())]
    Names {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1.
        line: Option<usize>,
        /// The fault.
        reason: String,
    },
}

impl ImportError {
    /// Returns the error of something in the checkpoint at `path`.
    pub(super) fn refused(path: &Path, Refusal { thing, reason, .. }: Refusal) -> Self {
        Self::Refused { path: path.to_owned(), thing, reason }
    }
}
