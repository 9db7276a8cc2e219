//! Orbax: a folder for each step, whose items are trees of arrays in OCDBT or zarr, or JSON.

mod step;
mod tree;

use std::path::Path;

use self::step::Step;
use super::settings::text;
use super::{Content, Found, optax};
use crate::peers::error::PeerError;
use crate::peers::formats::json;
use crate::peers::peer::{Counter, Peer, Trainer};
use crate::peers::tree::{Ref, Tree, Value};

/// A tree's structure, in an item's folder.
const TREE: &str = "_METADATA";
/// The file in which Orbax describes a step.
const CHECKPOINT: &str = "_CHECKPOINT_METADATA";
/// JSON that the program saved as an item.
const JSON: &str = "metadata";

/// Returns whether a folder is a step, an item of one, or has steps in it.
pub(super) fn recognizes(found: &Found) -> bool {
    let Content::Folder(names) = &found.content else { return false };
    step::is_step(&found.path, names) || !step::steps(&found.path, names).is_empty()
}

/// Describes the run.
pub(super) fn read(found: &Found) -> Result<Peer, PeerError> {
    let Content::Folder(names) = &found.content else {
        return Err(PeerError::unknown(&found.path, "it is no folder"));
    };
    let Step { folder, number, skipped } = step::choose(&found.path, names)?;
    let mut peer = Peer::new(&found.path, Trainer::Orbax, "Orbax");
    if folder != found.path {
        peer.remarks.push(format!("the newest complete step was read: {}", folder.display()));
    }
    peer.remarks.extend(skipped.iter().map(|name| format!("step {name} is not complete: its save was not finished")));
    let items = items(&folder)?;
    let mut whole = Tree::default();
    let mut trees = Vec::new();
    for (name, item) in items {
        match item {
            Item::Tree => {
                let place = if name.is_empty() { folder.clone() } else { folder.join(&name) };
                let (tree, format) = tree::read(&place)?;
                peer.format = format;
                trees.push((name, tree));
            }
            Item::Json => told(&name, json::read(&folder.join(&name).join(JSON))?.root(), &mut peer),
            Item::Other => peer.left.push(format!("{name}: an item of a kind that is not read")),
        }
    }
    let too_many = |what: String| PeerError::damaged(&folder, what);
    let mut entries = Vec::new();
    let single = trees.len() == 1;
    for (name, tree) in trees {
        let place = whole.graft(tree).map_err(too_many)?;
        if single {
            whole.set_root(place);
        }
        let name = whole.add(Value::Text(name)).map_err(too_many)?;
        entries.push((name, place));
    }
    if !single {
        let root = whole.add(Value::Dict(entries)).map_err(too_many)?;
        whole.set_root(root);
    }
    if whole.root().is_null() {
        return Err(PeerError::unsupported(&folder, "no item of the step is a tree of arrays"));
    }
    optax::describe(whole.root(), &mut peer).map_err(|what| PeerError::unsupported(&folder, what))?;
    if let Some(number) = number {
        step::compare(number, &mut peer);
    }
    Ok(peer)
}

/// The kind of an item of a step.
enum Item {
    Tree,
    Json,
    Other,
}

/// Returns the items of a step by name; the step itself, without a name, where it is a tree.
fn items(folder: &Path) -> Result<Vec<(String, Item)>, PeerError> {
    if folder.join(TREE).is_file() {
        return Ok(vec![(String::new(), Item::Tree)]);
    }
    let mut items = Vec::new();
    for name in super::names(folder)? {
        let item = folder.join(&name);
        if !item.is_dir() {
            continue;
        }
        let kind = match (item.join(TREE).is_file(), item.join(JSON).is_file()) {
            (true, _) => Item::Tree,
            (false, true) => Item::Json,
            (false, false) => Item::Other,
        };
        items.push((name, kind));
    }
    if !items.iter().any(|(_, kind)| matches!(kind, Item::Tree)) {
        let what = match folder.join("checkpoint").is_file() {
            true => "it is a checkpoint of Orbax before 0.4, which is not read; restore and save it with a newer Orbax",
            false => "no item of this step has _METADATA, the structure of a tree of arrays",
        };
        return Err(PeerError::unsupported(folder, what));
    }
    Ok(items)
}

/// Takes the JSON that the program saved beside the arrays.
fn told(name: &str, root: Ref<'_>, peer: &mut Peer) {
    for (key, value) in root.entries().into_iter().flatten() {
        let key = format!("{name}.{}", text(key));
        match value.number() {
            Some(number) => {
                let counts = "a number that the program saved in JSON".to_owned();
                peer.counters.push(Counter { name: key, value: number, counts });
            }
            None => peer.settings.push((key, text(value))),
        }
    }
}

#[cfg(test)]
mod tests;
