//! Finding checkpoints: which are at a path, and which of them is the newest that is valid.

use std::path::{Path, PathBuf};
use std::{fs, io};

use serde_json::Value;

use super::TrainError;
use super::run_dir::log;
use super::run_dir::log_order::Order;
use super::run_dir::place::{Place, what_is};
use super::session::began_at;
use crate::checkpoint::{self, Checkpoint, CheckpointError, Damaged, Folder, Manifest, Outline};
use crate::memory::{self, Need};

/// Returns the checkpoint that a resume of `path` would use, and a message for each skipped damaged one.
///
/// # Errors
/// There is no checkpoint, or none is valid.
pub fn newest_at(path: &Path) -> Result<(Checkpoint, Vec<String>), TrainError> {
    match what_is(path)? {
        Place::Run(run) => newest(&run.join("checkpoints"), false),
        Place::Folder(folder) => newest(&folder, false),
        Place::Single(path) => single(&path),
    }
}

/// Like [`newest_at`], but reads only the checkpoint's outline, which is quick for large and remote ones.
///
/// # Errors
/// As [`newest_at`], for the parts that are read.
pub fn newest_outline_at(path: &Path) -> Result<(Outline, Vec<String>), TrainError> {
    let folder = match what_is(path)? {
        Place::Run(run) => run.join("checkpoints"),
        Place::Folder(folder) => folder,
        Place::Single(path) => return Ok((Outline::read(&path)?, Vec::new())),
    };
    let newest = Folder::new(folder).newest_outline()?;
    let mut messages: Vec<String> = newest.damaged.iter().map(passed_over).collect();
    messages.extend(beside(newest.checkpoint.path(), newest.checkpoint.manifest()));
    Ok((newest.checkpoint, messages))
}

/// Returns the folder of the checkpoints of the run at `path`, or `path` itself if it is such a folder; `None` if it is
/// one checkpoint.
///
/// # Errors
/// There is neither.
pub fn folder_of(path: &Path) -> Result<Option<PathBuf>, TrainError> {
    Ok(match what_is(path)? {
        Place::Run(run) => Some(run.join("checkpoints")),
        Place::Folder(folder) => Some(folder),
        Place::Single(_) => None,
    })
}

/// Returns the directories of all checkpoints at `path`, oldest first, valid or not.
///
/// # Errors
/// There are none.
pub fn all_at(path: &Path) -> Result<Vec<PathBuf>, TrainError> {
    let folder = match what_is(path)? {
        Place::Run(run) => run.join("checkpoints"),
        Place::Folder(folder) => folder,
        Place::Single(path) => return Ok(vec![path]),
    };
    let found = Folder::new(&folder).list()?;
    if found.is_empty() {
        return Err(CheckpointError::Empty { folder }.into());
    }
    Ok(found.into_iter().map(|(_, path)| path).collect())
}

/// Returns the path of the log of the run at `path` with the order of its lines, if the newest checkpoint has step
/// `steps`; `None` for checkpoints outside a run.
///
/// # Errors
/// The log cannot be read.
pub fn log_order_at(path: &Path, steps: u64) -> Result<Option<(PathBuf, Order)>, TrainError> {
    let Place::Run(run) = what_is(path)? else { return Ok(None) };
    let file = run.join("log.jsonl");
    let newest = Folder::new(run.join("checkpoints")).newest_outline();
    let history = newest.ok().and_then(|newest| newest.checkpoint.field("history").cloned());
    let first = history.as_ref().and_then(Value::as_array).map_or(0, |history| began_at(history));
    // Without a log, every line is missing.
    let read = || Order::of(log::read(&run)?.unwrap_or_else(|| Box::new(io::empty())), first..steps);
    let order = read().map_err(|source| TrainError::Unopened { path: file.clone(), source })?;
    Ok(Some((file, order)))
}

/// Reads the checkpoint at `path`, if it fits in memory.
fn read(path: &Path) -> Result<Checkpoint, TrainError> {
    require_room(path)?;
    Ok(Checkpoint::read(path)?)
}

/// Refuses a checkpoint on the local disk that does not fit in memory.
fn require_room(checkpoint: &Path) -> Result<(), TrainError> {
    let files = fs::read_dir(checkpoint).into_iter().flatten().flatten();
    let bytes = files.filter_map(|file| Some(file.metadata().ok()?.len())).fold(0, u64::saturating_add);
    let needs = vec![Need::new("its files", bytes, "")];
    let remedies = vec!["a machine, or a limit, with more memory".to_owned()];
    Ok(memory::require(&checkpoint.display().to_string(), needs, 0, remedies)?)
}

/// Returns the newest valid checkpoint in `folder`, and a message for each newer invalid one; with `strict` the newest
/// of all, which must be valid.
pub(super) fn newest(folder: &Path, strict: bool) -> Result<(Checkpoint, Vec<String>), TrainError> {
    if let Some((_, path)) = Folder::new(folder).list()?.last() {
        require_room(path)?;
    }
    let mut newest = Folder::new(folder).require_newest()?;
    if strict && !newest.damaged.is_empty() {
        let (error, valid) = (newest.damaged.swap_remove(0).error, newest.checkpoint.path().to_owned());
        return Err(TrainError::Strict { error: Box::new(error), valid });
    }
    let mut messages: Vec<String> = newest.damaged.iter().map(passed_over).collect();
    messages.extend(beside(newest.checkpoint.path(), newest.checkpoint.manifest()));
    Ok((newest.checkpoint, messages))
}

/// Returns the checkpoint at `path`, and messages for the user.
pub(super) fn single(path: &Path) -> Result<(Checkpoint, Vec<String>), TrainError> {
    let checkpoint = read(path)?;
    let messages = beside(path, checkpoint.manifest()).collect();
    Ok((checkpoint, messages))
}

/// Returns a warning for each file in a checkpoint that does not belong to it. If they cannot be listed, there is no
/// warning, because they are never read.
fn beside(path: &Path, manifest: &Manifest) -> impl Iterator<Item = String> + use<> {
    let foreign = checkpoint::foreign_files(path, manifest).unwrap_or_default();
    foreign.into_iter().map(|path| format!("warning: {}", not_a_part(&path)))
}

/// Returns the warning for a file in a checkpoint's directory that is not in its manifest.
pub fn not_a_part(path: &Path) -> String {
    format!("{} does not belong to the checkpoint, and is ignored", path.display())
}

fn passed_over(damaged: &Damaged) -> String {
    format!("warning: skipped a damaged checkpoint: {damaged}")
}
