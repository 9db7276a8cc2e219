//! `manifest.json`: the list of a checkpoint's files, with their digests.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::error::CheckpointError;
use super::name;
use super::written_by::WrittenBy;
use crate::plain;

const FORMAT: &str = "rekindle.checkpoint";
const VERSION: u64 = 1;

/// The versions of the format that this build reads; it writes the last. The repository has a sample of each, in
/// `checkpoints`, and a test that resumes it.
pub const VERSIONS: RangeInclusive<u64> = 1..=VERSION;

/// Maximal size of a manifest in bytes.
pub(super) const LIMIT: u64 = 16 << 20;

/// The content of `manifest.json`, except for its own digest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    format: String,
    /// The version of the format, one of [`VERSIONS`].
    pub version: u64,
    /// The step of the checkpoint: the number of its updates.
    pub step: u64,
    /// Every other file of the checkpoint, by name.
    pub files: Vec<FileEntry>,
    /// The build and machine that wrote it.
    pub written_by: WrittenBy,
}

/// A file of a checkpoint in the manifest.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct FileEntry {
    /// Its name in the checkpoint's directory.
    pub name: String,
    /// Its size in bytes.
    pub bytes: u64,
    /// The BLAKE3 of its content, in hexadecimal.
    pub blake3: String,
}

impl Manifest {
    pub(super) fn new(step: u64, files: Vec<FileEntry>, written_by: WrittenBy) -> Self {
        Self { format: FORMAT.to_owned(), version: VERSION, step, files, written_by }
    }

    /// Encodes the manifest: JSON with the seal as the last entry.
    pub(super) fn to_bytes(&self) -> serde_json::Result<Vec<u8>> {
        let mut bytes = serde_json::to_vec_pretty(self)?;
        bytes.truncate(bytes.len().saturating_sub("\n}".len()));
        bytes.extend_from_slice(b",\n  ");
        let seal = seal(&bytes);
        bytes.extend_from_slice(seal.as_bytes());
        Ok(bytes)
    }

    /// Parses the manifest at `path`, without trusting it: its version must be known, its step that of the directory's
    /// name `named`, every name valid for a checkpoint's file, and its seal correct.
    pub(super) fn parse(bytes: &[u8], path: &Path, named: u64) -> Result<Self, CheckpointError> {
        check_format(bytes, path)?;
        let manifest: Self = serde_json::from_slice(bytes).map_err(|error| malformed(path, &error))?;
        if manifest.step != named {
            return Err(CheckpointError::Step { path: path.to_owned(), found: manifest.step, named });
        }
        manifest.check_names(path)?;
        let body = bytes.len().checked_sub(SEAL_BYTES).and_then(|end| bytes.split_at_checked(end));
        match body {
            Some((body, tail)) if tail == seal(body).as_bytes() => Ok(manifest),
            _ => Err(CheckpointError::Seal { path: path.to_owned() }),
        }
    }

    /// Returns the entry of a file that every checkpoint must have.
    pub(super) fn entry(&self, name: &str, path: &Path) -> Result<&FileEntry, CheckpointError> {
        let missing = || CheckpointError::NotListed { path: path.to_owned(), name: name.to_owned() };
        self.files.iter().find(|file| file.name == name).ok_or_else(missing)
    }

    fn check_names(&self, path: &Path) -> Result<(), CheckpointError> {
        let mut seen = BTreeSet::new();
        for FileEntry { name, .. } in &self.files {
            if name != name::STATE && name::part_of(name).is_none() {
                return Err(CheckpointError::FileName { path: path.to_owned(), name: name.clone() });
            }
            if !seen.insert(name) {
                return Err(CheckpointError::ListedTwice { path: path.to_owned(), name: name.clone() });
            }
        }
        self.entry(name::STATE, path).map(|_| ())
    }
}

/// Checks only format and version, because the rest of the manifest may differ in other versions.
fn check_format(bytes: &[u8], path: &Path) -> Result<(), CheckpointError> {
    #[derive(Deserialize)]
    struct Head {
        format: String,
        version: u64,
    }
    let head: Head = serde_json::from_slice(bytes).map_err(|error| malformed(path, &error))?;
    if head.format != FORMAT {
        return Err(CheckpointError::Format { path: path.to_owned(), found: head.format, expected: FORMAT });
    }
    match head.version {
        version if VERSIONS.contains(&version) => Ok(()),
        0 => Err(CheckpointError::Malformed { path: path.to_owned(), reason: "there is no version 0".to_owned() }),
        found => Err(CheckpointError::Version { path: path.to_owned(), found, known: VERSION }),
    }
}

fn malformed(path: &Path, error: &serde_json::Error) -> CheckpointError {
    CheckpointError::Malformed { path: path.to_owned(), reason: plain::of_serde(&error.to_string()) }
}

const SEAL_BYTES: usize = "\"blake3\": \"\"\n}\n".len() + 2 * blake3::OUT_LEN;

/// Returns the end of a manifest: the BLAKE3 of every byte before it. It has a fixed length, so it can be checked
/// without a canonical form of JSON, and it covers every byte of the file.
fn seal(body: &[u8]) -> String {
    format!("\"blake3\": \"{}\"\n}}\n", blake3::hash(body).to_hex())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_comes_back_as_it_was_and_is_plain_json() {
        let entry = |name: &str| FileEntry { name: name.into(), bytes: 3, blake3: blake3::hash(b"abc").to_string() };
        let files = vec![entry("model.safetensors"), entry("state.json")];
        let manifest = Manifest::new(7, files, WrittenBy::this_build("cpu"));
        let bytes = manifest.to_bytes().unwrap();
        assert_eq!(Manifest::parse(&bytes, Path::new("manifest.json"), 7).unwrap(), manifest);
        let json: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
        assert_eq!(json["format"], "rekindle.checkpoint");
        assert_eq!(json["version"], 1);
        assert_eq!(json["files"][0]["name"], "model.safetensors");
        assert_eq!(json["blake3"].as_str().unwrap().len(), 64);
    }
}
