//! The run directory of a run that another trainer began.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::keeper::Keeper;
use crate::checkpoint::Folder;
use crate::store;
use crate::train::TrainError;
use crate::train::observe::control::Control;
use crate::train::run_dir::directory::RunDirectory;
use crate::train::session::Session;

/// Makes `out` the run directory of `session`, which a resume continues, and returns its first checkpoint.
///
/// If that fails, nothing is left of it.
///
/// # Errors
/// The directory holds a run, another process trains there, or it cannot be written.
pub(crate) fn adopt(session: &Session, out: &Path) -> Result<PathBuf, TrainError> {
    clear_remains(out)?;
    let was_there = out.exists();
    let directory = RunDirectory::create(out)?;
    let checkpoints = directory.checkpoints();
    let keeper = Keeper::enter(session, directory, Control::new(), None);
    if keeper.is_err() && !store::is_url(out) {
        // The error is more helpful than one of tidying up after it.
        let _ = remove(out).and_then(|()| if was_there { Ok(()) } else { fs::remove_dir(out) });
    }
    Ok(keeper?.last_checkpoint.unwrap_or(checkpoints))
}

/// Removes what an import that was killed while it saved has left in `out`: no configuration and no whole checkpoint.
fn clear_remains(out: &Path) -> Result<(), TrainError> {
    let checkpoints = out.join("checkpoints");
    let is_begun = !store::is_url(out) && out.join("lock").is_file() && checkpoints.is_dir();
    if !is_begun || out.join("config.toml").exists() || !Folder::new(&checkpoints).list()?.is_empty() {
        return Ok(());
    }
    let _held = RunDirectory::open(out)?;
    Folder::new(&checkpoints).sweep()?;
    remove(out).map_err(TrainError::write(out, "remove the remains of an import in"))
}

/// Removes the files of a run without checkpoints. A log with lines, and what is not a run's, stays and is an error.
fn remove(run: &Path) -> io::Result<()> {
    let is_gone = |removed: io::Result<()>| match removed {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    };
    is_gone(fs::remove_dir(run.join("checkpoints")))?;
    let log = run.join("log.jsonl");
    if log.metadata().is_ok_and(|log| log.len() > 0) {
        return Err(io::ErrorKind::AlreadyExists.into());
    }
    ["log.jsonl", "timing.jsonl", "config.toml", "lock"]
        .iter()
        .try_for_each(|name| is_gone(fs::remove_file(run.join(name))))
}
