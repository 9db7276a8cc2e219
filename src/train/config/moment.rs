//! A point in a run: a number of steps or epochs, or a share of the run.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::as_text::written_as_text;
use crate::data::Epochs;

/// A point in a run, written `"500 steps"`, `"10 epochs"` or `"75%"`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
#[non_exhaustive]
pub enum Moment {
    /// After this number of optimizer updates.
    Steps(u64),
    /// After this number of passes over the data.
    Epochs(u64),
    /// After this percentage of the run.
    Percent(f64),
}

impl Moment {
    /// Returns the number of updates made then, in a run of `total` updates with these epochs. A share is rounded to the
    /// nearest update.
    pub(crate) fn in_steps(self, total: u64, epochs: &Epochs) -> u64 {
        match self {
            Self::Steps(steps) => steps,
            Self::Epochs(count) => epochs.steps_of(count as f64),
            Self::Percent(percent) => (total as f64 * percent / 100.0).round() as u64,
        }
    }
}

impl FromStr for Moment {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "`{text}` is not a point in a run; write a number and `steps` or `epochs`, or a share such as `75%`"
            )
        };
        if let Some(digits) = text.trim().strip_suffix('%') {
            let percent = digits.trim().parse().ok().filter(|percent: &f64| (0.0..=100.0).contains(percent));
            return percent.map(Self::Percent).ok_or_else(wrong);
        }
        let (number, unit) = text.trim().split_once(char::is_whitespace).ok_or_else(wrong)?;
        let count = number.parse().map_err(|_| wrong())?;
        match unit.trim() {
            "step" | "steps" => Ok(Self::Steps(count)),
            "epoch" | "epochs" => Ok(Self::Epochs(count)),
            _ => Err(wrong()),
        }
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plural = |count: u64| if count == 1 { "" } else { "s" };
        match *self {
            Self::Steps(count) => write!(f, "{count} step{}", plural(count)),
            Self::Epochs(count) => write!(f, "{count} epoch{}", plural(count)),
            Self::Percent(percent) => write!(f, "{percent}%"),
        }
    }
}

impl TryFrom<String> for Moment {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

written_as_text!(Moment, "Moment", r"^\s*([0-9]+\s+(step|epoch)s?|[0-9.]+\s*%)\s*$");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_in_a_run_are_read_and_written_and_counted_in_updates() {
        for (text, updates) in [("7 steps", 7), ("1 epoch", 10), ("0 steps", 0), ("75%", 30), ("12.5%", 5)] {
            let moment: Moment = text.parse().unwrap();
            assert_eq!((moment.to_string().as_str(), moment.in_steps(40, &Epochs::of_length(10))), (text, updates));
        }
        for text in ["", "7", "7 minutes", "-1 steps", "101%", "nan%", "%", "1.5 epochs"] {
            assert!(text.parse::<Moment>().unwrap_err().contains("is not a point in a run"), "{text}");
        }
    }
}
