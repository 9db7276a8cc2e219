//! OCDBT, TensorStore's database of keys and values in a folder, in which Orbax keeps its arrays.
//!
//! `manifest.ocdbt` names the versions. The newest one is the root of a B+tree whose nodes lie in data files and may name
//! files of further databases (`ocdbt.process_0/d/…`). Older versions are not read. The format is described in
//! TensorStore's documentation ("`ocdbt` Key-Value Store driver", Storage format).

mod body;
mod node;

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use memmap2::Mmap;

use self::body::Location;
use self::node::{Node, Value, manifest, node};
use super::super::error::PeerError;
use super::super::tensor::Storage;
use super::map;

/// The file that names the versions.
pub const MANIFEST: &str = "manifest.ocdbt";

/// Bytes of all keys together that are read: far more than the names of any model's arrays.
const MOST_KEY_BYTES: usize = 1 << 26;

/// The newest version of a database.
#[derive(Debug)]
pub struct Ocdbt {
    folder: PathBuf,
    entries: BTreeMap<String, Value>,
    maps: RefCell<HashMap<Vec<u8>, Arc<Mmap>>>,
    nodes: usize,
}

impl Ocdbt {
    /// Opens the database in a folder and reads its keys, with every checksum on the way.
    ///
    /// # Errors
    /// A file is missing or damaged, or of a version that is not read.
    pub fn open(folder: &Path) -> Result<Self, PeerError> {
        let path = folder.join(MANIFEST);
        let root = manifest(&map(&path)?).map_err(|what| PeerError::damaged(&path, what))?;
        let mut database =
            Self { folder: folder.to_owned(), entries: BTreeMap::new(), maps: RefCell::default(), nodes: 0 };
        if let Some(location) = root.location {
            database.read_tree(location, root.height)?;
        }
        Ok(database)
    }

    /// Returns its folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Returns the keys in their order.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.entries.keys().map(String::as_str)
    }

    /// Returns the number of blocks whose checksums were compared: the manifest and all nodes.
    pub fn checked(&self) -> usize {
        1 + self.nodes
    }

    /// Returns the value of a key, or `None` where there is no such key.
    ///
    /// # Errors
    /// Its file is missing or shorter than it should be.
    pub fn get(&self, key: &str) -> Result<Option<Arc<Storage>>, PeerError> {
        match self.entries.get(key) {
            None => Ok(None),
            Some(Value::Inline(bytes)) => Ok(Some(Storage::owned(bytes.clone()))),
            Some(Value::At(location)) => self.stored(location).map(Some),
        }
    }

    /// Walks the tree from its root. Heights fall with every step, so that it ends; a node is read once, so that it ends
    /// soon.
    fn read_tree(&mut self, root: Location, height: u8) -> Result<(), PeerError> {
        let mut open = vec![(Vec::new(), root, height)];
        let mut seen = HashSet::new();
        let mut key_bytes = 0;
        while let Some((prefix, location, height)) = open.pop() {
            let name = self.file(&location.path)?;
            let damaged = |what: String| PeerError::damaged(&name, format!("at byte {}: {what}", location.offset));
            if !seen.insert((location.path.clone(), location.offset)) {
                return Err(damaged("a node of the database is named twice".to_owned()));
            }
            let block = self.stored(&location)?;
            let base = location.path.get(..location.base).unwrap_or_default();
            let read = node(block.bytes(), height, base).map_err(damaged)?;
            self.nodes += 1;
            let mut full = |key: Vec<u8>| {
                key_bytes += prefix.len() + key.len();
                if key_bytes > MOST_KEY_BYTES {
                    return Err(damaged("the keys of the database have too many bytes".to_owned()));
                }
                Ok([&prefix[..], &key].concat())
            };
            match read {
                Node::Leaf(entries) => {
                    for (key, value) in entries {
                        let key = String::from_utf8(full(key)?).map_err(|_| damaged("a key is no text".to_owned()))?;
                        if self.entries.insert(key.clone(), value).is_some() {
                            return Err(damaged(format!("the key {key:?} is there twice")));
                        }
                    }
                }
                Node::Interior(nodes) => {
                    for (key, below) in nodes {
                        open.push((full(key)?, below, height - 1));
                    }
                }
            }
        }
        Ok(())
    }

    fn stored(&self, location: &Location) -> Result<Arc<Storage>, PeerError> {
        let name = self.file(&location.path)?;
        let held = self.maps.borrow().get(&location.path).cloned();
        let file = match held {
            Some(file) => file,
            None => {
                let file = map(&name)?;
                self.maps.borrow_mut().insert(location.path.clone(), Arc::clone(&file));
                file
            }
        };
        let Location { offset, length, .. } = *location;
        let start = usize::try_from(offset).ok();
        let range = start.zip(usize::try_from(length).ok());
        let range = range.and_then(|(start, length)| Some(start..start.checked_add(length)?));
        let bytes = file.len();
        range.and_then(|range| Storage::mapped(file, range)).ok_or_else(|| {
            let what = format!("it has {bytes} bytes, but should have {length} at byte {offset}: it was cut off");
            PeerError::damaged(&name, what)
        })
    }

    /// Returns a data file's path, which must not lead out of the folder.
    fn file(&self, path: &[u8]) -> Result<PathBuf, PeerError> {
        let text = str::from_utf8(path).unwrap_or_default();
        let inside = Path::new(text).components().all(|part| matches!(part, Component::Normal(_)));
        if !inside || text.is_empty() || text.contains('\0') {
            let path = String::from_utf8_lossy(path);
            let what = format!("the database names the file {path:?}, which is not below it");
            return Err(PeerError::damaged(&self.folder, what));
        }
        Ok(self.folder.join(text))
    }
}

#[cfg(test)]
mod tests;
