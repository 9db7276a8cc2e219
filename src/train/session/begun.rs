//! What looks like a mistake and keeps a run from beginning, once it has begun with it.

use serde_json::Value;

use crate::Notice;
use crate::train::TrainError;

/// Whether a run has begun, and which settings were changed since.
#[derive(Debug, Default)]
pub(super) struct Begun {
    changed: Option<Vec<String>>,
}

impl Begun {
    /// A run that has begun with all its settings but those in `changes`, as the history has them.
    pub fn with_all_but(changes: &[Value]) -> Self {
        let keys = changes.iter().filter_map(|change| change["key"].as_str().map(str::to_owned));
        Self { changed: Some(keys.collect()) }
    }

    /// What `checked` says as a warning, where the run has begun with all settings whose keys begin with one of `keys`.
    ///
    /// # Errors
    /// Else what it says.
    pub fn unless(&self, keys: &[&str], checked: Result<(), TrainError>) -> Result<Option<Notice>, TrainError> {
        let Err(error) = checked else { return Ok(None) };
        let is_one = |changed: &String| keys.iter().any(|key| changed.starts_with(key));
        match &self.changed {
            Some(changed) if !changed.iter().any(is_one) => Ok(Some(Notice::Warning(error.to_string()))),
            _ => Err(error),
        }
    }
}
