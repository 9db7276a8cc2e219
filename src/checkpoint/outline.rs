//! What can be said of a checkpoint without its tensors: all that is in JSON, and what the headers of the others say.

use std::path::Path;

use serde_json::Value;

use super::contents::Contents;
use super::error::CheckpointError;
use super::manifest::Manifest;
use super::source::Source;
use super::tensors::TensorOutline;
use crate::state::State;

/// A checkpoint without the content of its tensors, for programs that show it. Nothing can be restored from it.
#[derive(Clone, Debug)]
pub struct Outline {
    pub(super) contents: Contents,
    pub(super) tensors: Vec<TensorOutline>,
}

impl Outline {
    /// Reads the outline of the checkpoint at `path`. Manifest and `state.json` are read whole and checked, of the
    /// other files the headers are read and the sizes checked, and not their digests.
    ///
    /// # Errors
    /// As [`Checkpoint::read`](super::Checkpoint::read), for what is looked at.
    pub fn read(path: &Path) -> Result<Self, CheckpointError> {
        let mut tensors = Vec::new();
        let contents = Contents::read(path, Source::header, |part, _, found| {
            tensors.extend(found.into_iter().map(|tensor| TensorOutline { part: part.to_owned(), ..tensor }));
        })?;
        // The files come in the order of their names, the tensors are to be in that of the parts.
        tensors.sort_by_key(|tensor| contents.parts.iter().position(|(part, _)| *part == tensor.part));
        Ok(Self { contents, tensors })
    }

    /// The step it was taken at.
    pub fn step(&self) -> u64 {
        self.contents.manifest.step
    }

    /// The checkpoint, as it was given.
    pub fn path(&self) -> &Path {
        &self.contents.path
    }

    /// What its manifest says.
    pub fn manifest(&self) -> &Manifest {
        &self.contents.manifest
    }

    /// An entry at the top of `state.json`.
    pub fn field(&self, name: &str) -> Option<&Value> {
        self.contents.field(name)
    }

    /// What the part `name` remembered in JSON. Its tensors are left out.
    pub fn state(&self, name: &str) -> Option<&State> {
        self.contents.state(name)
    }

    /// Every tensor of every part.
    pub fn tensors(&self) -> &[TensorOutline] {
        &self.tensors
    }
}
