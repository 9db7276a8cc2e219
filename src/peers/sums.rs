//! Sums in the files of a checkpoint: a zip has a CRC-32 of each member. Opening a checkpoint does not check them, since
//! that reads all of its numbers.

use std::fs;
use std::path::{Path, PathBuf};

use super::error::PeerError;
use super::formats::{dcp, map, zip};

/// Levels of folders that are searched.
const MOST_LEVELS: usize = 4;

/// Files whose sums are right, and files without any.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sums {
    /// Files of which every sum is right, with the number of sums.
    pub right: Vec<(PathBuf, usize)>,
    /// Files whose format has no sums.
    pub without: Vec<PathBuf>,
}

/// Checks all sums in a file, or in the files of a folder.
///
/// # Errors
/// A file cannot be read, is damaged, or has content of another sum; it is named.
pub fn check(path: &Path) -> Result<Sums, PeerError> {
    let mut sums = Sums::default();
    visit(path, 0, &mut sums)?;
    Ok(sums)
}

fn visit(path: &Path, level: usize, sums: &mut Sums) -> Result<(), PeerError> {
    let io = |error| PeerError::io(path, error);
    if !fs::metadata(path).map_err(io)?.is_dir() {
        return file(path, sums);
    }
    let mut inner = Vec::new();
    for entry in fs::read_dir(path).map_err(io)? {
        inner.push(entry.map_err(io)?.path());
    }
    inner.sort_unstable();
    // The data files of a distributed checkpoint are many archives in one file, which its index tells apart.
    if inner.iter().any(|path| path.ends_with(dcp::METADATA)) {
        sums.right.extend(dcp::verify(path)?);
        inner.retain(|path| path.extension().is_none_or(|ending| ending != "distcp"));
    }
    for path in inner.iter().filter(|path| level < MOST_LEVELS || path.is_file()) {
        visit(path, level + 1, sums)?;
    }
    Ok(())
}

fn file(path: &Path, sums: &mut Sums) -> Result<(), PeerError> {
    if map(path)?.starts_with(b"PK\x03\x04") {
        sums.right.push((path.to_owned(), zip::verify(path)?));
    } else {
        sums.without.push(path.to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cases() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers/cases")
    }

    #[test]
    fn real_checkpoints_have_the_sums_that_they_say() {
        let sums = check(&cases().join("torch/nadam.pt")).unwrap();
        assert!(sums.right[0].1 > 8 && sums.without.is_empty(), "{sums:?}");
        let folder = check(&cases().join("deepspeed/zero2_adamw_groups")).unwrap();
        assert_eq!(folder.right.len(), 2);
        assert!(folder.without.iter().any(|path| path.ends_with("latest")));
        let distributed = check(&cases().join("dcp/named_adamw_groups")).unwrap();
        assert!(distributed.right[0].0.ends_with("__0_0.distcp") && distributed.right[0].1 > 100, "{distributed:?}");
    }

    #[test]
    fn a_number_that_was_changed_is_found() {
        let folder = tempfile::tempdir().unwrap();
        for name in [".metadata", "__0_0.distcp"] {
            fs::copy(cases().join("dcp/named_adamw_groups").join(name), folder.path().join(name)).unwrap();
        }
        let file = folder.path().join("__0_0.distcp");
        let mut bytes = fs::read(&file).unwrap();
        let rate = memchr::memmem::find(&bytes, &0.007525000000000001f64.to_be_bytes()).unwrap();
        bytes[rate + 7] ^= 1;
        fs::write(&file, bytes).unwrap();
        let error = check(folder.path()).unwrap_err();
        assert!(error.is_damage() && error.to_string().contains("optim.param_groups.0.lr"), "{error}");
    }
}
