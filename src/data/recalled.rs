//! The data section of a checkpoint, for a resume.
//!
//! A checkpoint can come from a stranger. Of the paths in its configuration only those are opened that the data itself
//! is read from, and nothing else before its content was found to be the one in the checkpoint. What a person names on
//! the command line is the person's own.

use serde_json::Value;

use super::{DataConfig, DataError, Fingerprint};
use crate::state::State;

/// The data as a checkpoint describes it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Recalled<'a> {
    /// By what the content of the data is known.
    pub fingerprint: Option<&'a Value>,
    /// The state of the data set.
    pub memory: Option<&'a State>,
    /// Whether a person has named the tokenizer now.
    pub tokenizer_is_given: bool,
    /// Whether a person has named the folder for tokens now.
    pub cache_is_given: bool,
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
