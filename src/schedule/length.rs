//! Lengths: a number of steps, or a share of the run.

use std::fmt;

use serde_json::{Value as Json, json};

use super::argument::Argument;
use super::error::Problem;
use super::value::{Data, Value, number};

/// A length of time within a schedule, counted in the schedule's unit, or a share of the whole run.
///
/// In data and text it is a whole number, or a percentage such as `"10%"`. A share becomes a number when the run
/// starts, rounded to the nearest step (or epoch); a run of unknown length refuses it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Length {
    /// A number of steps, or of epochs if the schedule counts epochs.
    Steps(u64),
    /// A percentage of the run.
    Percent(f64),
}

impl Length {
    /// Sum of two lengths; `None` if one is in steps and the other is a share.
    pub(crate) fn plus(self, other: Self) -> Option<Self> {
        match (self, other) {
            (Self::Steps(a), Self::Steps(b)) => a.checked_add(b).map(Self::Steps),
            (Self::Percent(a), Self::Percent(b)) => Some(Self::Percent(a + b)),
            _ => None,
        }
    }
}

impl Length {
    /// Difference of two lengths; `None` if `other` is longer, or if one is in steps and the other is a share.
    pub(crate) fn minus(self, other: Self) -> Option<Self> {
        match (self, other) {
            (Self::Steps(a), Self::Steps(b)) => a.checked_sub(b).map(Self::Steps),
            (Self::Percent(a), Self::Percent(b)) => (a >= b).then_some(Self::Percent(a - b)),
            _ => None,
        }
    }
}

impl From<u64> for Length {
    fn from(steps: u64) -> Self {
        Self::Steps(steps)
    }
}

impl fmt::Display for Length {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Steps(steps) => steps.fmt(f),
            Self::Percent(percent) => write!(f, "\"{}%\"", number(*percent)),
        }
    }
}

impl Argument for Length {
    fn read(value: &Value) -> Result<Self, Problem> {
        let expected = "a whole number or a share such as \"10%\"";
        if let Data::Text(text) = &value.data {
            let percent = text.strip_suffix('%').and_then(|digits| digits.trim().parse().ok());
            return percent.map(Self::Percent).ok_or_else(|| Problem::takes(expected, value));
        }
        value.whole().map(Self::Steps).ok_or_else(|| Problem::takes(expected, value))
    }

    fn write(&self) -> Value {
        match self {
            Self::Steps(steps) => steps.write(),
            Self::Percent(percent) => Data::Text(format!("{}%", number(*percent))).into(),
        }
    }

    fn schema() -> Json {
        json!({"anyOf": [u64::schema(), {"type": "string", "pattern": "^ *[0-9.]+ *%$"}]})
    }
}
