//! Errors of exporting and drawing a log.

use std::io;
use std::path::PathBuf;

/// Errors of exporting and drawing a log.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LogError {
    /// There is no log.
    #[error("{} has no log.jsonl; give a run directory, its URL, or a log", path.display())]
    NoLog {
        /// The path that was given.
        path: PathBuf,
    },
    /// The log cannot be read.
    #[error("the log of {} cannot be read: {source}", path.display())]
    Unread {
        /// The path that was given.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
    /// A file cannot be written.
    #[error("{} cannot be written: {source}; choose another place with --output", path.display())]
    Unwritten {
        /// The file.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
    /// The log cannot be read on, or the output not be written.
    #[error("the log cannot be copied: {source}")]
    Output {
        /// The reason.
        #[from]
        source: io::Error,
    },
    /// This build has no Parquet files.
    #[error("this program is built without Parquet files; build it with --features parquet, or choose csv")]
    NoParquet,
    /// The log has no lines.
    #[error("the log of {} has no steps yet", path.display())]
    NoSteps {
        /// The run.
        path: PathBuf,
    },
    /// The log has no such number in any line.
    #[error("the log of {} has no numbers `{metric}`; it has {}", path.display(), known.join(", "))]
    NoMetric {
        /// The run.
        path: PathBuf,
        /// The name that was given.
        metric: String,
        /// The names in the log.
        known: Vec<String>,
    },
    /// The length of an epoch is not known.
    #[error("{} has less than an epoch in its log, and no checkpoint that tells its length; use --x step", path.display())]
    NoEpochs {
        /// The run.
        path: PathBuf,
    },
    /// The times of steps are not known.
    #[error("{} has no times of its steps in timing.jsonl; use --x step", path.display())]
    NoTimes {
        /// The run.
        path: PathBuf,
    },
}
