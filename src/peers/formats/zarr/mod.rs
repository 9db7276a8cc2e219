//! Arrays of zarr 2 and 3, in a folder or in another store of keys and values.
//!
//! An array is its metadata (`NAME/.zarray` or `NAME/zarr.json`) and a grid of chunks (`NAME/0.0`, `NAME/c/0/0`). The formats:
//! <https://zarr-specs.readthedocs.io>. Read are the codecs that TensorStore's zarr drivers offer for whole chunks: zstd,
//! gzip, zlib, CRC-32C, transposition and shards. Blosc, bz2 and others are refused by name.

mod chunk;
mod codec;
mod metadata;

use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use self::codec::decode;
use self::metadata::Array;
use super::super::error::PeerError;
use super::super::tensor::{Storage, Tensor, row_major};
use super::map;
use super::ocdbt::Ocdbt;

/// Chunks of one array, beyond which it is refused: each is a file.
const MOST_CHUNKS: usize = 1 << 20;

/// A store of keys and values.
pub trait Store {
    /// Returns the value of a key, or `None` where there is no such key.
    ///
    /// # Errors
    /// It cannot be read.
    fn get(&self, key: &str) -> Result<Option<Arc<Storage>>, PeerError>;

    /// Returns the place of a key, for messages.
    fn place(&self, key: &str) -> PathBuf;
}

impl Store for Ocdbt {
    fn get(&self, key: &str) -> Result<Option<Arc<Storage>>, PeerError> {
        Ocdbt::get(self, key)
    }

    fn place(&self, key: &str) -> PathBuf {
        self.folder().join(key)
    }
}

/// A folder whose files are the values.
#[derive(Clone, Debug)]
pub struct Folder(pub PathBuf);

impl Store for Folder {
    fn get(&self, key: &str) -> Result<Option<Arc<Storage>>, PeerError> {
        let inside = Path::new(key).components().all(|part| matches!(part, Component::Normal(_)));
        if !inside {
            return Err(PeerError::damaged(&self.0, format!("the array {key:?} is not below the folder")));
        }
        let path = self.0.join(key);
        if !path.is_file() {
            return Ok(None);
        }
        let file = map(&path)?;
        let length = file.len();
        Ok(Storage::mapped(file, 0..length))
    }

    fn place(&self, key: &str) -> PathBuf {
        self.0.join(key)
    }
}

/// Bytes that arrays may still take. Compressed files and chunks that are not stored can claim any size; real weights
/// hardly compress, so that a checkpoint is refused only where it is made to mislead.
#[derive(Debug)]
pub struct Budget(usize);

impl Budget {
    /// Returns the budget of a checkpoint whose files have `stored` bytes.
    pub fn of(stored: usize) -> Self {
        Self(stored.saturating_mul(64).saturating_add(4 << 20))
    }

    fn take(&mut self, bytes: usize) -> Result<(), String> {
        self.0 = self.0.checked_sub(bytes).ok_or("it is far larger than the files of the checkpoint can hold")?;
        Ok(())
    }
}

/// Reads an array, or returns `None` where the store has no such array.
///
/// If `complete`, every chunk is stored; else those that are not there have the fill value.
///
/// # Errors
/// It is damaged, has a codec or dtype that is not read, or exceeds the budget.
pub fn read(store: &dyn Store, name: &str, complete: bool, budget: &mut Budget) -> Result<Option<Tensor>, PeerError> {
    let Some((array, key)) = metadata(store, name)? else { return Ok(None) };
    let damaged = |what: String| PeerError::damaged(store.place(&key), format!("the array {name}: {what}"));
    let (bytes, chunks) = array.sizes().map_err(damaged)?;
    if chunks > MOST_CHUNKS {
        return Err(damaged(format!("it has {chunks} chunks; up to {MOST_CHUNKS} are read")));
    }
    // Chunks are decoded whole, also where they reach beyond the array.
    let decoded = array.chunk_bytes().map_err(damaged)?.saturating_mul(chunks);
    budget.take(decoded.max(bytes)).map_err(damaged)?;
    let mut whole = Vec::new();
    for index in 0..chunks {
        let place = array.place(index);
        let key = format!("{name}/{}", array.key(&place));
        let bad = |what: String| PeerError::damaged(store.place(&key), what);
        let content = match store.get(&key)? {
            Some(stored) => decode(&array, stored.bytes()).map_err(bad)?,
            None if complete => return Err(bad("this chunk is missing; copy the checkpoint again".to_owned())),
            None => array.filled(),
        };
        if chunks == 1 && array.chunk == array.shape {
            whole = content;
            break;
        }
        if whole.is_empty() {
            whole = vec![0; bytes];
        }
        chunk::place(&array, &place, &content, &mut whole);
    }
    let tensor = Tensor::new(array.dtype, array.shape.clone(), row_major(&array.shape), 0, Storage::owned(whole));
    tensor.map(Some).map_err(damaged)
}

/// Reads an array's metadata and returns it with its key.
fn metadata(store: &dyn Store, name: &str) -> Result<Option<(Array, String)>, PeerError> {
    type Parse = fn(&[u8]) -> Result<Array, String>;
    let forms = [(".zarray", metadata::version_2 as Parse), ("zarr.json", metadata::version_3)];
    for (file, parse) in forms {
        let key = format!("{name}/{file}");
        if let Some(text) = store.get(&key)? {
            let array = parse(text.bytes()).map_err(|what| PeerError::unsupported(store.place(&key), what))?;
            return Ok(Some((array, key)));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests;
