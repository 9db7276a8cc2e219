//! Another trainer's run, looked at: where it stands, with which rates, and what a resume needs that its file lacks.

mod details;
pub mod diff;
mod labels;
mod plan;
mod rates;
mod status;
mod tensors;
mod text;

use std::fs;
use std::path::{Path, PathBuf};

use crate::report::Runs;
use crate::store;
use crate::train::TrainError;
use crate::train::run_dir::place::what_is;

pub use plan::plan;
pub use status::{PeerFile, PeerStatus, Reading, Writer};

/// Returns whether there is something at `path` that is not a run of Rekindle, so that another trainer may have written
/// it.
pub fn may_be_a_peer(path: &Path) -> bool {
    if store::is_url(path) {
        return false;
    }
    path.is_file()
        || path.is_dir()
            && Runs::in_folder(path).is_none()
            && matches!(what_is(path), Err(TrainError::NothingToResume { .. }))
}

/// Endings of the files that trainers write their checkpoints to.
const ENDINGS: &[&str] = &["ckpt", "h5", "keras", "msgpack", "pt", "pth", "tar"];

/// Returns the first few files and folders in `folder` that look like checkpoints of other trainers, by their names.
pub fn checkpoints_in(folder: &Path) -> Vec<PathBuf> {
    const MOST: usize = 10;
    let looks = |path: &PathBuf| {
        let is_file = path.extension().is_some_and(|ending| ENDINGS.iter().any(|known| ending == *known));
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        is_file
            || name.starts_with("checkpoint-")
            || name.starts_with("global_step")
            || path.join(".metadata").is_file()
    };
    let entries = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut found: Vec<PathBuf> = entries.filter(looks).collect();
    found.sort();
    found.truncate(MOST);
    found
}
