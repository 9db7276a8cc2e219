//! The format of a file, by its first bytes.

use std::path::Path;

use super::{Content, OtherFormat};
use crate::peers::error::PeerError;
use crate::peers::formats::{map, torch};

/// Files that people name by mistake: first bytes, and what to do.
const MISTAKEN: &[(&[u8], &str)] = &[
    (b"version https://git-lfs", "this is a pointer of Git LFS, not the file; get it with `git lfs pull`"),
    (b"GGUF", "GGUF has weights for inference, often rounded, and nothing of a run; take the trainer's own checkpoint"),
    (b"\x1f\x8b", "the file is packed with gzip; unpack it first"),
    (b"\x28\xb5\x2f\xfd", "the file is packed with zstd; unpack it first"),
    (b"BZh", "the file is packed with bzip2; unpack it first"),
    (b"\xfd7zXZ", "the file is packed with xz; unpack it first"),
    (b"{", "this is JSON, not a checkpoint; name the folder that it is in"),
    (b"<", "this is a page of the web or XML, not a checkpoint; a download may have failed"),
];

/// The largest header of safetensors, in bytes.
const LARGEST_HEADER: u64 = 100_000_000;

/// Returns the content of a file.
///
/// # Errors
/// It cannot be read, it is empty, damaged, or of no known format.
pub(super) fn content(path: &Path) -> Result<Content, PeerError> {
    let size = std::fs::metadata(path).map_err(|error| PeerError::io(path, error))?.len();
    if size == 0 {
        return Err(PeerError::damaged(path, "the file is empty: the save was cut off; take the checkpoint before it"));
    }
    let bytes = map(path)?;
    if let Some(other) = other(&bytes) {
        return Ok(Content::Other(other));
    }
    if let Some((_, remedy)) = MISTAKEN.iter().find(|(first, _)| bytes.starts_with(first)) {
        return Err(PeerError::unsupported(path, *remedy));
    }
    // What begins like a zip or a pickle, also one of protocols 0 and 1, may be damaged, and its reader says how; what
    // does not is something else.
    let begins: [&[u8]; 4] = [b"PK", b"(d", b"}q", b"L1195470371"];
    if !torch::is(&bytes) && !begins.iter().any(|first| bytes.starts_with(first)) {
        return Err(PeerError::unknown(path, "no known trainer writes such a file"));
    }
    let (tree, format) = torch::read(path)?;
    Ok(Content::Torch { tree, format })
}

fn other(bytes: &[u8]) -> Option<OtherFormat> {
    if bytes.starts_with(b"\x89HDF\r\n\x1a\n") {
        return Some(OtherFormat::Hdf5);
    }
    if bytes.starts_with(b"PK\x03\x04") {
        return (!torch::is(bytes) && !begins_with_pickle(bytes)).then_some(OtherFormat::Zip);
    }
    // Its length may begin with the bytes of a pickle.
    let length = bytes.first_chunk().map(|length| u64::from_le_bytes(*length));
    if length.is_some_and(|length| length <= LARGEST_HEADER) && bytes.get(8) == Some(&b'{') {
        return Some(OtherFormat::Safetensors);
    }
    if torch::is(bytes) {
        return None;
    }
    // A map with entries.
    matches!(bytes, [0x81..=0x8f | 0xde | 0xdf, ..]).then_some(OtherFormat::MessagePack)
}

/// Returns whether the first member of a zip is the pickle of a file of PyTorch, so that one that is cut off is known.
fn begins_with_pickle(bytes: &[u8]) -> bool {
    let Some([low, high]) = bytes.get(26..28).and_then(<[u8]>::first_chunk) else { return false };
    let length = usize::from(u16::from_le_bytes([*low, *high]));
    bytes.get(30..).and_then(|rest| rest.get(..length)).is_some_and(|name| name.ends_with(b"/data.pkl"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error_of(bytes: &[u8]) -> String {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.pt");
        std::fs::write(&path, bytes).unwrap();
        content(&path).unwrap_err().to_string()
    }

    #[test]
    fn files_named_by_mistake_are_told_with_the_remedy() {
        assert!(error_of(b"").contains("empty"));
        assert!(error_of(b"version https://git-lfs.github.com/spec/v1\noid").contains("git lfs pull"));
        assert!(error_of(b"\x1f\x8b\x08").contains("gzip"));
    }

    #[test]
    fn formats_are_told_by_their_first_bytes() {
        assert_eq!(other(b"\x89HDF\r\n\x1a\n\0"), Some(OtherFormat::Hdf5));
        assert_eq!(other(b"\x10\0\0\0\0\0\0\0{}"), Some(OtherFormat::Safetensors));
        assert_eq!(other(b"\x80\x02\0\0\0\0\0\0{}"), Some(OtherFormat::Safetensors));
        assert_eq!(other(&[0x83, 0xa4]), Some(OtherFormat::MessagePack));
        assert_eq!(other(b"\x80\x02}q\0."), None);
        assert_eq!(other(b"PK\x03\x04 and then another thing than a zip of PyTorch"), Some(OtherFormat::Zip));
    }
}
