//! Distributed checkpoints of PyTorch (DCP): a folder with `.metadata` and data files of one process each.
//!
//! `.metadata` is a pickle that has, for each name, its kind, its path in the nested state, and the files, offsets and
//! lengths of its parts. Each part is a file of `torch.save` within a data file. A tensor in parts is put together; one in
//! a single part stays a view of the mapped file.

mod nested;
mod parts;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use memmap2::Mmap;

use super::super::error::PeerError;
use super::super::tree::{Place, Ref, Tree, Value};
use super::pickle::{self, NoStorages, Refusal};
use super::{map, torch, zip};
use nested::Nested;
use parts::Part;

/// The file that makes a folder a checkpoint of this format. It is written last.
pub const METADATA: &str = ".metadata";

/// Returns whether the names in a folder are those of this format, complete or not.
pub fn is(names: &[String]) -> bool {
    names.iter().any(|name| name == METADATA || name.ends_with(".distcp"))
}

/// Reads a folder, and returns the nested state that was saved.
///
/// # Errors
/// It is incomplete or damaged, or holds something that is not read.
pub fn read(folder: &Path) -> Result<Tree, PeerError> {
    let path = folder.join(METADATA);
    if !path.is_file() {
        return Err(PeerError::damaged(
            folder,
            "it has no `.metadata`, which is written last: the save did not finish; take an earlier checkpoint",
        ));
    }
    let bytes = map(&path)?;
    let (metadata, _) = pickle::read(&bytes, &mut NoStorages).map_err(|refusal| refusal.at(&path))?;
    let mut reader = Reader { folder, files: HashMap::new(), tree: Tree::default() };
    let stored = parts::stored(metadata.root()).map_err(|refusal| refusal.at(&path))?;
    let kinds = metadata.root().get("state_dict_metadata").and_then(Ref::entries);
    let kinds = kinds.ok_or_else(|| PeerError::damaged(&path, "it has no `state_dict_metadata`"))?;
    let paths = metadata.root().get("planner_data");
    let paths: HashMap<&str, Ref<'_>> = (paths.and_then(Ref::entries).into_iter().flatten())
        .filter_map(|(name, path)| Some((name.text()?, path)))
        .collect();
    let mut root = Nested::default();
    for (name, kind) in kinds {
        let name = name.text().ok_or_else(|| PeerError::damaged(&path, "a name that is no text"))?;
        let value = reader.value(name, kind, stored.get(name).map(Vec::as_slice).unwrap_or_default())?;
        // Without a plan the names are not split: dots are in the names of parameters too.
        let added = match paths.get(name) {
            Some(keys) => root.add(*keys, value),
            None => root.add_flat(name, value),
        };
        added.map_err(|what| PeerError::damaged(&path, format!("`{name}`: {what}")))?;
    }
    let root = root.into_tree(&mut reader.tree).map_err(|what| PeerError::damaged(&path, what))?;
    reader.tree.set_root(root);
    Ok(reader.tree)
}

/// Checks the sums of all parts in a folder, and returns the data files with their numbers of sums.
///
/// # Errors
/// It is incomplete or damaged, or a part has another sum.
pub fn verify(folder: &Path) -> Result<Vec<(PathBuf, usize)>, PeerError> {
    let path = folder.join(METADATA);
    let bytes = map(&path)?;
    let (metadata, _) = pickle::read(&bytes, &mut NoStorages).map_err(|refusal| refusal.at(&path))?;
    let stored = parts::stored(metadata.root()).map_err(|refusal| refusal.at(&path))?;
    let mut reader = Reader { folder, files: HashMap::new(), tree: Tree::default() };
    let mut checked: BTreeMap<PathBuf, usize> = BTreeMap::new();
    for (name, parts) in stored {
        for part in parts {
            let (map, range, path) = reader.bytes(name, &part)?;
            let archive = zip::Archive::open(map, range);
            let archive = archive.map_err(|refusal| refusal.within(&format!("`{name}`")).at(&path))?;
            if archive.members().iter().any(|member| !archive.has_its_sum(member)) {
                let what = format!("the content of `{name}` at byte {} was changed: its sum is another", part.offset);
                return Err(PeerError::damaged(path, what));
            }
            *checked.entry(path).or_default() += archive.members().len();
        }
    }
    Ok(checked.into_iter().collect())
}

struct Reader<'a> {
    folder: &'a Path,
    /// Data files that were opened.
    files: HashMap<String, Arc<Mmap>>,
    tree: Tree,
}

impl Reader<'_> {
    /// Returns the value of a name: a tensor of one or several parts, or any value that was pickled.
    fn value(&mut self, name: &str, kind: Ref<'_>, stored: &[Part]) -> Result<Place, PeerError> {
        let at = |refusal: Refusal| refusal.within(&format!("`{name}`")).at(self.folder);
        let class = kind.object().map(|object| object.class.rsplit('.').next().unwrap_or_default());
        match class {
            Some("BytesStorageMetadata") => {
                let [part] = stored else { return Err(at(missing_part())) };
                let (tree, _) = self.part(name, part)?;
                self.tree.graft(tree).map_err(|what| PeerError::damaged(self.folder, what))
            }
            Some("TensorStorageMetadata") => {
                let wanted = parts::wanted(kind, stored).map_err(at)?;
                let mut tensors = Vec::with_capacity(wanted.chunks.len());
                for (chunk, part) in &wanted.chunks {
                    let (tree, path) = self.part(name, part)?;
                    let tensor = tree.root().tensor().cloned();
                    let tensor = tensor.filter(|tensor| tensor.shape() == chunk.sizes);
                    tensors.push(tensor.ok_or_else(|| {
                        let what = format!(
                            "`{name}`: the part at byte {} is no tensor of shape {:?}",
                            part.offset, chunk.sizes
                        );
                        PeerError::damaged(path, what)
                    })?);
                }
                let tensor =
                    wanted.together(tensors).map_err(|refusal| refusal.within(&format!("`{name}`")).at(self.folder))?;
                self.tree.add(tensor.into()).map_err(|what| PeerError::damaged(self.folder, what))
            }
            _ => Err(at(Refusal::Unsupported(format!("its kind {:?} is not read", class.unwrap_or_default())))),
        }
    }

    /// Reads a part, which is a file of `torch.save` within a data file.
    fn part(&mut self, name: &str, part: &Part) -> Result<(Tree, PathBuf), PeerError> {
        let (map, range, path) = self.bytes(name, part)?;
        let read = torch::read_part(&map, range);
        let (tree, _) =
            read.map_err(|refusal| refusal.within(&format!("`{name}` at byte {}", part.offset)).at(&path))?;
        Ok((tree, path))
    }

    /// Returns the bytes of a part: a mapped file, the range in it, and its path.
    fn bytes(&mut self, name: &str, part: &Part) -> Result<(Arc<Mmap>, Range<usize>, PathBuf), PeerError> {
        let path = self.folder.join(&part.file);
        let map = match self.files.get(&part.file) {
            Some(map) => Arc::clone(map),
            None if !path.is_file() => {
                return Err(PeerError::damaged(
                    self.folder,
                    format!("the data file {:?}, which has `{name}`, is missing; the folder is incomplete", part.file),
                ));
            }
            None => {
                let opened = map(&path)?;
                self.files.insert(part.file.clone(), Arc::clone(&opened));
                opened
            }
        };
        let Part { offset, length, .. } = part;
        let end = offset.checked_add(*length).filter(|end| *end <= map.len());
        let end = end.ok_or_else(|| {
            let size = map.len();
            let what = format!("it has {size} bytes and is cut off: `{name}` has {length} from byte {offset}");
            PeerError::damaged(&path, what)
        })?;
        Ok((map, *offset..end, path))
    }
}

fn missing_part() -> Refusal {
    Refusal::Damaged("`.metadata` does not say in which file it is".to_owned())
}

/// Fills in a list whose items came in any order.
fn list_of(items: BTreeMap<usize, Place>) -> Result<Value, String> {
    match items.keys().enumerate().find(|(index, key)| index != *key) {
        Some((index, _)) => Err(format!("item {index} of a list is missing")),
        None => Ok(Value::List(items.into_values().collect())),
    }
}
