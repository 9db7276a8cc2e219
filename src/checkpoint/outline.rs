//! A checkpoint without its tensors: all JSON, and the headers of tensor files.

use std::path::Path;

use serde_json::Value;

use super::contents::Contents;
use super::error::CheckpointError;
use super::manifest::Manifest;
use super::source::Source;
use super::tensors::TensorOutline;
use crate::state::State;

/// A checkpoint without the content of its tensors, for display. It cannot be restored.
#[derive(Clone, Debug)]
pub struct Outline {
    pub(super) contents: Contents,
    pub(super) tensors: Vec<TensorOutline>,
}

impl Outline {
    /// Reads the outline of the checkpoint at `path`. Manifest and `state.json` are read completely and checked; of the
    /// other files the headers are read and the sizes checked, but not the digests.
    ///
    /// # Errors
    /// As [`Checkpoint::read`](super::Checkpoint::read), for the parts that are read.
    pub fn read(path: &Path) -> Result<Self, CheckpointError> {
        let mut tensors = Vec::new();
        let contents = Contents::read(path, Source::header, |part, _, found| {
            tensors.extend(found.into_iter().map(|tensor| TensorOutline { part: part.to_owned(), ..tensor }));
        })?;
        // Files are sorted by name, but tensors should be in the order of the parts.
        tensors.sort_by_key(|tensor| contents.parts.iter().position(|(part, _)| *part == tensor.part));
        Ok(Self { contents, tensors })
    }

    /// Returns the step of the checkpoint.
    pub fn step(&self) -> u64 {
        self.contents.manifest.step
    }

    /// Returns the path of the checkpoint, as it was given.
    pub fn path(&self) -> &Path {
        &self.contents.path
    }

    /// Returns its manifest.
    pub fn manifest(&self) -> &Manifest {
        &self.contents.manifest
    }

    /// Returns an entry at the top of `state.json`.
    pub fn field(&self, name: &str) -> Option<&Value> {
        self.contents.field(name)
    }

    /// Returns the state of the part `name`, without its tensors.
    pub fn state(&self, name: &str) -> Option<&State> {
        self.contents.state(name)
    }

    /// Returns every tensor of every part.
    pub fn tensors(&self) -> &[TensorOutline] {
        &self.tensors
    }
}
