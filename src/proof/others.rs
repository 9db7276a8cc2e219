//! Checkpoints of other trainers in a run directory, found and compared through the readers of [`crate::peers`].

use std::fs;
use std::path::{Path, PathBuf};

use globset::GlobSet;

use crate::checkpoint::{is_temporary, step_of};
use crate::peers::difference::{Unlike, between};
use crate::peers::{self, Peer};

/// A checkpoint of another trainer that both runs have, but not alike.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OtherCheckpoint {
    /// Its path in the run directory.
    pub name: String,
    /// Updates (or epochs) after which the uninterrupted run wrote it, where the file tells.
    pub after: Option<u64>,
    /// The differences: the uninterrupted run's value first.
    pub unlike: Vec<Unlike>,
}

/// Levels of folders in which checkpoints are looked for.
const DEEPEST: usize = 6;
/// Most files and folders that are looked at.
const MOST: usize = 10_000;
/// Endings of logs and configurations, which are not opened as checkpoints.
const TEXTS: [&str; 7] = ["json", "jsonl", "csv", "txt", "log", "toml", "yaml"];

/// A checkpoint that was found.
pub(super) struct Found {
    name: PathBuf,
    peer: Peer,
}

impl Found {
    fn after(&self) -> Option<u64> {
        self.peer.updates.or(self.peer.epochs.map(|epochs| epochs as u64))
    }
}

/// Returns all checkpoints in a run directory, by updates and names. Whatever cannot be read is no checkpoint: a kill
/// may have cut it off.
pub(super) fn list(run: &Path) -> Vec<Found> {
    let (mut found, mut left) = (Vec::new(), MOST);
    collect(run, Path::new(""), 0, &mut left, &mut found);
    found.sort_by(|a, b| (a.after(), &a.name).cmp(&(b.after(), &b.name)));
    found
}

fn collect(folder: &Path, inside: &Path, depth: usize, left: &mut usize, found: &mut Vec<Found>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let (path, name) = (entry.path(), inside.join(entry.file_name()));
        // A checkpoint of ours, whole or not, does not count as another trainer's.
        let is_ours = step_of(&path).is_some() || is_temporary(&entry.file_name().to_string_lossy());
        let is_hidden = entry.file_name().to_string_lossy().starts_with('.');
        let is_text = path.extension().is_some_and(|ending| TEXTS.iter().any(|text| ending == *text));
        if is_ours || is_hidden || is_text || *left == 0 {
            continue;
        }
        *left -= 1;
        let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
        match peers::open(&path) {
            Ok(peer) => found.push(Found { name, peer }),
            Err(_) if is_folder && depth < DEEPEST => collect(&path, &name, depth + 1, left, found),
            Err(_) => {}
        }
    }
}

/// Returns the updates after which the newest checkpoint was written; `None` where no file tells.
pub(super) fn newest(run: &Path) -> Option<u64> {
    list(run).iter().filter_map(Found::after).max()
}

/// Compares the checkpoints that both runs have under one name, but those that are ignored.
pub(super) fn compare(whole: &Path, killed: &Path, ignored: &GlobSet) -> Vec<OtherCheckpoint> {
    let in_killed = list(killed);
    let differs = |ours: &Found| {
        let theirs = in_killed.iter().find(|other| other.name == ours.name)?;
        let unlike = between(&ours.peer, &theirs.peer);
        let name = ours.name.to_string_lossy().into_owned();
        (!unlike.is_empty()).then_some(OtherCheckpoint { name, after: ours.after(), unlike })
    };
    list(whole).iter().filter(|found| !ignored.is_match(&found.name)).filter_map(differs).collect()
}
