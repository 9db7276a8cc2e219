//! The state that a run keeps of a folder of images, so that a resume has the same rows: the classes, which images are
//! left out, in whose place another one stands, and what each image was, so that one that changed is told by its name.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::data::Fingerprint;
use crate::state::{State, StateError};

/// The part of a checkpoint about a folder of images.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Memory {
    /// Their names, in the order of their numbers.
    pub classes: Vec<String>,
    /// The images that are left out; none where the run leaves no bad images out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub skipped: Option<Vec<String>>,
    /// Images that were rows already when the run was told to leave bad ones out. Another one stands in the place of
    /// each, so that all other rows stay where they were. What they were is known, so that they need not be there any
    /// more.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub replaced: BTreeMap<String, Fingerprint>,
    /// What each row was when the run began; empty where there are more than [`Memory::MOST`], and in checkpoints from
    /// before it was kept.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub images: BTreeMap<String, Fingerprint>,
    /// How many rows there were, where they are too many to keep what each was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<usize>,
}

impl Memory {
    /// Of how many images a run keeps what each was: about a megabyte in each checkpoint.
    pub const MOST: usize = 10_000;

    pub fn of(state: &State) -> Result<Self, StateError> {
        Ok(Self::deserialize(&state.json)?)
    }

    pub fn skips(&self, name: &str) -> bool {
        self.skipped.iter().flatten().any(|skipped| skipped == name)
    }

    /// Refuses what was saved of other rows than these.
    pub fn check(&self, saved: &Self) -> Result<(), StateError> {
        let mismatch = |what: &str, saved: &[String], own: &[String]| {
            let text = |names| serde_json::to_string(names).unwrap_or_default();
            Err(StateError::Mismatch { what: what.to_owned(), saved: text(saved), expected: text(own) })
        };
        if saved.classes != self.classes {
            return mismatch("the list of classes", &saved.classes, &self.classes);
        }
        let names = |memory: &Self| memory.skipped.clone().unwrap_or_default();
        if names(saved) != names(self) {
            return mismatch("the list of images that are left out", &names(saved), &names(self));
        }
        let names = |memory: &Self| memory.replaced.keys().cloned().collect::<Vec<_>>();
        if saved.replaced.iter().any(|(name, was)| self.replaced.get(name) != Some(was)) {
            return mismatch("the list of images that were replaced", &names(saved), &names(self));
        }
        Ok(())
    }
}
