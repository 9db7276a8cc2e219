//! `trials.jsonl`: how each trial has ended, a line each, in the order of their numbers.
//!
//! The file is replaced as a whole, so it is never half written. It holds nothing that depends on the clock: a sweep
//! that was killed and continued ends with the bytes of one that was not.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::error::SweepError;
use super::place;
use crate::plain;

/// The name of the file.
pub(super) const NAME: &str = "trials.jsonl";

/// How a trial has ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ended {
    /// The number of the trial, from 0.
    pub trial: usize,
    /// The value of each parameter, by its key.
    pub parameters: Map<String, Value>,
    /// The kind of its end.
    pub end: End,
    /// Its best value of the metric; `None` if it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<f64>,
    /// The number of updates after which that was measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub best_step: Option<u64>,
    /// The number of its updates.
    pub steps: u64,
    /// Its best values up to each rung that it came to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rungs: Vec<f64>,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// The kinds of ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// Its run is finished.
    Finished,
    /// It was not among the best at a rung.
    EndedEarly,
    /// Its loss, or a gradient, became infinite or no number.
    Diverged,
    /// An error has ended it.
    Failed,
}

impl End {
    /// Returns the kind in words.
    pub fn word(self) -> &'static str {
        match self {
            Self::Finished => "finished",
            Self::EndedEarly => "ended early",
            Self::Diverged => "diverged",
            Self::Failed => "failed",
        }
    }
}

/// Reads the file of the sweep at `sweep`; it is empty if there is none.
pub(super) fn read(sweep: &Path) -> Result<BTreeMap<usize, Ended>, SweepError> {
    let file = sweep.join(NAME);
    let text = place::read(&file)?.unwrap_or_default();
    let line = |(index, line): (usize, &str)| {
        let ended: Ended = serde_json::from_str(line).map_err(|error| SweepError::File {
            origin: format!("{}, line {}", file.display(), index + 1),
            reason: format!(
                "{}; remove the line, and the sweep looks at the run of its trial again",
                plain::of_json_line(&error, 0)
            ),
        })?;
        Ok((ended.trial, ended))
    };
    text.lines().enumerate().map(line).collect()
}

/// Returns the text of the file.
pub(super) fn text<'a>(ended: impl Iterator<Item = &'a Ended>) -> String {
    // All fields can be written as JSON.
    ended.map(|ended| serde_json::to_string(ended).unwrap_or_default() + "\n").collect()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn ends_are_read_as_they_were_written_and_a_broken_line_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join(NAME);
        assert!(read(folder.path()).unwrap().is_empty());
        let finished = Ended {
            trial: 3,
            parameters: Map::from_iter([("optimizer.lr".to_owned(), 0.1.into())]),
            end: End::Finished,
            value: Some(1.0 / 3.0),
            best_step: Some(8),
            steps: 12,
            rungs: vec![0.5],
            error: None,
        };
        let failed =
            Ended { trial: 4, end: End::Failed, value: None, error: Some("why".to_owned()), ..finished.clone() };
        fs::write(&file, text([&finished, &failed].into_iter())).unwrap();
        assert_eq!(read(folder.path()).unwrap().into_values().collect::<Vec<_>>(), [finished, failed]);
        fs::write(&file, "{\"trial\":1\n").unwrap();
        let error = read(folder.path()).unwrap_err().to_string();
        assert!(error.contains("trials.jsonl, line 1: ") && error.contains("remove the line"), "{error}");
    }
}
