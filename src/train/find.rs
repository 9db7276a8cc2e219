//! Finding checkpoints: which are at a path, and which of them is the newest that is valid.

use std::path::{Path, PathBuf};
use std::{fs, io};

use super::TrainError;
use super::run_dir::log;
use super::run_dir::log_order::Order;
use super::run_dir::place::{Place, what_is};
use crate::checkpoint::{self, Checkpoint, CheckpointError, Damaged, Folder, Manifest, Outline};
use crate::memory::{self, Need};

/// The checkpoint that a resume of `path` would take, and a message for each damaged one that is passed over.
///
/// # Errors
/// When there is none, or none is valid.
pub fn newest_at(path: &Path) -> Result<(Checkpoint, Vec<String>), TrainError> {
    match what_is(path)? {
        Place::Run(run) => newest(&run.join("checkpoints"), false),
        Place::Folder(folder) => newest(&folder, false),
        Place::Single(path) => single(&path),
    }
}

/// As [`newest_at`], and of the checkpoint no more than its outline, which is quick where it is large and far away.
///
/// # Errors
/// As [`newest_at`], for what is looked at.
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

/// The folder of the checkpoints of the run at `path`, or `path`, where that is such a folder; none where it is one
/// checkpoint.
///
/// # Errors
/// When there is nothing of the kind.
pub fn folder_of(path: &Path) -> Result<Option<PathBuf>, TrainError> {
    Ok(match what_is(path)? {
        Place::Run(run) => Some(run.join("checkpoints")),
        Place::Folder(folder) => Some(folder),
        Place::Single(_) => None,
    })
}

/// The directories of all checkpoints at `path`, oldest first, whether or not they are valid.
///
/// # Errors
/// When there is none.
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

/// The order of the lines in the log of the run at `path`, with the log's place, where the newest checkpoint is of step
/// `steps`; `None` for checkpoints outside a run.
///
/// # Errors
/// When the log cannot be read.
pub fn log_order_at(path: &Path, steps: u64) -> Result<Option<(PathBuf, Order)>, TrainError> {
    let Place::Run(run) = what_is(path)? else { return Ok(None) };
    let file = run.join("log.jsonl");
    // Without a log, every line is missing.
    let read = || Order::of(log::read(&run)?.unwrap_or_else(|| Box::new(io::empty())), steps);
    let order = read().map_err(|source| TrainError::Unopened { path: file.clone(), source })?;
    Ok(Some((file, order)))
}

/// The checkpoint at `path`, where it fits in memory.
fn read(path: &Path) -> Result<Checkpoint, TrainError> {
    require_room(path)?;
    Ok(Checkpoint::read(path)?)
}

/// Refuses a checkpoint on this machine's disk that does not fit in memory.
fn require_room(checkpoint: &Path) -> Result<(), TrainError> {
    let files = fs::read_dir(checkpoint).into_iter().flatten().flatten();
    let bytes = files.filter_map(|file| Some(file.metadata().ok()?.len())).fold(0, u64::saturating_add);
    let needs = vec![Need::new("its files", bytes, "")];
    let remedies = vec!["a machine, or a limit, with more memory".to_owned()];
    Ok(memory::require(&checkpoint.display().to_string(), needs, 0, remedies)?)
}

/// The newest valid checkpoint in `folder`, and a message for each newer one that is not; with `strict` the newest of
/// all, which must be valid.
pub(super) fn newest(folder: &Path, strict: bool) -> Result<(Checkpoint, Vec<String>), TrainError> {
    if let Some((_, path)) = Folder::new(folder).list()?.last() {
        require_room(path)?;
    }
    let mut newest = Folder::new(folder).require_newest()?;
    if strict && !newest.damaged.is_empty() {
        return Err(newest.damaged.swap_remove(0).error.into());
    }
    let mut messages: Vec<String> = newest.damaged.iter().map(passed_over).collect();
    messages.extend(beside(newest.checkpoint.path(), newest.checkpoint.manifest()));
    Ok((newest.checkpoint, messages))
}

/// The checkpoint at `path`, and what a person should know of it.
pub(super) fn single(path: &Path) -> Result<(Checkpoint, Vec<String>), TrainError> {
    let checkpoint = read(path)?;
    let messages = beside(path, checkpoint.manifest()).collect();
    Ok((checkpoint, messages))
}

/// A warning for each file in a checkpoint that is no part of it. Where they cannot be listed, there is nothing to say:
/// nothing reads them.
fn beside(path: &Path, manifest: &Manifest) -> impl Iterator<Item = String> + use<> {
    let foreign = checkpoint::foreign_files(path, manifest).unwrap_or_default();
    foreign.into_iter().map(|path| format!("warning: {}", not_a_part(&path)))
}

/// The warning for a file in a checkpoint's directory that its manifest does not list.
pub fn not_a_part(path: &Path) -> String {
    format!("{} is no part of the checkpoint, and nothing reads it", path.display())
}

fn passed_over(damaged: &Damaged) -> String {
    format!("passed over a damaged checkpoint: {damaged}")
}
