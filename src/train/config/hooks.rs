//! `[hooks]`: commands that a run starts. They change no bit of it.

use std::fmt;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::as_text::written_as_text;
use crate::duration::duration;
use crate::train::TrainError;

/// Commands that are started when something happens in the run, with JSON about it on their standard input. A command is
/// a list of words, its program and arguments; no shell reads it. A configuration alone starts no command: they run
/// if `train` is started with `--hooks`. They change no bit of the run, and can be changed on a resume.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct HooksConfig {
    /// When a process begins to train, at the beginning of the run and after each resume.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub on_start: Option<Vec<String>>,
    /// When a checkpoint is complete.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub on_checkpoint: Option<Vec<String>>,
    /// After each validation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub on_validation: Option<Vec<String>>,
    /// When the run is finished, or stopped by a signal, and all is saved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub on_end: Option<Vec<String>>,
    /// When an error ends the run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub on_failure: Option<Vec<String>>,
    /// The longest time of a command, such as `"30 s"`, the default, or `"5 min"`; it is killed after that.
    #[serde(default)]
    pub timeout: TimeLimit,
}

impl HooksConfig {
    /// Returns each command with its key.
    pub(in crate::train) fn commands(&self) -> impl Iterator<Item = (&'static str, &[String])> {
        let all = [
            ("on_start", &self.on_start),
            ("on_checkpoint", &self.on_checkpoint),
            ("on_validation", &self.on_validation),
            ("on_end", &self.on_end),
            ("on_failure", &self.on_failure),
        ];
        all.into_iter().filter_map(|(key, words)| Some((key, words.as_deref()?)))
    }

    /// Whether there are no commands.
    pub fn is_empty(&self) -> bool {
        self.commands().next().is_none()
    }

    /// Whether a file without this table means the same.
    pub(super) fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// Refuses a command without a program.
    pub(super) fn validate(&self) -> Result<(), TrainError> {
        let is_wrong = |words: &[String]| words.first().is_none_or(|program| program.trim().is_empty());
        match self.commands().find(|(_, words)| is_wrong(words)) {
            Some((key, words)) => Err(TrainError::Field {
                field: format!("hooks.{key}"),
                value: format!("{words:?}"),
                rule: "must begin with a program: [\"./notify.sh\", \"team\"]; remove the key for no command"
                    .to_owned(),
            }),
            None => Ok(()),
        }
    }
}

/// The longest time of a command, written with its unit: `"30 s"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TimeLimit(pub Duration);

impl Default for TimeLimit {
    fn default() -> Self {
        Self(Duration::from_secs(30))
    }
}

impl TryFrom<String> for TimeLimit {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        /// A hook may upload a checkpoint, but a run must come to its end.
        const LONGEST: Duration = Duration::from_secs(24 * 3600);
        let limit = duration(&text).ok().filter(|limit| !limit.is_zero() && *limit <= LONGEST);
        limit.map(Self).ok_or_else(|| format!("`{text}` is not a time limit; write `30 s` or `5 min`, at most a day"))
    }
}

impl fmt::Display for TimeLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let milliseconds = self.0.as_millis();
        match milliseconds {
            whole if whole.is_multiple_of(60_000) => write!(f, "{} min", whole / 60_000),
            whole if whole.is_multiple_of(1000) => write!(f, "{} s", whole / 1000),
            part => write!(f, "{part} ms"),
        }
    }
}

written_as_text!(TimeLimit, "TimeLimit", r"^[0-9.]+(e[0-9]+)?\s*(ms|s|m|min|h|d)\s*$");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_limit_is_read_and_written_and_has_an_end() {
        for text in ["30 s", "5 min", "250 ms", "90 s"] {
            assert_eq!(TimeLimit::try_from(text.to_owned()).unwrap().to_string(), text);
        }
        for text in ["", "30", "0 s", "-1 s", "2 d", "1e99 h", "soon"] {
            assert!(TimeLimit::try_from(text.to_owned()).unwrap_err().contains("is not a time limit"), "{text}");
        }
    }

    #[test]
    fn a_command_begins_with_a_program() {
        let config = |words: &[&str]| {
            let words = words.iter().map(|word| (*word).to_owned()).collect();
            HooksConfig { on_end: Some(words), ..HooksConfig::default() }
        };
        config(&["true"]).validate().unwrap();
        for words in [&[][..], &[""], &[" ", "x"]] {
            assert!(config(words).validate().unwrap_err().to_string().contains("hooks.on_end"), "{words:?}");
        }
    }
}
