//! Reads a checkpoint without trusting it: a [`Checkpoint`] is always complete and unchanged.

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
use crate::state::{State, Stateful};

/// A checkpoint that was read completely, with every byte verified.
///
/// It cannot be created in any other way, so a function that takes one need not check it.
#[derive(Clone, Debug)]
pub struct Checkpoint(Contents);

impl Checkpoint {
    /// Reads the checkpoint in the directory `path`, each file once: the verified bytes are the ones in use.
    ///
    /// # Errors
    /// The first fault that is found; [`CheckpointError`] has a variant for each.
    pub fn read(path: &Path) -> Result<Self, CheckpointError> {
        Self::load(path, true)
    }

    /// Checks everything that [`Checkpoint::read`] checks, without keeping tensors in memory.
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

    /// Reads and verifies the `state.json` of the checkpoint in the directory `path`. Of the other files only the sizes
    /// are checked, so large ones take no longer.
    ///
    /// # Errors
    /// As [`Checkpoint::read`].
    pub(super) fn glance(path: &Path) -> Result<Object, CheckpointError> {
        let source = Source::open(path)?;
        Ok(source.document(&source.checked_manifest()?)?.0)
    }

    /// Returns its outline, without tensors.
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

    /// Returns the step of the checkpoint: the number of its updates, and the number of the next one.
    pub fn step(&self) -> u64 {
        self.0.manifest.step
    }

    /// Returns its directory, as it was given.
    pub fn path(&self) -> &Path {
        &self.0.path
    }

    /// Returns its manifest; `written_by` describes the program and machine that wrote it.
    pub fn manifest(&self) -> &Manifest {
        &self.0.manifest
    }

    /// Returns an entry at the top of `state.json`.
    pub fn field(&self, name: &str) -> Option<&Value> {
        self.0.field(name)
    }

    /// Returns all of `state.json`.
    pub fn document(&self) -> &serde_json::Map<String, Value> {
        &self.0.document
    }

    /// Returns the names of its parts, in the order in which they were saved.
    pub fn parts(&self) -> impl Iterator<Item = &str> {
        self.0.parts.iter().map(|(name, _)| name.as_str())
    }

    /// Returns the state of the part `name`.
    pub fn state(&self, name: &str) -> Option<&State> {
        self.0.state(name)
    }

    /// Restores every part of a program.
    ///
    /// First the names are compared and every part checks its state; only then is any of them changed.
    ///
    /// # Errors
    /// The part that the checkpoint lacks, that the program lacks, or that refuses its state, and its error.
    pub fn restore(&self, parts: &mut [(&str, &mut dyn Stateful)]) -> Result<(), CheckpointError> {
        if let Some(part) = self.parts().find(|&name| parts.iter().all(|(part, _)| *part != name)) {
            return Err(CheckpointError::UnknownPart { path: self.0.path.clone(), part: part.to_owned() });
        }
        self.restore_some(parts)
    }

    /// Like [`Checkpoint::restore`], for some of the parts; the others are ignored.
    ///
    /// # Errors
    /// The part that the checkpoint lacks, or that refuses its state, and its error.
    pub fn restore_some(&self, parts: &mut [(&str, &mut dyn Stateful)]) -> Result<(), CheckpointError> {
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
