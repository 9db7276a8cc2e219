//! The identities of the shards of a run: names, sizes and ETags. A resume on others is refused, with the shard that
//! differs.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::shard::Shard;
use crate::data::error::StreamError;
use crate::data::{DataConfig, Fingerprint};
use crate::state::{State, StateError};

/// For more shards, checkpoints hold one hash over all.
const MOST: usize = 10_000;

/// The facts about all shards, in their order.
pub(super) struct Known(Vec<Identity>);

/// The identity of a shard.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Identity {
    /// The use of its rows, and its name without the folder: shards may be moved.
    part: String,
    name: String,
    bytes: u64,
    e_tag: Option<String>,
}

impl Identity {
    fn of(shard: &Shard) -> Self {
        let name = shard.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Self { part: shard.part.word().to_owned(), name, bytes: shard.bytes, e_tag: shard.version.e_tag.clone() }
    }

    fn in_words(&self) -> String {
        let e_tag = self.e_tag.as_ref().map(|e_tag| format!(" with ETag {e_tag}")).unwrap_or_default();
        format!("{} bytes{e_tag}", self.bytes)
    }
}

impl Known {
    pub fn of(shards: &[Shard]) -> Self {
        Self(shards.iter().map(Identity::of).collect())
    }

    /// Returns the identity of all shards.
    pub fn fingerprint(&self) -> Fingerprint {
        let file = |known: &Identity| {
            (
                format!("{}/{}", known.part, known.name),
                Fingerprint { blake3: known.e_tag.clone().unwrap_or_default(), bytes: known.bytes },
            )
        };
        let files: Vec<(String, Fingerprint)> = self.0.iter().map(file).collect();
        Fingerprint::of_files(files.iter().map(|(name, file)| (name.clone(), file)))
    }

    pub fn save(&self) -> State {
        let shards = if self.0.len() > MOST { json!(self.0.len()) } else { json!(self.0) };
        State::from_json(json!({ "shards": shards }))
    }

    pub fn check(&self, state: &State) -> Result<(), StateError> {
        let own = self.save();
        if state.json == own.json {
            return Ok(());
        }
        let words = |state: &State| match &state.json["shards"] {
            serde_json::Value::Array(shards) => format!("{} shards", shards.len()),
            other => other.to_string(),
        };
        let (saved, expected) = (words(state), words(&own));
        Err(StateError::Mismatch { what: "the list of shards".to_owned(), saved, expected })
    }

    /// Refuses other shards than those in the saved state, with the first that differs.
    pub fn require_same(
        &self,
        saved: Option<&State>,
        shards: &[Shard],
        config: &DataConfig,
    ) -> Result<(), StreamError> {
        let saved: Option<Vec<Identity>> =
            saved.and_then(|saved| serde_json::from_value(saved.json["shards"].clone()).ok());
        let Some(saved) = saved else { return Ok(()) };
        let names = |list: &[Identity]| -> HashSet<(String, String)> {
            list.iter().map(|one| (one.part.clone(), one.name.clone())).collect()
        };
        let (before, now) = (names(&saved), names(&self.0));
        let is_in =
            |names: &HashSet<(String, String)>, one: &Identity| names.contains(&(one.part.clone(), one.name.clone()));
        if let Some(gone) = saved.iter().find(|saved| !is_in(&now, saved)) {
            return Err(StreamError::Gone { name: gone.name.clone(), path: config.path.clone() });
        }
        if let Some((shard, _)) = shards.iter().zip(&self.0).find(|(_, known)| !is_in(&before, known)) {
            return Err(StreamError::New { path: shard.path.clone() });
        }
        let differing = shards.iter().zip(&self.0).zip(&saved).find(|((_, known), saved)| known != saved);
        match differing {
            Some(((shard, now), was)) if now.name == was.name => {
                let (was, now) = (was.in_words(), now.in_words());
                Err(StreamError::Changed { path: shard.path.clone(), was, now })
            }
            _ => Ok(()),
        }
    }
}
