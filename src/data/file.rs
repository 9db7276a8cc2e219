//! A data file: its content, unpacked where it is gzip, and the fingerprint by which it is known again.

use std::fmt;
use std::io::Read;
use std::path::Path;

use flate2::read::MultiGzDecoder;
use serde::{Deserialize, Serialize};

use super::DataError;

/// What identifies data: a hash of the bytes as they lie on disk, and their number.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fingerprint {
    /// BLAKE3, in hexadecimal.
    pub blake3: String,
    /// How many bytes there are.
    pub bytes: u64,
}

impl Fingerprint {
    /// The fingerprint of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        Self { blake3: blake3::hash(bytes).to_hex().to_string(), bytes: bytes.len() as u64 }
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "blake3 {} ({} bytes)", self.blake3, self.bytes)
    }
}

/// A file that has been read.
pub(super) struct DataFile<'a> {
    /// Where it was.
    pub path: &'a Path,
    /// What it says, unpacked.
    pub content: Vec<u8>,
    /// What it is, packed or not.
    pub fingerprint: Fingerprint,
}

impl<'a> DataFile<'a> {
    /// Reads `path`; that it is gzip is told by its first bytes, not by its name.
    pub fn read(path: &'a Path) -> Result<Self, DataError> {
        let unreadable = |source| DataError::Read { path: path.into(), source };
        if !std::fs::metadata(path).map_err(unreadable)?.is_file() {
            return Err(DataError::NotAFile { path: path.into() });
        }
        let bytes = std::fs::read(path).map_err(unreadable)?;
        let fingerprint = Fingerprint::of(&bytes);
        let content = if bytes.starts_with(&[0x1f, 0x8b]) { unpack(path, &bytes)? } else { bytes };
        if content.is_empty() {
            return Err(DataError::EmptyFile { path: path.into() });
        }
        Ok(Self { path, content, fingerprint })
    }
}

fn unpack(path: &Path, bytes: &[u8]) -> Result<Vec<u8>, DataError> {
    let mut content = Vec::new();
    MultiGzDecoder::new(bytes)
        .read_to_end(&mut content)
        .map_err(|source| DataError::Gzip { path: path.into(), source })?;
    Ok(content)
}
