//! Entry points for fuzzing internal parsers of untrusted files.

use std::path::Path;

use super::TrainError;
use super::run_dir::log::{self, Log};

/// Truncates the log at `path` to the lines of the first `steps` updates, like a resume.
///
/// # Errors
/// It cannot be read or written.
pub fn cut_log(path: &Path, steps: u64) -> Result<(), TrainError> {
    Log::open(path, 0..steps, None).map(drop)
}

/// Copies these lines of the log in the run directory `run` to a new log, like a run that branches off.
///
/// # Errors
/// The log cannot be read, or the copy cannot be written.
pub fn copy_log(run: &Path, to: &Path, steps: u64) -> Result<(), TrainError> {
    log::copy_before(run, to, steps)
}
