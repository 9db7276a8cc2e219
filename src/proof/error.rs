//! Why there can be no proof.

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::checkpoint::CheckpointError;
use crate::report::diff::DiffError;

/// Why there can be no proof, one way or the other.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ProofError {
    /// The directory to work in is in use.
    #[error("{} is not empty; choose another directory with --out, or remove it", path.display())]
    NotEmpty {
        /// The directory.
        path: PathBuf,
    },
    /// A file or directory cannot be read or written.
    #[error("cannot {operation} {}: {error}", path.display())]
    Io {
        /// What was tried.
        operation: &'static str,
        /// On what.
        path: PathBuf,
        /// Why it failed.
        error: io::Error,
    },
    /// A program cannot be started.
    #[error("cannot start {program}: {error}")]
    NotStarted {
        /// The program.
        program: String,
        /// Why.
        error: io::Error,
    },
    /// A command that cannot be told where to run.
    #[error("the command `{command}` does not say where its run directory goes; write {{out}} in its place")]
    NoPlace {
        /// The command.
        command: String,
    },
    /// A pattern of files that is none.
    #[error("--ignore {pattern}: {reason}")]
    Pattern {
        /// The pattern.
        pattern: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The program fails by itself.
    #[error("there is nothing to prove, for the program fails without being killed: {how}{said}")]
    Fails {
        /// How it ended.
        how: String,
        /// What it said last.
        said: String,
    },
    /// The program leaves nothing that could be compared.
    #[error(
        "there is nothing to prove, for the run left no checkpoint in {} or its folder `checkpoints`",
        path.display()
    )]
    NoCheckpoint {
        /// The run directory.
        path: PathBuf,
    },
    /// A signal has asked to stop.
    #[error("stopped by signal {signal}; nothing is proved, and what was made is removed")]
    Stopped {
        /// Its number.
        signal: i32,
    },
    /// The runs are there, and cannot be compared.
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

    /// For `map_err`: what was tried on which path.
    pub(super) fn io(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |error| Self::Io { operation, path, error }
    }
}
