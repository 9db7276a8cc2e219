//! Why a run cannot be watched.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

/// Why a run cannot be watched.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum WatchError {
    /// There is no run.
    #[error("{} is no run: it has no log.jsonl, config.toml or checkpoints; `inspect DIR` lists the runs in a folder", path.display())]
    NoRun {
        /// The path.
        path: PathBuf,
    },
    /// There is nothing at the path.
    #[error("{} does not exist; give the directory of a run, which `train` names when it begins", path.display())]
    Missing {
        /// The path.
        path: PathBuf,
    },
    /// A run in object storage has no log that grows.
    #[error("{} cannot be watched: only runs on a local disk can; `inspect {}` shows where it stands", path.display(), path.display())]
    Url {
        /// The URL.
        path: PathBuf,
    },
    /// stdin or stdout is not a terminal.
    #[error(
        "`inspect watch` needs a terminal; over SSH use `ssh -t`; for a file or a pipe: `inspect RUN` or `inspect plot RUN`"
    )]
    NoTerminal,
    /// The terminal fails.
    #[error("the terminal cannot be used: {source}")]
    Terminal {
        /// The cause.
        source: io::Error,
    },
}

impl From<io::Error> for WatchError {
    fn from(source: io::Error) -> Self {
        Self::Terminal { source }
    }
}
