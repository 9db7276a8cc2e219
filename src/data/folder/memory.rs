//! Saved state of a folder of images, so that a resume has the same rows: the classes, the skipped images, the replaced
//! images, and the identity of each image, so that changed ones can be named.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::data::Fingerprint;
use crate::data::picture::Grey;
use crate::state::{State, StateError};

/// The part of a checkpoint about a folder of images.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Memory {
    /// The names of the classes, in the order of their numbers.
    pub classes: Vec<String>,
    /// The skipped images; `None` if the run skips no bad images.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub skipped: Option<Vec<String>>,
    /// Images that were rows already when the run was told to skip bad ones. Each is replaced by another image, so that
    /// all other rows stay in their places. Their fingerprints are kept, so the files may be missing.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub replaced: BTreeMap<String, Fingerprint>,
    /// Fingerprint of each row at the beginning of the run; empty if there are more than [`Memory::MOST`], and in older
    /// checkpoints.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub images: BTreeMap<String, Fingerprint>,
    /// Number of rows, if there are too many to keep their fingerprints.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<usize>,
    /// How colours become grey.
    #[serde(default, skip_serializing_if = "Grey::is_usual")]
    pub grey: Grey,
}

impl Memory {
    /// Maximal number of images whose fingerprints are kept: about a megabyte in each checkpoint.
    pub const MOST: usize = 10_000;

    pub fn of(state: &State) -> Result<Self, StateError> {
        Ok(Self::deserialize(&state.json)?)
    }

    /// Returns how colours become grey in a run with this state, which is empty in checkpoints of the first versions.
    pub fn grey_of(state: &State) -> Grey {
        Self::of(state).map_or_else(|_| Grey::default(), |memory| memory.grey)
    }

    pub fn skips(&self, name: &str) -> bool {
        self.skipped.iter().flatten().any(|skipped| skipped == name)
    }

    /// Refuses the saved state of other rows.
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
            return mismatch("the list of skipped images", &names(saved), &names(self));
        }
        let names = |memory: &Self| memory.replaced.keys().cloned().collect::<Vec<_>>();
        if saved.replaced.iter().any(|(name, was)| self.replaced.get(name) != Some(was)) {
            return mismatch("the list of replaced images", &names(saved), &names(self));
        }
        Ok(())
    }
}
