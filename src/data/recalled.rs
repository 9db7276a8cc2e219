//! The data section of a checkpoint, for a resume.
//!
//! A checkpoint may come from a stranger. Of the paths in its configuration only those of the data itself are opened,
//! and nothing else before the content was found to be the one in the checkpoint. Paths on the command line are
//! trusted.

use serde_json::Value;

use super::{BatchSizes, DataConfig, DataError, Fingerprint};
use crate::state::State;

/// Description of the data in a checkpoint.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Recalled<'a> {
    /// The identity of the data's content.
    pub fingerprint: Option<&'a Value>,
    /// The state of the data set.
    pub memory: Option<&'a State>,
    /// Whether the tokenizer is given on the command line.
    pub tokenizer_is_given: bool,
    /// Whether the cache folder is given on the command line.
    pub cache_is_given: bool,
    /// The batch sizes of the run; `None` if its batches are not made.
    pub batch_sizes: Option<BatchSizes<'a>>,
}

impl Recalled<'_> {
    /// Refuses other content than the run's.
    pub(super) fn check(&self, config: &DataConfig, found: &Fingerprint) -> Result<(), DataError> {
        let found = serde_json::to_value(found).unwrap_or_default();
        match self.fingerprint.filter(|saved| **saved != found) {
            Some(saved) => {
                let (saved, found) = (saved.to_string(), found.to_string());
                Err(DataError::OtherContent { path: config.path.clone(), saved, found })
            }
            None => Ok(()),
        }
    }
}
