//! Images that have changed since their run began, reported by name.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::listing::some_of;
use super::look::{self, Found};
use super::memory::Memory;
use super::rows::key;
use crate::data::error::ImageError;
use crate::data::{DataError, Fingerprint};

/// Refuses images other than those that the run began with, according to its `memory`. If the run is `told` to skip bad
/// images, missing ones are marked as replaced; damaged ones are left to the caller.
///
/// # Errors
/// An image is new, changed, or missing without that option; or a file cannot be read.
pub(super) fn refuse(
    folder: &Path,
    parts: &mut [(usize, Found)],
    memory: &mut Memory,
    told: bool,
) -> Result<(), DataError> {
    if memory.images.is_empty() {
        return refuse_other_count(folder, parts.len() + memory.replaced.len(), memory.count);
    }
    let there: BTreeSet<String> = parts.iter().map(|(part, found)| key(*part, &found.name)).collect();
    let is_gone = |name: &String| !there.contains(name) && !memory.replaced.contains_key(name);
    let gone: BTreeMap<String, Fingerprint> =
        memory.images.iter().filter(|(name, _)| is_gone(name)).map(|(name, was)| (name.clone(), was.clone())).collect();
    let new: Vec<String> = there.into_iter().filter(|name| !memory.images.contains_key(name)).collect();
    let changed: Vec<String> = changed_but_whole(parts, memory)?;
    let mut said = vec![
        said("new", &new, "move the new files out of the folder"),
        said("changed", &changed, "restore the changed files"),
    ];
    if told {
        memory.replaced.extend(gone);
    } else {
        let gone: Vec<String> = gone.into_keys().collect();
        said.push(self::said("gone", &gone, "restore the missing files, or skip them with `--set data.skip_bad=true`"));
    }
    let (changes, remedies): (Vec<String>, Vec<&str>) = said.into_iter().flatten().unzip();
    if changes.is_empty() {
        return Ok(());
    }
    let (path, changes, remedies) = (folder.to_owned(), changes.join("; "), remedies.join("; "));
    Err(ImageError::OtherImages { path, changes, remedies }.into())
}

/// For more images only their number is known, and in old checkpoints not even that.
fn refuse_other_count(folder: &Path, found: usize, were: Option<usize>) -> Result<(), DataError> {
    match were.filter(|were| *were != found) {
        Some(were) => Err(ImageError::OtherCount { path: folder.to_owned(), were, found }.into()),
        None => Ok(()),
    }
}

/// Returns the names of the images that have changed and are not damaged.
fn changed_but_whole(parts: &mut [(usize, Found)], memory: &Memory) -> Result<Vec<String>, DataError> {
    let is_other = |part: usize, found: &Found| {
        memory.images.get(&key(part, &found.name)).is_some_and(|was| *was != found.fingerprint())
    };
    let mut others: Vec<&mut (usize, Found)> =
        parts.iter_mut().filter(|(part, found)| is_other(*part, found)).collect();
    look::at_pixels(others.iter_mut().map(|(_, found)| found))?;
    let whole = others.iter().filter(|(_, found)| found.size.is_ok());
    Ok(whole.map(|(part, found)| key(*part, &found.name)).collect())
}

/// Returns a list of images with their change, and its remedy; `None` if there are none.
fn said<'a>(what: &str, names: &[String], remedy: &'a str) -> Option<(String, &'a str)> {
    let shown: Vec<&str> = names.iter().map(String::as_str).collect();
    (!names.is_empty()).then(|| (format!("{} {what}: {}", names.len(), some_of(&shown)), remedy))
}
