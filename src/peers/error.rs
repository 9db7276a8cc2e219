//! Errors of reading another trainer's checkpoint.

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::remedy;

/// A checkpoint of another trainer that cannot be read.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum PeerError {
    /// The operating system refuses.
    #[error("{}: {source}{}", path.display(), remedy::after(source))]
    Io {
        /// File or folder.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// The file is not what its format says: cut off, damaged, or made to mislead.
    #[error("{}: {what}", path.display())]
    Damaged {
        /// File or folder.
        path: PathBuf,
        /// The fault, and its place in the file.
        what: String,
    },
    /// The file may be valid, but holds something that is not read: the thing is named, with the remedy.
    #[error("{}: {what}", path.display())]
    Unsupported {
        /// File or folder.
        path: PathBuf,
        /// The thing that is not read, and the remedy.
        what: String,
    },
    /// No known trainer writes such a file or folder.
    #[error("{}: {what}", path.display())]
    Unknown {
        /// File or folder.
        path: PathBuf,
        /// The kinds that were looked for.
        what: String,
    },
}

impl PeerError {
    /// Returns the error of the operating system for `path`.
    pub fn io(path: impl Into<PathBuf>, source: io::Error) -> Self {
        Self::Io { path: path.into(), source }
    }

    /// Returns the error of a file that is not what its format says.
    pub fn damaged(path: impl Into<PathBuf>, what: impl Into<String>) -> Self {
        Self::Damaged { path: path.into(), what: what.into() }
    }

    /// Returns the error of a file that holds something that is not read.
    pub fn unsupported(path: impl Into<PathBuf>, what: impl Into<String>) -> Self {
        Self::Unsupported { path: path.into(), what: what.into() }
    }

    /// Returns the error of a file that no known trainer writes.
    pub fn unknown(path: impl Into<PathBuf>, what: impl Into<String>) -> Self {
        Self::Unknown { path: path.into(), what: what.into() }
    }

    /// Returns the file or folder that it is about.
    pub fn path(&self) -> &Path {
        match self {
            Self::Io { path, .. }
            | Self::Damaged { path, .. }
            | Self::Unsupported { path, .. }
            | Self::Unknown { path, .. } => path,
        }
    }

    /// Returns whether the file itself is bad, rather than not there or not supported.
    pub fn is_damage(&self) -> bool {
        matches!(self, Self::Damaged { .. })
    }
}
