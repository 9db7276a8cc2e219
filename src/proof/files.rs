//! Every file of two runs, with its digest.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::path::Path;

use globset::GlobSet;

use super::error::ProofError;
use crate::checkpoint::step_of;

/// A file of two runs, and the digest of its content in each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileDigests {
    /// Its path in the run directory.
    pub name: String,
    /// The BLAKE3 digest of its content in the uninterrupted run, in hexadecimal; `None` if it is missing.
    pub whole: Option<String>,
    /// The same in the run with kills.
    pub killed: Option<String>,
}

impl FileDigests {
    /// Whether both runs have the file with the same content.
    pub fn are_same(&self) -> bool {
        self.whole == self.killed
    }

    /// Returns the step of the checkpoint that contains the file.
    pub fn step(&self) -> Option<u64> {
        Path::new(&self.name).ancestors().find_map(step_of)
    }
}

/// Files of a run directory about its processes.
const OF_PROCESS: [&str; 4] = ["timing.jsonl", "lock", "outcome.json", "restarts.jsonl"];

/// The beginning of the names of TensorBoard's event files, of which each process writes one.
const EVENT_FILE: &str = "events.out.tfevents.";

/// Compares all files of the runs `whole` and `killed` in the order of their names, except files about their process: a
/// checkpoint's manifest, [`OF_PROCESS`], event files, hidden files, and `ignored` ones.
pub(super) fn compare(whole: &Path, killed: &Path, ignored: &GlobSet) -> Result<Vec<FileDigests>, ProofError> {
    let (whole, killed) = (digests(whole, ignored)?, digests(killed, ignored)?);
    let names: BTreeSet<&String> = whole.keys().chain(killed.keys()).collect();
    let file = |name: &String| FileDigests {
        name: name.clone(),
        whole: whole.get(name).cloned(),
        killed: killed.get(name).cloned(),
    };
    Ok(names.into_iter().map(file).collect())
}

fn digests(run: &Path, ignored: &GlobSet) -> Result<BTreeMap<String, String>, ProofError> {
    let mut found = BTreeMap::new();
    collect(run, Path::new(""), ignored, &mut found)?;
    Ok(found)
}

fn collect(
    folder: &Path,
    inside: &Path,
    ignored: &GlobSet,
    found: &mut BTreeMap<String, String>,
) -> Result<(), ProofError> {
    for entry in fs::read_dir(folder).map_err(ProofError::io("list", folder))? {
        let entry = entry.map_err(ProofError::io("list", folder))?;
        let (path, inside) = (entry.path(), inside.join(entry.file_name()));
        let name = inside.to_string_lossy().into_owned();
        let kind = entry.file_type().map_err(ProofError::io("look at", &path))?;
        if entry.file_name().to_string_lossy().starts_with('.') || ignored.is_match(&inside) || is_of_process(&inside) {
            continue;
        }
        if kind.is_dir() {
            collect(&path, &inside, ignored, found)?;
        } else if kind.is_symlink() {
            let target = fs::read_link(&path).map_err(ProofError::io("read", &path))?;
            found.insert(name, blake3::hash(target.as_os_str().as_encoded_bytes()).to_string());
        } else if kind.is_file() {
            let mut hasher = blake3::Hasher::new();
            let hashed = File::open(&path).and_then(|file| hasher.update_reader(file).map(|_| ()));
            hashed.map_err(ProofError::io("read", &path))?;
            found.insert(name, hasher.finalize().to_string());
        }
    }
    Ok(())
}

fn is_of_process(file: &Path) -> bool {
    let is_manifest = || file.ends_with("manifest.json") && file.parent().and_then(step_of).is_some();
    let is_event_file = || file.to_str().is_some_and(|name| name.starts_with(EVENT_FILE));
    OF_PROCESS.iter().any(|name| file == Path::new(name)) || is_manifest() || is_event_file()
}

#[cfg(test)]
mod tests {
    use globset::{Glob, GlobSetBuilder};

    use super::*;

    #[test]
    fn all_files_are_compared_but_those_that_tell_of_their_process() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, content: &str| {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        };
        for (run, clock) in [("whole", "1"), ("killed", "2")] {
            write(&format!("{run}/log.jsonl"), "same");
            write(&format!("{run}/notes/manifest.json"), clock);
            for file in OF_PROCESS.into_iter().chain([
                ".hidden",
                "step-0000000007/manifest.json",
                "events.7",
                "events.out.tfevents.7.rekindle",
            ]) {
                write(&format!("{run}/{file}"), clock);
            }
        }
        write("killed/step-0000000007/state.json", "more");
        let ignored = GlobSetBuilder::new().add(Glob::new("events.*").unwrap()).build().unwrap();
        let found = compare(&folder.path().join("whole"), &folder.path().join("killed"), &ignored).unwrap();
        let told: Vec<_> = found.iter().map(|file| (file.name.as_str(), file.are_same(), file.step())).collect();
        let expected = [
            ("log.jsonl", true, None),
            ("notes/manifest.json", false, None),
            ("step-0000000007/state.json", false, Some(7)),
        ];
        assert_eq!(told, expected);
    }
}
