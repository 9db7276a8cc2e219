//! Intervals: a number of steps, epochs or minutes, or automatic.

use std::fmt;
use std::str::FromStr;

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize};

use super::as_text::written_as_text;
use crate::data::Epochs;

/// An interval, written `"500 steps"`, `"2 epochs"`, `"10 minutes"` or `"auto"`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
#[non_exhaustive]
pub enum Interval {
    /// A number of optimizer updates.
    Steps(u64),
    /// A number of passes over the data.
    Epochs(u64),
    /// A number of minutes of wall-clock time.
    Minutes(f64),
    /// Automatic, by the length of the run.
    #[default]
    Auto,
}

impl Interval {
    /// Returns the number of updates after which this much of a run is made; `None` if it follows the clock or is
    /// automatic.
    pub(crate) fn steps_from_start(self, epochs: &Epochs) -> Option<u64> {
        match self {
            Self::Epochs(count) => Some(epochs.steps_of(count as f64)),
            other => other.in_steps(1),
        }
    }

    /// Returns the interval in updates; `None` if it follows the clock or is automatic.
    pub fn in_steps(self, steps_per_epoch: u64) -> Option<u64> {
        match self {
            Self::Steps(steps) => Some(steps),
            Self::Epochs(epochs) => Some(epochs.saturating_mul(steps_per_epoch)),
            Self::Minutes(_) | Self::Auto => None,
        }
    }
}

impl FromStr for Interval {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::parse(text, "`steps`, `epochs` or `minutes`: `2 epochs`; or `auto`")
    }
}

/// Reads the interval of validations, which never follow the clock.
pub(super) fn of_validations<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Interval, D::Error> {
    let text = String::deserialize(deserializer)?;
    Interval::parse(&text, "`steps` or `epochs`: `2 epochs`; or `auto`").map_err(D::Error::custom)
}

/// Reads the interval of checkpoints to keep, which is a number of steps or epochs.
pub(super) fn of_kept<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Interval>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?;
    text.map(|text| Interval::kept(&text)).transpose().map_err(D::Error::custom)
}

impl Interval {
    /// Reads the interval of checkpoints to keep; the advice for a wrong one has no minutes and no `auto`.
    ///
    /// # Errors
    /// `text` is not an interval.
    pub fn kept(text: &str) -> Result<Self, String> {
        Self::parse(text, "`steps` or `epochs`: `2 epochs`")
    }

    /// Reads an interval; `units` are those that are accepted in its place, for the error.
    fn parse(text: &str, units: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is not an interval; write a positive number and {units}");
        if text.trim() == "auto" {
            return Ok(Self::Auto);
        }
        let (number, unit) = text.trim().split_once(char::is_whitespace).ok_or_else(wrong)?;
        let count = || number.parse().ok().filter(|&count: &u64| count > 0).ok_or_else(wrong);
        match unit.trim() {
            "step" | "steps" => Ok(Self::Steps(count()?)),
            "epoch" | "epochs" => Ok(Self::Epochs(count()?)),
            "minute" | "minutes" => {
                let minutes = number.parse().ok().filter(|minutes: &f64| *minutes > 0.0 && minutes.is_finite());
                Ok(Self::Minutes(minutes.ok_or_else(wrong)?))
            }
            _ => Err(wrong()),
        }
    }
}

impl fmt::Display for Interval {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plural = |one: bool| if one { "" } else { "s" };
        match *self {
            Self::Steps(n) => write!(f, "{n} step{}", plural(n == 1)),
            Self::Epochs(n) => write!(f, "{n} epoch{}", plural(n == 1)),
            Self::Minutes(n) => write!(f, "{n} minute{}", plural(n == 1.0)),
            Self::Auto => f.write_str("auto"),
        }
    }
}

impl TryFrom<String> for Interval {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

written_as_text!(Interval, "Every", r"^\s*([0-9.]+(e[0-9]+)?\s+(step|epoch|minute)s?|auto)\s*$");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_are_read_and_written() {
        for text in ["1 step", "500 steps", "1 epoch", "2 epochs", "0.5 minutes", "auto"] {
            assert_eq!(text.parse::<Interval>().unwrap().to_string(), text);
        }
        for text in ["", "5", "0 steps", "-1 epochs", "1.5 epochs", "nan minutes", "2 hours", "steps"] {
            assert!(text.parse::<Interval>().unwrap_err().contains("is not an interval"), "{text}");
        }
    }

    #[test]
    fn an_interval_is_a_number_of_updates_unless_it_goes_by_the_clock() {
        let every = [
            Interval::Steps(5),
            Interval::Epochs(2),
            Interval::Epochs(u64::MAX),
            Interval::Minutes(0.5),
            Interval::Auto,
        ];
        assert_eq!(every.map(|every| every.in_steps(4)), [Some(5), Some(8), Some(u64::MAX), None, None]);
    }
}
