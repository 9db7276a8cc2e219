//! Likely mistakes that prevent the start of a new run, but only give a warning in a run that has begun.

use serde_json::Value;

use crate::Notice;
use crate::train::TrainError;

/// Whether a run has begun, and which settings have changed since.
#[derive(Debug, Default)]
pub(super) struct Begun {
    changed: Option<Vec<String>>,
}

impl Begun {
    /// Creates it for a run that has begun with all its settings except those in `changes`, entries of its history.
    pub fn with_all_but(changes: &[Value]) -> Self {
        let keys = changes.iter().filter_map(|change| change["key"].as_str().map(str::to_owned));
        Self { changed: Some(keys.collect()) }
    }

    /// Returns the error of `checked` as a warning, if the run has begun with all settings whose keys begin with one of
    /// `keys`.
    ///
    /// # Errors
    /// Otherwise the error of `checked`.
    pub fn unless(&self, keys: &[&str], checked: Result<(), TrainError>) -> Result<Option<Notice>, TrainError> {
        let Err(error) = checked else { return Ok(None) };
        let is_one = |changed: &String| keys.iter().any(|key| changed.starts_with(key));
        match &self.changed {
            Some(changed) if !changed.iter().any(is_one) => Ok(Some(Notice::Warning(error.to_string()))),
            _ => Err(error),
        }
    }
}
