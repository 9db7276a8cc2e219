//! Formats of files, one file each: bytes become a [`Tree`](super::tree::Tree) or tensors, and no code is run.
//!
//! A format knows nothing of trainers. Each refuses by name what it does not read, and takes no more memory than a small
//! multiple of the file's size.

#[cfg(test)]
pub(in crate::peers) mod changed;
pub mod compressed;
pub mod dcp;
pub mod hdf5;
pub mod json;
pub mod msgpack;
pub mod ocdbt;
pub mod pickle;
pub mod safetensors;
pub mod torch;
pub mod zarr;
pub mod zip;

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use memmap2::Mmap;

use super::error::PeerError;

/// Maps a file, so that only the parts that are asked for are read.
///
/// # Errors
/// It is not there or cannot be read.
pub fn map(path: &Path) -> Result<Arc<Mmap>, PeerError> {
    let file = File::open(path).map_err(|error| PeerError::io(path, error))?;
    // SAFETY: trainers write a checkpoint to its end before anybody reads it, and replace it by renaming. A file that
    // another process cuts off while it is read here ends this one with a signal, as with every mapped file.
    let map = unsafe { Mmap::map(&file) };
    map.map(Arc::new).map_err(|error| PeerError::io(path, error))
}
