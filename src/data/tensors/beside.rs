//! The `.npy` files of targets, each in the folder of its file of inputs.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use crate::data::error::FilesError;
use crate::data::files::{Files, Part};
use crate::data::{DataConfig, DataError, TensorError};

impl DataConfig {
    /// Returns the path of the targets of the inputs at `path`, which are for this use. A `*` in the name of the targets
    /// stands for the text that the `*` in the name of the inputs stands for.
    pub(in crate::data) fn targets_beside(&self, part: Part, path: &Path) -> Result<PathBuf, DataError> {
        let name = self.targets_of(part);
        let Some((before, after)) = name.split_once('*') else { return Ok(path.with_file_name(name)) };
        let own = path.file_name().unwrap_or_default().to_string_lossy();
        let patterns = match part {
            Part::Train => Some(self.paths()),
            Part::Validation => self.validation_path.clone(),
            Part::Test => self.test_path.clone(),
        };
        let stands_for = |pattern: &Path| {
            let pattern = pattern.file_name()?.to_str()?;
            let (before, after) = pattern.split_once('*')?;
            own.strip_prefix(before)?.strip_suffix(after).map(str::to_owned)
        };
        let found = patterns.as_ref().and_then(|patterns| patterns.iter().find_map(stands_for));
        let found = found.ok_or_else(|| {
            let (option, name, inputs) = (option_of(part), name.to_owned(), part.option());
            TensorError::NoSuchTargets { option, name, inputs, path: path.to_owned() }
        })?;
        Ok(path.with_file_name(format!("{before}{found}{after}")))
    }

    /// Returns the name of the file of targets, of `.npy` files of this use.
    fn targets_of(&self, part: Part) -> &str {
        let own = match part {
            Part::Train => None,
            Part::Validation => self.validation_targets.as_deref(),
            Part::Test => self.test_targets.as_deref(),
        };
        own.unwrap_or(self.tensor_names().1)
    }
}

fn option_of(part: Part) -> &'static str {
    match part {
        Part::Train => "targets",
        Part::Validation => "validation_targets",
        Part::Test => "test_targets",
    }
}

/// Refuses a file of targets for two files of inputs, as they are in one folder if their names are not given.
pub(in crate::data) fn require_own(files: &Files, config: &DataConfig) -> Result<(), DataError> {
    let mut seen: HashMap<PathBuf, Part> = HashMap::new();
    for (part, inputs) in files.iter() {
        let path = config.targets_beside(part, inputs)?;
        let file = path.canonicalize().unwrap_or_else(|_| path.clone());
        if let Some(first) = seen.insert(file, part) {
            let (first, second) = (option_of(first), option_of(part));
            return Err(FilesError::Twice { path, first, second }.into());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_in_the_name_of_targets_is_that_of_their_inputs() {
        let config = |path: &str, targets: &str| {
            let text =
                format!("path = '{path}'\nvalidation_path = 'v/in_*.npy'\nformat = 'npy'\ntargets = '{targets}'");
            toml::from_str::<DataConfig>(&text).unwrap()
        };
        let beside = |path: &str, targets: &str, part, inputs: &str| {
            let found = config(path, targets).targets_beside(part, Path::new(inputs));
            found.map(|path| path.display().to_string()).map_err(|error| error.to_string())
        };
        assert_eq!(beside("a/x-*.npy", "y-*.npy", Part::Train, "a/x-03.npy").unwrap(), "a/y-03.npy");
        assert_eq!(beside("a*/x.npy", "y.npy", Part::Train, "a2/x.npy").unwrap(), "a2/y.npy");
        assert_eq!(beside("x.npy", "out_*.npy", Part::Validation, "v/in_7.npy").unwrap(), "v/out_7.npy");
        let message = beside("a/x.npy", "y-*.npy", Part::Train, "a/x.npy").unwrap_err();
        assert!(message.contains("`data.targets` = \"y-*.npy\"") && message.contains("a/x.npy"), "{message}");
    }
}
