//! What reads a file that nobody vouches for and has no public face of its own: for tests with hostile input.

use std::path::Path;

use super::TrainError;
use super::run_dir::log::{self, Log};

/// Cuts the log at `path` back to the lines of the first `steps` updates, as a resume does.
///
/// # Errors
/// When it cannot be read or written.
pub fn cut_log(path: &Path, steps: u64) -> Result<(), TrainError> {
    Log::open(path, steps, None).map(drop)
}

/// Copies those lines of the log in the run directory `run` to a new log, as a run does that branches off.
///
/// # Errors
/// When the log cannot be read, or the copy not be written.
pub fn copy_log(run: &Path, to: &Path, steps: u64) -> Result<(), TrainError> {
    log::copy_before(run, to, steps)
}
