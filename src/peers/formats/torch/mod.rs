//! Files of `torch.save`, as trees whose tensors are views of the mapped file: the zip of today, the pickles before
//! PyTorch 1.6, and a plain pickle.
//!
//! The numbers are not touched when a file is opened, so its size is of no account.

mod legacy;
#[cfg(test)]
mod tests;
mod zipped;

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use memmap2::Mmap;

use super::super::error::PeerError;
use super::super::tree::Tree;
use super::pickle::{self, NoStorages, Refusal};
use super::{map, zip};

/// Opens a file of `torch.save`, or a plain pickle. Returns its values, and the format in words.
///
/// # Errors
/// It is not there, it is damaged, or holds something that is not read: the message has the file and the thing.
pub fn read(path: &Path) -> Result<(Tree, &'static str), PeerError> {
    let map = map(path)?;
    let whole = 0..map.len();
    read_part(&map, whole).map_err(|refusal| refusal.at(path))
}

/// Reads one file of `torch.save` that is `within` another, as those of a distributed checkpoint are.
///
/// # Errors
/// It is damaged, or holds something that is not read.
pub fn read_part(map: &Arc<Mmap>, within: Range<usize>) -> Result<(Tree, &'static str), Refusal> {
    let bytes = map.get(within.clone()).ok_or_else(|| Refusal::Damaged("it ends beyond the file".to_owned()))?;
    if bytes.starts_with(b"PK\x03\x04") {
        return Ok((zipped::read(Arc::clone(map), within)?, "zip of PyTorch"));
    }
    if legacy::is(bytes) {
        return Ok((legacy::read(map, within)?, "pickles of PyTorch before 1.6"));
    }
    if bytes.get(257..262) == Some(b"ustar") {
        return Err(Refusal::Unsupported(
            "a tar file of PyTorch before 0.1.10; load and save it with a PyTorch of 1.0 to 2.5".to_owned(),
        ));
    }
    let (tree, _) = pickle::read(bytes, &mut NoStorages).map_err(|refusal| refusal.within("pickle"))?;
    Ok((tree, "pickle"))
}

/// Returns whether the bytes of a file are those of `torch.save` or of a pickle with a protocol above 1.
pub fn is(bytes: &[u8]) -> bool {
    let pickled = matches!(bytes, [0x80, 2..=5, ..]);
    pickled || (bytes.starts_with(b"PK\x03\x04") && zipped::has_pickle(&zip::names(bytes)))
}
