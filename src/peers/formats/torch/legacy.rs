//! The format before PyTorch 1.6: five pickles (a magic number, a version, facts of the machine, the object, the keys
//! of its storages), then the storages in the order of the keys, each after its number of elements.
//!
//! The size of an element stands only in the object. So its pickle is read twice: for the storages that it refers to,
//! and for its values once the place of each is known.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use memmap2::Mmap;

use super::super::super::tensor::Storage;
use super::super::super::tree::Tree;
use super::super::pickle::{self, NoStorages, Refusal, Storages, Wanted};

/// The first pickle: the number 0x1950a86a20f9469cfc6c.
const MAGIC: &[u8] = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.";

/// Returns whether a file begins as one of this format.
pub(super) fn is(bytes: &[u8]) -> bool {
    bytes.starts_with(MAGIC)
}

/// Reads the file `within` a mapped one.
pub(super) fn read(map: &Arc<Mmap>, within: Range<usize>) -> Result<Tree, Refusal> {
    let bytes = map.get(within.clone()).unwrap_or_default();
    let mut place = MAGIC.len();
    let version = pickle_at(bytes, &mut place, &mut NoStorages, "version")?;
    if version.root().int() != Some(1001) {
        return Err(Refusal::Unsupported(format!("version {:?} of this format; 1001 is read", version.root().int())));
    }
    let machine = pickle_at(bytes, &mut place, &mut NoStorages, "facts of the machine")?;
    if machine.root().get("little_endian").and_then(|little| little.bool()) == Some(false) {
        return Err(Refusal::Unsupported(
            "its numbers are in big-endian order; load and save it with PyTorch on a little-endian machine".to_owned(),
        ));
    }
    let mut object = place;
    let mut sizes = Sizes::default();
    pickle_at(bytes, &mut place, &mut sizes, "object")?;
    let keys = pickle_at(bytes, &mut place, &mut NoStorages, "keys of the storages")?;
    let keys = keys.root().items().and_then(|keys| keys.map(|key| key.text().map(str::to_owned)).collect());
    let keys: Vec<String> = keys.ok_or_else(|| Refusal::Damaged("the keys of the storages are no text".to_owned()))?;
    let mut found = Found { storages: sizes.place(map, within.start + place..within.end, keys)? };
    pickle_at(bytes, &mut object, &mut found, "object")
}

fn pickle_at(bytes: &[u8], place: &mut usize, storages: &mut dyn Storages, what: &str) -> Result<Tree, Refusal> {
    let rest = bytes.get(*place..).unwrap_or_default();
    let read = pickle::read(rest, storages);
    let (tree, length) = read.map_err(|refusal| refusal.within(&format!("pickle of the {what} at byte {place}")))?;
    *place += length;
    Ok(tree)
}

/// Storages that an object refers to, with their bytes for each element and their number of elements.
#[derive(Default)]
struct Sizes(HashMap<String, (usize, usize)>);

impl Storages for Sizes {
    fn storage(&mut self, wanted: Wanted<'_>) -> Result<Option<Arc<Storage>>, Refusal> {
        let size = (wanted.element_bytes, wanted.elements);
        match self.0.insert(wanted.key.to_owned(), size) {
            Some(before) if before != size => {
                Err(Refusal::Damaged(format!("the storage {:?} has two sizes", wanted.key)))
            }
            _ => Ok(None),
        }
    }
}

impl Sizes {
    /// Finds the storages in the rest of the file.
    fn place(
        self,
        map: &Arc<Mmap>,
        rest: Range<usize>,
        keys: Vec<String>,
    ) -> Result<HashMap<String, Arc<Storage>>, Refusal> {
        let mut storages = HashMap::with_capacity(keys.len());
        let mut place = rest.start;
        for key in keys {
            let size = self.0.get(&key);
            let size = size.ok_or_else(|| Refusal::Damaged(format!("nothing refers to the storage {key:?}")))?;
            let cut_off = || Refusal::Damaged(format!("the storage {key:?} at byte {place} is cut off"));
            let start = place.checked_add(8).filter(|start| *start <= rest.end).ok_or_else(cut_off)?;
            let count: Option<[u8; 8]> = map.get(place..start).and_then(|count| count.try_into().ok());
            let count = u64::from_le_bytes(count.ok_or_else(cut_off)?);
            if count != size.1 as u64 {
                return Err(Refusal::Damaged(format!(
                    "the storage {key:?} has {count} elements, and {} are expected",
                    size.1
                )));
            }
            let end = size.0.checked_mul(size.1).and_then(|bytes| start.checked_add(bytes));
            let end = end.filter(|end| *end <= rest.end).ok_or_else(cut_off)?;
            let storage = Storage::mapped(Arc::clone(map), start..end).ok_or_else(cut_off)?;
            place = end;
            if storages.insert(key.clone(), storage).is_some() {
                return Err(Refusal::Damaged(format!("the storage {key:?} is there twice")));
            }
        }
        Ok(storages)
    }
}

/// Storages whose place is known.
struct Found {
    storages: HashMap<String, Arc<Storage>>,
}

impl Storages for Found {
    fn storage(&mut self, wanted: Wanted<'_>) -> Result<Option<Arc<Storage>>, Refusal> {
        let storage = self.storages.get(wanted.key).cloned();
        storage.map(Some).ok_or_else(|| Refusal::Damaged(format!("the storage {:?} is missing", wanted.key)))
    }
}
