//! An item of a step: the tree of `_METADATA`, whose leaves are arrays of the same folder.

use std::collections::BTreeMap;
use std::path::Path;

use super::TREE;
use crate::peers::error::PeerError;
use crate::peers::formats::json;
use crate::peers::formats::ocdbt::{self, Ocdbt};
use crate::peers::formats::zarr::{self, Budget, Folder, Store};
use crate::peers::tree::{Place, Ref, Tree, Value};

/// Keys in each other, beyond any real tree.
const DEEPEST: usize = 64;

/// Reads an item, and returns its format in words.
///
/// # Errors
/// An array is missing or damaged, or something is not read.
pub(super) fn read(folder: &Path) -> Result<(Tree, &'static str), PeerError> {
    let path = folder.join(TREE);
    let metadata = json::read(&path)?;
    let damaged = |what: String| PeerError::damaged(&path, what);
    let leaves = metadata.root().get("tree_metadata").and_then(Ref::entries);
    let leaves = leaves.ok_or_else(|| damaged("it has no tree_metadata".to_owned()))?;
    // Where this is not said, an array's zeros may be left out.
    let complete = metadata.root().get("store_array_data_equal_to_fill_value").and_then(Ref::bool).unwrap_or(false);
    let (store, format): (Box<dyn Store>, _) = match folder.join(ocdbt::MANIFEST).is_file() {
        true => (Box::new(Ocdbt::open(folder)?), "OCDBT of Orbax"),
        false => (Box::new(Folder(folder.to_owned())), "zarr of Orbax"),
    };
    let mut budget = Budget::of(size(folder, 0)?);
    let mut tree = Tree::default();
    let mut root = Node::default();
    for (name, leaf) in leaves {
        let keys = keys(leaf).ok_or_else(|| damaged(format!("the leaf {name:?} has no keys", name = name.text())))?;
        let value = leaf_value(store.as_ref(), &keys, leaf, complete, &mut budget)?;
        let value = value.map_err(damaged)?;
        let place = tree.add(value).map_err(damaged)?;
        root.insert(&keys, place).map_err(damaged)?;
    }
    let root = root.build(&mut tree).map_err(damaged)?;
    tree.set_root(root);
    Ok((tree, format))
}

/// Returns the path of a leaf.
fn keys(leaf: Ref<'_>) -> Option<Vec<String>> {
    let keys = leaf.get("key_metadata")?.items()?;
    let keys: Option<Vec<String>> = keys.map(|key| key.get("key").map(super::text)).collect();
    keys.filter(|keys| !keys.is_empty() && keys.len() <= DEEPEST)
}

fn leaf_value(
    store: &dyn Store,
    keys: &[String],
    leaf: Ref<'_>,
    complete: bool,
    budget: &mut Budget,
) -> Result<Result<Value, String>, PeerError> {
    let metadata = leaf.get("value_metadata");
    let kind = metadata.and_then(|metadata| metadata.get("value_type")?.text()).unwrap_or_default();
    let skipped = metadata.and_then(|metadata| metadata.get("skip_deserialize")?.bool()).unwrap_or(false);
    if kind == "None" || skipped {
        return Ok(Ok(Value::Null));
    }
    let name = keys.join(".");
    if kind == "string" {
        return Ok(Ok(Value::Text(format!("text in _strings.json under {name}"))));
    }
    match zarr::read(store, &name, complete, budget)? {
        Some(tensor) => Ok(Ok(tensor.into())),
        None => Ok(Err(format!("the array {name} of the tree is missing: copy the checkpoint again"))),
    }
}

/// Returns the bytes of all files in a folder.
fn size(folder: &Path, depth: usize) -> Result<usize, PeerError> {
    let error = |error| PeerError::io(folder, error);
    let mut bytes = 0usize;
    for entry in std::fs::read_dir(folder).map_err(error)? {
        let entry = entry.map_err(error)?;
        let metadata = entry.metadata().map_err(error)?;
        // Links are not followed, so that a folder within itself has an end.
        if metadata.is_dir() && depth < DEEPEST {
            bytes = bytes.saturating_add(size(&entry.path(), depth + 1)?);
        } else if metadata.is_file() {
            bytes = bytes.saturating_add(usize::try_from(metadata.len()).unwrap_or(usize::MAX));
        }
    }
    Ok(bytes)
}

/// A tree while it is put together: keys in order, which is JAX' own.
#[derive(Default)]
struct Node {
    below: BTreeMap<String, Node>,
    leaf: Option<Place>,
}

impl Node {
    fn insert(&mut self, keys: &[String], leaf: Place) -> Result<(), String> {
        let mut node = self;
        for key in keys {
            node = node.below.entry(key.clone()).or_default();
        }
        if node.leaf.replace(leaf).is_some() || !node.below.is_empty() {
            return Err(format!("{} is twice in the tree", keys.join(".")));
        }
        Ok(())
    }

    fn build(self, tree: &mut Tree) -> Result<Place, String> {
        if let Some(leaf) = self.leaf {
            return match self.below.into_keys().next() {
                None => Ok(leaf),
                Some(key) => Err(format!("a leaf of the tree has {key} below it")),
            };
        }
        let mut entries = Vec::new();
        for (key, node) in self.below {
            let value = node.build(tree)?;
            entries.push((tree.add(Value::Text(key))?, value));
        }
        tree.add(Value::Dict(entries))
    }
}
