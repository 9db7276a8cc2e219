//! Errors of a sweep, each with its remedy.

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::report::LogError;
use crate::train::TrainError;
use crate::{remedy, shell, store};

/// Errors of a sweep.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SweepError {
    /// The file of a sweep cannot be read.
    #[error(
        "cannot read the sweep {}: {source}{}", path.display(),
        read_remedy(path, source)
    )]
    Read {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The file of a sweep is wrong.
    #[error("{origin}: {reason}")]
    File {
        /// The file, and the line where it is known.
        origin: String,
        /// The fault.
        reason: String,
    },
    /// A parameter, or a value of it, does not fit the configuration.
    #[error("{}: [parameters], trial {trial}: {field}: {reason}", file.display())]
    Parameter {
        /// The file of the sweep.
        file: PathBuf,
        /// The first trial with it.
        trial: usize,
        /// The field of the configuration.
        field: String,
        /// The fault.
        reason: String,
    },
    /// The configuration without the parameters is wrong.
    #[error(transparent)]
    Config(#[from] TrainError),
    /// The directory or URL holds something else.
    #[error("{} {reason}", path.display())]
    Directory {
        /// The directory, or a file in it.
        path: PathBuf,
        /// Why it cannot be used, and the remedy.
        reason: String,
    },
    /// A file or folder of the sweep cannot be written.
    #[error("{}: cannot {operation}: {source}{}", path.display(), after(path, source))]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// The operation.
        operation: &'static str,
        /// The cause.
        source: io::Error,
    },
    /// A trial has come to a rung, or to its end, without a value of the metric.
    #[error(
        "trial {trial} has no {metric} after {step} steps, so it cannot be judged: see that the configuration measures \
         it by then (`data.validation`, `validation.every`), or set another `metric`; its run is {}",
        shell::path(run)
    )]
    Unmeasured {
        /// The trial.
        trial: usize,
        /// The metric.
        metric: String,
        /// The number of its updates.
        step: u64,
        /// Its run directory.
        run: PathBuf,
    },
    /// The log of a trial cannot be read.
    #[error(transparent)]
    Log(#[from] LogError),
}

impl SweepError {
    /// For `map_err`: a failed write to `path`.
    pub(super) fn write(path: &Path, operation: &'static str) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Write { path, operation, source }
    }
}

fn read_remedy(path: &Path, source: &io::Error) -> String {
    if store::is_url(path) {
        return store::remedy(source).to_owned();
    }
    let usual = "give the path of a TOML file with `config`, `[search]` and `[parameters]`";
    format!("; {}", remedy::of(source).unwrap_or(usual))
}

/// Returns the remedy for an error at a path or URL, as it follows in a message.
fn after(path: &Path, source: &io::Error) -> String {
    if store::is_url(path) { store::remedy(source).to_owned() } else { remedy::after(source) }
}
