//! How often something happens: every so many steps, epochs or minutes.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// An interval, written `"500 steps"`, `"2 epochs"` or `"10 minutes"`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Every {
    /// So many optimizer updates.
    Steps(u64),
    /// So many passes over the data.
    Epochs(u64),
    /// So many minutes by the clock.
    Minutes(f64),
}

impl Every {
    /// Whether the interval ends with update number `done - 1`, so that `done` updates are made; `since` is the time
    /// since it last did.
    pub fn is_due(self, done: u64, steps_per_epoch: u64, since: Duration) -> bool {
        match self {
            Self::Steps(steps) => done.is_multiple_of(steps),
            Self::Epochs(epochs) => done.is_multiple_of(steps_per_epoch.saturating_mul(epochs)),
            Self::Minutes(minutes) => since.as_secs_f64() >= minutes * 60.0,
        }
    }
}

impl FromStr for Every {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "`{text}` is not an interval; write a positive number and `steps`, `epochs` or `minutes`: `2 epochs`"
            )
        };
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

impl fmt::Display for Every {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plural = |one: bool| if one { "" } else { "s" };
        match *self {
            Self::Steps(n) => write!(f, "{n} step{}", plural(n == 1)),
            Self::Epochs(n) => write!(f, "{n} epoch{}", plural(n == 1)),
            Self::Minutes(n) => write!(f, "{n} minute{}", plural(n == 1.0)),
        }
    }
}

impl TryFrom<String> for Every {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Every> for String {
    fn from(every: Every) -> Self {
        every.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_are_read_and_written() {
        for text in ["1 step", "500 steps", "1 epoch", "2 epochs", "0.5 minutes"] {
            assert_eq!(text.parse::<Every>().unwrap().to_string(), text);
        }
        for text in ["", "5", "0 steps", "-1 epochs", "1.5 epochs", "nan minutes", "2 hours", "steps"] {
            assert!(text.parse::<Every>().unwrap_err().contains("is not an interval"), "{text}");
        }
    }

    #[test]
    fn intervals_end_where_they_should() {
        let due = |every: Every| (1..=12).filter(|&done| every.is_due(done, 4, Duration::ZERO)).collect::<Vec<_>>();
        assert_eq!(due(Every::Steps(5)), [5, 10]);
        assert_eq!(due(Every::Epochs(2)), [8]);
        assert!(Every::Minutes(0.5).is_due(1, 4, Duration::from_secs(30)));
    }
}
