//! Steps of a run: which folder is the newest complete one.

use std::path::{Path, PathBuf};

use super::super::names;
use super::{CHECKPOINT, JSON, TREE};
use crate::peers::error::PeerError;
use crate::peers::formats::{json, ocdbt};
use crate::peers::peer::Peer;

/// Part of the name of a folder that is being saved; it is renamed at the end.
const UNFINISHED: &str = ".orbax-checkpoint-tmp";

/// The step that is read.
pub(super) struct Step {
    pub(super) folder: PathBuf,
    /// Its number, by its name.
    pub(super) number: Option<u64>,
    /// Names of newer steps that are not complete.
    pub(super) skipped: Vec<String>,
}

/// Returns whether a folder with these names is a step or an item of one.
pub(super) fn is_step(folder: &Path, names: &[String]) -> bool {
    let has = |name: &str| names.iter().any(|known| known == name);
    // Folders with a number are steps, each a tree, rather than items of one.
    let is_item = |name: &String| number(name).is_none() && folder.join(name).join(TREE).is_file();
    has(CHECKPOINT)
        || has(TREE)
        || has(ocdbt::MANIFEST)
        || names.iter().filter(|name| !name.contains(UNFINISHED)).any(is_item)
}

/// Returns the steps in a folder with these names, the newest first.
pub(super) fn steps(folder: &Path, names: &[String]) -> Vec<(u64, String)> {
    let step = |name: &String| {
        let number = number(name)?;
        let names = names_or_none(&folder.join(name))?;
        is_step(&folder.join(name), &names).then(|| (number, name.clone()))
    };
    let mut steps: Vec<(u64, String)> = names.iter().filter_map(step).collect();
    steps.sort_by(|one, other| other.cmp(one));
    steps
}

fn names_or_none(folder: &Path) -> Option<Vec<String>> {
    folder.is_dir().then(|| names(folder).ok()).flatten()
}

/// Returns the number that the name of a step ends with: `10`, `step_10`, `checkpoint_10`.
fn number(name: &str) -> Option<u64> {
    let digits = name.trim_start_matches(|letter: char| !letter.is_ascii_digit());
    digits.parse().ok()
}

/// Chooses the step: the folder itself, or the newest complete one in it.
///
/// # Errors
/// No step is complete.
pub(super) fn choose(folder: &Path, names: &[String]) -> Result<Step, PeerError> {
    if is_step(folder, names) {
        if let Some(reason) = incomplete(folder)? {
            return Err(PeerError::damaged(folder, reason));
        }
        let number = folder.file_name().and_then(|name| number(&name.to_string_lossy()));
        return Ok(Step { folder: folder.to_owned(), number, skipped: Vec::new() });
    }
    let mut skipped: Vec<String> = names.iter().filter(|name| name.contains(UNFINISHED)).cloned().collect();
    for (number, name) in steps(folder, names) {
        let step = folder.join(&name);
        if incomplete(&step)?.is_none() {
            return Ok(Step { folder: step, number: Some(number), skipped });
        }
        skipped.push(name);
    }
    let what = format!("no step in it is complete: {}", skipped.join(", "));
    Err(PeerError::damaged(folder, what))
}

/// Returns why a step is not complete.
fn incomplete(folder: &Path) -> Result<Option<String>, PeerError> {
    if folder.file_name().is_some_and(|name| name.to_string_lossy().contains(UNFINISHED)) {
        return Ok(Some("the save was not finished: take the step before it".to_owned()));
    }
    let metadata = folder.join(CHECKPOINT);
    if metadata.is_file() {
        let tree = json::read(&metadata)?;
        // Written at the start of a save without a time of its end.
        if tree.root().get("commit_timestamp_nsecs").is_some_and(|time| time.is_null()) {
            return Ok(Some(
                "the save was not finished, since it has no time of commit: take the step before it".to_owned(),
            ));
        }
        let names = names(folder)?;
        let is_item = |name: &&String| {
            let item = folder.join(name);
            item.join(TREE).is_file() || item.join(JSON).is_file()
        };
        if !names.iter().any(|name| name == TREE) && names.iter().find(is_item).is_none() {
            return Ok(Some(format!("the step has no item with {TREE}: copy it again")));
        }
    }
    Ok(None)
}

/// Takes the step's number as the number of updates where the tree has none, or says that they differ.
pub(super) fn compare(number: u64, peer: &mut Peer) {
    match peer.updates {
        None => peer.updates = Some(number),
        Some(updates) if updates != number => {
            peer.remarks
                .push(format!("the folder is called {number}, and the state counts {updates} updates, which is taken"));
        }
        Some(_) => {}
    }
}
