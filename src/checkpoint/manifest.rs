//! `manifest.json`: which files a checkpoint has, and what is in them to the last bit.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::error::CheckpointError;
use super::name;
use super::written_by::WrittenBy;

const FORMAT: &str = "rekindle.checkpoint";
const VERSION: u64 = 1;

/// The versions of the format that this build reads; it writes the last. Of each the repository has a sample, in
/// `checkpoints`, and a test that goes on from it.
pub const VERSIONS: RangeInclusive<u64> = 1..=VERSION;

/// A manifest of more bytes than this is not read.
pub(super) const LIMIT: u64 = 16 << 20;

/// What `manifest.json` says, its own digest aside.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    format: String,
    /// The version of the format, one of [`VERSIONS`].
    pub version: u64,
    /// The step of the checkpoint: how many updates it holds.
    pub step: u64,
    /// Every other file of the checkpoint, by name.
    pub files: Vec<FileEntry>,
    /// The build and machine that wrote it.
    pub written_by: WrittenBy,
}

/// A file of a checkpoint, as its manifest knows it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct FileEntry {
    /// Its name in the checkpoint's directory.
    pub name: String,
    /// Its size.
    pub bytes: u64,
    /// The BLAKE3 of its content, in hexadecimal.
    pub blake3: String,
}

impl Manifest {
    pub(super) fn new(step: u64, files: Vec<FileEntry>, written_by: WrittenBy) -> Self {
        Self { format: FORMAT.to_owned(), version: VERSION, step, files, written_by }
    }

    /// The manifest as it stands on disk: JSON whose last entry is the seal.
    pub(super) fn to_bytes(&self) -> serde_json::Result<Vec<u8>> {
        let mut bytes = serde_json::to_vec_pretty(self)?;
        bytes.truncate(bytes.len().saturating_sub("\n}".len()));
        bytes.extend_from_slice(b",\n  ");
        let seal = seal(&bytes);
        bytes.extend_from_slice(seal.as_bytes());
        Ok(bytes)
    }

    /// Takes in the manifest at `path`, and believes nothing: its version must be known, its step the one that the
    /// directory is `named` after, every name one that a checkpoint's file can have, and its seal unbroken.
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

    /// The entry of a file that every checkpoint must have.
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

/// Looks at format and version alone, for nothing else in the manifest of another version need be as it is in ours.
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
    CheckpointError::Malformed { path: path.to_owned(), reason: error.to_string() }
}

const SEAL_BYTES: usize = "\"blake3\": \"\"\n}\n".len() + 2 * blake3::OUT_LEN;

/// The end of a manifest: the BLAKE3 of every byte before it. Being of fixed length, it can be checked without
/// agreeing on how JSON is to be written, and no byte of the file is left out.
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
