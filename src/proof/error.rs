//! Errors of a kill test.

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::checkpoint::CheckpointError;
use crate::report::diff::DiffError;

/// Errors that prevent a result of the kill test.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ProofError {
    /// The working directory is in use.
    #[error("{} is not empty; choose another directory with --out, or remove it", path.display())]
    NotEmpty {
        /// The directory.
        path: PathBuf,
    },
    /// A file or directory cannot be read or written.
    #[error("cannot {operation} {}: {error}", path.display())]
    Io {
        /// The attempted operation.
        operation: &'static str,
        /// Its path.
        path: PathBuf,
        /// The cause.
        error: io::Error,
    },
    /// A program cannot be started.
    #[error("cannot start {program}: {error}")]
    NotStarted {
        /// The program.
        program: String,
        /// The cause.
        error: io::Error,
    },
    /// A command without a place for its run directory.
    #[error("the command `{command}` has no place for its run directory; write {{out}} there")]
    NoPlace {
        /// The command.
        command: String,
    },
    /// An invalid pattern of files.
    #[error("--ignore {pattern}: {reason}")]
    Pattern {
        /// The pattern.
        pattern: String,
        /// The fault.
        reason: String,
    },
    /// The program fails without being killed.
    #[error("nothing can be tested, because the program fails without being killed: {how}{said}")]
    Fails {
        /// How it ended.
        how: String,
        /// The end of its output.
        said: String,
    },
    /// The program leaves nothing to compare.
    #[error(
        "nothing can be tested, because the run left no checkpoint in {} or its folder `checkpoints`, nor one of another trainer that `inspect` reads",
        path.display()
    )]
    NoCheckpoint {
        /// The run directory.
        path: PathBuf,
    },
    /// A signal asked to stop.
    #[error("stopped by signal {signal}; there is no result, and the test's files are removed")]
    Stopped {
        /// Its number.
        signal: i32,
    },
    /// The runs cannot be compared.
    #[error(transparent)]
    Diff(#[from] DiffError),
    /// The checkpoints of a run cannot be listed.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
}

impl ProofError {
    /// Whether both runs are complete.
    pub(super) fn is_about_comparing(&self) -> bool {
        matches!(self, Self::Diff(_) | Self::Checkpoint(_))
    }

    /// For `map_err`: adds the operation and its path.
    pub(super) fn io(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |error| Self::Io { operation, path, error }
    }
}
