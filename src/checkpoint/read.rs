//! Reading a checkpoint, believing nothing: what has become a [`Checkpoint`] is whole and unchanged.

use std::path::Path;

use serde_json::Value;

use super::contents::Contents;
use super::document::Object;
use super::error::CheckpointError;
use super::manifest::{FileEntry, Manifest};
use super::outline::Outline;
use super::source::Source;
use super::tensors;
use super::tensors::TensorOutline;
use crate::state::{Part, State};

/// A checkpoint that was read whole, every byte of it checked.
///
/// There is no other way to make one, so a function that takes it need not ask whether it is valid.
#[derive(Clone, Debug)]
pub struct Checkpoint(Contents);

impl Checkpoint {
    /// Reads the checkpoint in the directory `path`, each file once: the bytes that were checked are those in use.
    ///
    /// # Errors
    /// One variant of [`CheckpointError`] for each thing that can be wrong; the first one that is found.
    pub fn read(path: &Path) -> Result<Self, CheckpointError> {
        Self::load(path, true)
    }

    /// Checks all that [`Checkpoint::read`] checks and keeps no tensor, in memory that does not grow with them.
    ///
    /// # Errors
    /// As [`Checkpoint::read`].
    pub fn verify(path: &Path) -> Result<Manifest, CheckpointError> {
        Self::load(path, false).map(|Self(contents)| contents.manifest)
    }

    fn load(path: &Path, keep: bool) -> Result<Self, CheckpointError> {
        let tensors = |source: &Source, entry: &FileEntry| {
            source.checked(entry, |reader, path| tensors::read(reader, path, entry.bytes, keep))
        };
        Contents::read(path, tensors, |_, state, found| state.tensors = found).map(Self)
    }

    /// The `state.json` of the checkpoint in the directory `path`, checked itself. Of the other files only the sizes
    /// are, so this takes no longer for large ones.
    ///
    /// # Errors
    /// As [`Checkpoint::read`].
    pub(super) fn glance(path: &Path) -> Result<Object, CheckpointError> {
        let source = Source::open(path)?;
        Ok(source.document(&source.checked_manifest()?)?.0)
    }

    /// What can be said of it without its tensors.
    pub fn outline(&self) -> Outline {
        let tensors = self.0.parts.iter().flat_map(|(part, state)| {
            state.tensors.iter().map(|(name, tensor)| TensorOutline {
                part: part.clone(),
                name: name.clone(),
                dtype: tensor.dtype,
                shape: tensor.shape.clone(),
                bytes: tensor.bytes.len() as u64,
            })
        });
        let parts = self.0.parts.iter().map(|(part, state)| (part.clone(), State::from_json(state.json.clone())));
        let contents = Contents {
            path: self.0.path.clone(),
            manifest: self.0.manifest.clone(),
            document: self.0.document.clone(),
            parts: parts.collect(),
        };
        Outline { contents, tensors: tensors.collect() }
    }

    /// The step it was taken at: how many updates it holds, and the number of the next one.
    pub fn step(&self) -> u64 {
        self.0.manifest.step
    }

    /// Its directory, as it was given.
    pub fn path(&self) -> &Path {
        &self.0.path
    }

    /// What its manifest says; `written_by` tells who wrote it.
    pub fn manifest(&self) -> &Manifest {
        &self.0.manifest
    }

    /// An entry at the top of `state.json`.
    pub fn field(&self, name: &str) -> Option<&Value> {
        self.0.field(name)
    }

    /// All of `state.json`.
    pub fn document(&self) -> &serde_json::Map<String, Value> {
        &self.0.document
    }

    /// The names of its parts, in the order in which they were saved.
    pub fn parts(&self) -> impl Iterator<Item = &str> {
        self.0.parts.iter().map(|(name, _)| name.as_str())
    }

    /// What the part `name` remembered.
    pub fn state(&self, name: &str) -> Option<&State> {
        self.0.state(name)
    }

    /// Gives every part of a program its share.
    ///
    /// First the names are compared and every part is asked whether it accepts; only then is any of them changed.
    ///
    /// # Errors
    /// Names the part that the checkpoint lacks, that the program lacks, or that refuses, and what it said.
    pub fn restore(&self, parts: &mut [(&str, &mut dyn Part)]) -> Result<(), CheckpointError> {
        if let Some(part) = self.parts().find(|&name| parts.iter().all(|(part, _)| *part != name)) {
            return Err(CheckpointError::UnknownPart { path: self.0.path.clone(), part: part.to_owned() });
        }
        self.restore_some(parts)
    }

    /// As [`Checkpoint::restore`], of some parts, for a program that has no use for the others.
    ///
    /// # Errors
    /// Names the part that the checkpoint lacks, or that refuses, and what it said.
    pub fn restore_some(&self, parts: &mut [(&str, &mut dyn Part)]) -> Result<(), CheckpointError> {
        for (name, part) in parts.iter() {
            let refused = |error| CheckpointError::Refused {
                path: self.0.path.clone(),
                part: (*name).to_owned(),
                error: Box::new(error),
            };
            part.check(self.share(name)?).map_err(refused)?;
        }
        for (name, part) in parts.iter_mut() {
            let failed = |error| CheckpointError::HalfRestored {
                path: self.0.path.clone(),
                part: (*name).to_owned(),
                error: Box::new(error),
            };
            part.load(self.share(name)?).map_err(failed)?;
        }
        Ok(())
    }

    fn share(&self, name: &str) -> Result<&State, CheckpointError> {
        let missing = || CheckpointError::MissingPart { path: self.0.path.clone(), part: name.to_owned() };
        self.state(name).ok_or_else(missing)
    }
}
