//! Files of a checkpoint that is a folder: which are there, and what a half-written one lacks.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use super::{Content, Found, state_dict};
use crate::peers::error::PeerError;
use crate::peers::formats::{json, safetensors, torch};
use crate::peers::peer::{Model, Peer};
use crate::peers::tree::Tree;

/// Remedy for a folder whose writing was cut off.
const REMEDY: &str =
    "the save was cut off, or the copy is not complete: take the checkpoint before it, or copy it again";

/// A folder with the names in it.
pub(super) struct Folder {
    pub(super) path: PathBuf,
    pub(super) names: Vec<String>,
}

impl Folder {
    /// Returns the folder that was found, or `None` where it is a file.
    pub(super) fn of(found: &Found) -> Option<Self> {
        match &found.content {
            Content::Folder(names) => Some(Self { path: found.path.clone(), names: names.clone() }),
            _ => None,
        }
    }

    /// Opens a folder.
    ///
    /// # Errors
    /// It cannot be listed.
    pub(super) fn open(path: &Path) -> Result<Self, PeerError> {
        Ok(Self { path: path.to_owned(), names: super::names(path)? })
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.names.iter().any(|there| there == name)
    }

    /// Returns the first of the names that is there.
    pub(super) fn first(&self, names: &[&'static str]) -> Option<&'static str> {
        names.iter().copied().find(|name| self.has(name))
    }

    /// Returns `stem.end`, `stem_1.end`, `stem_2.end` and further, as far as they are there.
    pub(super) fn series(&self, stem: &str, end: &str) -> Vec<String> {
        let name = |index: usize| if index == 0 { format!("{stem}{end}") } else { format!("{stem}_{index}{end}") };
        (0..).map(name).take_while(|name| self.has(name)).collect()
    }

    /// Returns the path of a file that has content.
    ///
    /// # Errors
    /// It is not there, or it is empty.
    pub(super) fn file(&self, name: &str) -> Result<PathBuf, PeerError> {
        let path = self.path.join(name);
        match fs::metadata(&path) {
            Ok(metadata) if metadata.len() == 0 => {
                Err(PeerError::damaged(path, format!("the file is empty; {REMEDY}")))
            }
            Ok(_) => Ok(path),
            Err(_) => Err(PeerError::damaged(&self.path, format!("{name} is not in the folder; {REMEDY}"))),
        }
    }

    /// Opens a file of `torch.save`.
    ///
    /// # Errors
    /// It is not there, empty or damaged, or it holds something that is not read.
    pub(super) fn torch(&self, name: &str) -> Result<Tree, PeerError> {
        Ok(torch::read(&self.file(name)?)?.0)
    }

    /// Opens a file of JSON.
    ///
    /// # Errors
    /// It is not there, empty or damaged.
    pub(super) fn json(&self, name: &str) -> Result<Tree, PeerError> {
        json::read(&self.file(name)?)
    }

    /// Opens weights by any of their names: `stem.safetensors`, `bin_stem.bin`, or either in parts with an index. Returns
    /// `None` where no such file is there.
    ///
    /// # Errors
    /// A part is not there, or a file is empty, damaged or not read.
    pub(super) fn weights(&self, stem: &str, bin_stem: &str, peer: &mut Peer) -> Result<Option<Model>, PeerError> {
        for whole in [format!("{stem}.safetensors"), format!("{bin_stem}.bin")] {
            if self.has(&whole) {
                return self.part(&whole, &mut peer.left).map(Some);
            }
            let index = format!("{whole}.index.json");
            if self.has(&index) {
                return self.parts(&index, &mut peer.left).map(Some);
            }
        }
        Ok(None)
    }

    fn parts(&self, index: &str, left: &mut Vec<String>) -> Result<Model, PeerError> {
        let tree = self.json(index)?;
        let damaged = |what: String| PeerError::damaged(self.path.join(index), what);
        let map = tree.root().get("weight_map").and_then(|map| map.entries());
        let map = map.ok_or_else(|| damaged("weight_map is not there".to_owned()))?;
        let place: Option<BTreeMap<&str, &str>> = map.map(|(name, file)| Some((name.text()?, file.text()?))).collect();
        let place = place.ok_or_else(|| damaged("weight_map has something that is no name".to_owned()))?;
        let files: BTreeSet<&str> = place.values().copied().collect();
        // A name that leads out of the folder is not the name of a part.
        if let Some(file) = files.iter().find(|file| file.contains(['/', '\\']) || **file == "..") {
            return Err(damaged(format!("{file:?} is no name of a part")));
        }
        let absent: Vec<&str> = files.iter().copied().filter(|file| !self.has(file)).collect();
        if !absent.is_empty() {
            return Err(PeerError::damaged(
                &self.path,
                format!(
                    "{} of {} parts of the weights are not in the folder: {}; {REMEDY}",
                    absent.len(),
                    files.len(),
                    absent.iter().take(8).copied().collect::<Vec<_>>().join(", ")
                ),
            ));
        }
        let mut model = Model::default();
        for file in files {
            let part = self.part(file, left)?;
            let is_placed = |name: &str| place.get(name) == Some(&file);
            model.tensors.extend(part.tensors.into_iter().filter(|named| is_placed(&named.name)));
            model.tied.extend(part.tied.into_iter().filter(|(name, _)| is_placed(name)));
        }
        let found: BTreeSet<&str> = (model.tensors.iter().map(|named| named.name.as_str()))
            .chain(model.tied.iter().map(|(name, _)| name.as_str()))
            .collect();
        match place.keys().find(|name| !found.contains(*name)) {
            Some(name) => Err(damaged(format!("{name:?} is not in the part that the index names; {REMEDY}"))),
            None => Ok(model),
        }
    }

    fn part(&self, name: &str, left: &mut Vec<String>) -> Result<Model, PeerError> {
        let path = self.file(name)?;
        if name.ends_with(".safetensors") {
            return safetensors_model(&path);
        }
        let (tree, _) = torch::read(&path)?;
        state_dict::read(&path, name, tree.root(), left)
    }
}

/// Opens a file of safetensors as a model. It is sorted, so that the order of registration is lost.
///
/// # Errors
/// It is damaged or not read.
pub(super) fn safetensors_model(path: &Path) -> Result<Model, PeerError> {
    let content = safetensors::read(path)?;
    let names: BTreeSet<&str> = content.tensors.iter().map(|(name, _)| name.as_str()).collect();
    // safetensors' save_model notes the names that it leaves out, with the one that it keeps.
    let is_tied = |name: &str, kept: &str| !names.contains(name) && names.contains(kept);
    let tied = content.metadata.iter().filter(|(name, kept)| is_tied(name, kept));
    let tied = tied.map(|(name, kept)| (name.clone(), kept.clone())).collect();
    let tensors = content.tensors.iter().map(|(name, tensor)| state_dict::named(name, tensor.clone())).collect();
    Ok(Model { tensors, in_order: false, tied })
}
