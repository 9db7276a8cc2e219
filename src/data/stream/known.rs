//! The identities of the shards of a run: names, sizes, and ETags or times of the last change. A resume on others is refused, with the shard that
//! differs.

use std::collections::HashSet;

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::SHARDS;
use super::shard::{Shard, Stamp};
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
    #[serde(flatten)]
    stamp: Stamp,
}

impl Identity {
    fn of(shard: &Shard) -> Self {
        let name = shard.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Self { part: shard.part.word().to_owned(), name, bytes: shard.bytes, stamp: shard.stamp.clone() }
    }

    fn in_words(&self) -> String {
        format!("{} bytes {}", self.bytes, self.stamp.in_words()).trim_end().to_owned()
    }
}

impl Known {
    pub fn of(shards: &[Arc<Shard>]) -> Self {
        Self(shards.iter().map(|shard| Identity::of(shard)).collect())
    }

    /// Returns the identity of all shards.
    pub fn fingerprint(&self) -> Fingerprint {
        let file = |known: &Identity| {
            let stamp = known.stamp.e_tag.as_ref().or(known.stamp.modified.as_ref()).cloned();
            (
                format!("{}/{}", known.part, known.name),
                Fingerprint { blake3: stamp.unwrap_or_default(), bytes: known.bytes },
            )
        };
        let files: Vec<(String, Fingerprint)> = self.0.iter().map(file).collect();
        Fingerprint::of_files(files.iter().map(|(name, file)| (name.clone(), file)))
    }

    /// Returns them for a checkpoint.
    pub fn save(&self) -> Value {
        if self.0.len() > MOST { json!(self.0.len()) } else { json!(self.0) }
    }

    /// Refuses the saved ones of other shards.
    pub fn check(&self, saved: &Value) -> Result<(), StateError> {
        let own = self.save();
        if *saved == own {
            return Ok(());
        }
        let words = |shards: &Value| match shards {
            Value::Array(shards) => format!("{} shards", shards.len()),
            other => other.to_string(),
        };
        let (saved, expected) = (words(saved), words(&own));
        Err(StateError::Mismatch { what: "the list of shards".to_owned(), saved, expected })
    }

    /// Refuses other shards than those in the saved state, with the first that differs.
    pub fn require_same(
        &self,
        saved: Option<&State>,
        shards: &[Arc<Shard>],
        config: &DataConfig,
    ) -> Result<(), StreamError> {
        let saved: Option<Vec<Identity>> =
            saved.and_then(|saved| serde_json::from_value(saved.json[SHARDS].clone()).ok());
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
