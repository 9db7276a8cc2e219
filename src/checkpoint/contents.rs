//! The content of a checkpoint, read completely or as an outline.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::document::{self, Object};
use super::error::CheckpointError;
use super::manifest::{FileEntry, Manifest};
use super::name;
use super::source::Source;
use crate::state::State;

/// Manifest, `state.json`, and the parts, possibly without tensors.
#[derive(Clone, Debug)]
pub(super) struct Contents {
    pub(super) path: PathBuf,
    pub(super) manifest: Manifest,
    pub(super) document: Object,
    pub(super) parts: Vec<(String, State)>,
}

impl Contents {
    /// Reads the JSON of the checkpoint at `path`, and `tensors` of each tensor file; passes the result to `keep`, with
    /// the state of its part.
    pub(super) fn read<T>(
        path: &Path,
        tensors: impl Fn(&Source, &FileEntry) -> Result<T, CheckpointError>,
        mut keep: impl FnMut(&str, &mut State, T),
    ) -> Result<Self, CheckpointError> {
        let source = Source::open(path)?;
        let manifest = source.checked_manifest()?;
        let (document, names) = source.document(&manifest)?;
        let state = |part: String| (State::from_json(document::at(&document, &part)), part);
        let mut parts: Vec<_> = names.into_iter().map(state).collect();
        for entry in manifest.files.iter().filter(|entry| entry.name != name::STATE) {
            let tensors = tensors(&source, entry)?;
            let owner = parts.iter_mut().find(|(_, part)| name::part_of(&entry.name) == Some(part));
            let (state, part) = owner.ok_or_else(|| CheckpointError::Unclaimed { path: source.file(&entry.name) })?;
            keep(part, state, tensors);
        }
        let parts = parts.into_iter().map(|(state, part)| (part, state)).collect();
        Ok(Self { path: path.to_owned(), manifest, document, parts })
    }

    pub(super) fn field(&self, name: &str) -> Option<&Value> {
        self.document.get(name)
    }

    pub(super) fn state(&self, name: &str) -> Option<&State> {
        self.parts.iter().find(|(part, _)| part == name).map(|(_, state)| state)
    }
}
