//! A data file: its content, decompressed if it is gzip or zstd, and its fingerprint.

use std::fmt;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::packing::Packing;
use super::{DataError, whole};
use crate::memory::{self, Need};
use crate::regular;

/// Identity of data: a hash of the bytes on disk, and their number.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fingerprint {
    /// BLAKE3, in hexadecimal.
    pub blake3: String,
    /// Number of bytes.
    pub bytes: u64,
}

impl Fingerprint {
    /// Returns the fingerprint of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        /// Fewer bytes are hashed sooner than other threads have begun.
        const MANY: usize = 1 << 20;
        let mut hasher = blake3::Hasher::new();
        if bytes.len() < MANY {
            hasher.update(bytes)
        } else {
            hasher.update_rayon(bytes)
        };
        Self { blake3: hasher.finalize().to_hex().to_string(), bytes: bytes.len() as u64 }
    }

    /// Returns the fingerprint of several files in this order: of their names, sizes and contents.
    pub fn of_files<'a>(files: impl IntoIterator<Item = (String, &'a Self)>) -> Self {
        let (mut hasher, mut bytes) = (blake3::Hasher::new(), 0);
        for (name, file) in files {
            // Lengths come first, so that different lists have different bytes.
            hasher.update(&(name.len() as u64).to_le_bytes()).update(name.as_bytes());
            hasher.update(&file.bytes.to_le_bytes()).update(file.blake3.as_bytes());
            bytes += file.bytes;
        }
        Self { blake3: hasher.finalize().to_hex().to_string(), bytes }
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "blake3 {} ({} bytes)", self.blake3, self.bytes)
    }
}

/// A file that has been read.
pub(super) struct DataFile<'a> {
    /// Its path.
    pub path: &'a Path,
    /// Its decompressed content.
    pub content: Vec<u8>,
    /// Its fingerprint, before decompression.
    pub fingerprint: Fingerprint,
}

/// Opens the file at `path`, decompressed if it is gzip or zstd, and returns how it is packed.
pub(super) fn unpacked(path: &Path) -> io::Result<(Box<dyn BufRead>, Packing)> {
    let mut file = BufReader::new(regular::open(path)?);
    let packing = Packing::of_reader(&mut file)?;
    Ok((packing.unpack(file), packing))
}

/// Whether the file at `path` is gzip or zstd.
pub(super) fn is_packed(path: &Path) -> io::Result<bool> {
    Ok(Packing::of_reader(&mut BufReader::new(regular::open(path)?))?.is_packed())
}

/// Refuses a file that is packed in a way that is not read.
pub(super) fn require_readable(path: &Path, packing: Packing) -> Result<(), DataError> {
    match packing {
        Packing::Other(kind, remedy) => Err(DataError::OtherPacking { path: path.into(), kind, remedy }),
        Packing::None | Packing::Gzip | Packing::Zstd => Ok(()),
    }
}

/// Refuses a path that is not a regular file, or an empty file.
pub(super) fn require_file(path: &Path) -> Result<(), DataError> {
    let metadata = std::fs::metadata(path).map_err(|source| DataError::Read { path: path.into(), source })?;
    if !metadata.is_file() {
        return Err(DataError::NotAFile { path: path.into(), kind: regular::kind(metadata.file_type()) });
    }
    if metadata.len() == 0 {
        return Err(DataError::EmptyFile { path: path.into() });
    }
    Ok(())
}

impl<'a> DataFile<'a> {
    /// Returns the fingerprint of the file at `path`, of any length.
    pub fn fingerprint(path: &Path) -> Result<Fingerprint, DataError> {
        let unreadable = |source| DataError::Read { path: path.into(), source };
        require_file(path)?;
        let mut hasher = blake3::Hasher::new();
        regular::open(path).and_then(|file| hasher.update_reader(file).map(drop)).map_err(unreadable)?;
        Ok(Fingerprint { blake3: hasher.finalize().to_hex().to_string(), bytes: hasher.count() })
    }

    /// Reads `path`; gzip and zstd are recognized by their first bytes, not by its name.
    pub fn read(path: &'a Path) -> Result<Self, DataError> {
        Self::read_if(path, |packing| require_readable(path, packing))
    }

    /// Reads `path` like [`DataFile::read`], where it may be an archive that is read as it is.
    pub fn read_archive(path: &'a Path) -> Result<Self, DataError> {
        Self::read_if(path, |_| Ok(()))
    }

    fn read_if(path: &'a Path, is_readable: impl FnOnce(Packing) -> Result<(), DataError>) -> Result<Self, DataError> {
        let unreadable = |source| DataError::Read { path: path.into(), source };
        require_file(path)?;
        require_room(path, std::fs::metadata(path).map_err(unreadable)?.len(), "the file")?;
        let bytes = whole::read(path).map_err(unreadable)?;
        let fingerprint = Fingerprint::of(&bytes);
        let packing = Packing::of(&bytes);
        is_readable(packing)?;
        let content = if packing.is_packed() { unpack(path, &bytes, packing)? } else { bytes };
        if content.is_empty() {
            return Err(DataError::EmptyFile { path: path.into() });
        }
        Ok(Self { path, content, fingerprint })
    }
}

/// Refuses content of `path` that does not fit in memory.
fn require_room(path: &Path, bytes: u64, what: &str) -> Result<(), DataError> {
    Ok(memory::require(&path.display().to_string(), vec![read_whole(what, bytes)], 0, remedies())?)
}

fn read_whole(what: &str, bytes: u64) -> Need {
    Need::new(what, bytes, "read as a whole")
}

pub(super) fn remedies() -> Vec<String> {
    vec!["a file of fewer rows".to_owned(), "a machine, or a limit, with more memory".to_owned()]
}

fn unpack(path: &Path, bytes: &[u8], packing: Packing) -> Result<Vec<u8>, DataError> {
    /// Number of bytes decompressed between two checks of the memory.
    const PIECE: usize = 64 << 20;
    const MORE: &str = "more of its decompressed content";
    let (mut content, mut packed) = (Vec::new(), packing.unpack_bytes(bytes));
    loop {
        let unpacked = memory::expect_failure(|| packed.by_ref().take(PIECE as u64).read_to_end(&mut content));
        // A full vector is copied to a larger allocation.
        let copied = if content.capacity() - content.len() < PIECE { content.len() } else { 0 };
        let more = (copied + PIECE) as u64;
        match unpacked {
            Ok(length) if length < PIECE => return Ok(content),
            Ok(_) => require_room(path, more, MORE)?,
            Err(error) if error.kind() == io::ErrorKind::OutOfMemory => {
                let needs = vec![read_whole(MORE, more)];
                return Err(memory::refusal(&path.display().to_string(), needs, remedies()).into());
            }
            Err(source) => return Err(DataError::Unpack { path: path.into(), kind: packing.name(), source }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_files_are_known_by_names_sizes_and_contents_in_order() {
        let files = [Fingerprint::of(b"a"), Fingerprint::of(b"bc")];
        let of = |names: [&str; 2], order: [usize; 2]| {
            Fingerprint::of_files(names.into_iter().zip(order).map(|(name, i)| (name.to_owned(), &files[i])))
        };
        let one = of(["x", "y"], [0, 1]);
        assert_eq!((one.bytes, &one), (3, &of(["x", "y"], [0, 1])));
        for other in [of(["y", "x"], [0, 1]), of(["x", "y"], [1, 0]), of(["xy", ""], [0, 1])] {
            assert_ne!(one, other);
        }
    }
}
