//! Values that a person has written into a run's `config.toml`, and the command that takes them.

use std::fmt;
use std::path::PathBuf;

use super::dotted::EXCLUSIVE;
use crate::shell;

/// Values in a run's `config.toml` that the run does not have.
#[derive(Debug)]
pub struct Edits {
    /// The run directory, or its URL.
    pub(super) run: PathBuf,
    pub(super) edits: Vec<Edit>,
}

/// A value that a user has changed.
#[derive(Debug)]
pub(super) struct Edit {
    pub key: String,
    /// The run's value, as text.
    pub own: String,
    /// The file's value.
    pub edited: String,
    /// The setting that applies the file's value; `None` if it cannot change within a run.
    pub setting: Option<String>,
}

impl Edits {
    /// Returns all settings that apply the file's values. Setting one of two exclusive settings removes the other, so
    /// that removal is not listed.
    fn settings(&self) -> Vec<&str> {
        let is_set = |key: &str| self.edits.iter().any(|edit| edit.key == key && edit.edited != "not given");
        let is_implied = |edit: &Edit| {
            edit.edited == "not given" && EXCLUSIVE.iter().any(|(set, removed)| *removed == edit.key && is_set(set))
        };
        self.edits.iter().filter(|edit| !is_implied(edit)).filter_map(|edit| edit.setting.as_deref()).collect()
    }
}

impl fmt::Display for Edits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let file = self.run.join("config.toml");
        let (run, file) = (shell::path(&self.run), shell::path(&file));
        write!(f, "{file} was edited; a run uses its newest checkpoint, so the edit has no effect by itself:")?;
        for Edit { key, own, edited, setting } in &self.edits {
            write!(f, "\n  {key} is {edited} in the file and {own} in the run")?;
            if setting.is_none() {
                write!(f, ", and cannot change within a run: change it back, or start a new run")?;
            }
        }
        let settings = self.settings();
        if !settings.is_empty() {
            write!(f, "\nto use the values of the file: train --resume {run}")?;
            settings.iter().try_for_each(|setting| write!(f, " --set {setting}"))?;
        }
        write!(f, "\nto keep the values of the run: delete {file}; the next resume writes it again")
    }
}
