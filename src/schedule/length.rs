//! Lengths: a number of steps, a share of the run, or an amount of data.

use std::fmt;

use serde_json::{Value as Json, json};

use super::amounts::Amount;
use super::argument::Argument;
use super::error::Problem;
use super::value::{Data, Value, number};

/// A length of time within a schedule, counted in the schedule's unit, or a share of the whole run.
///
/// In data and text it is a whole number, a percentage such as `"10%"`, or an amount of data such as `"50000 samples"` or
/// `"2e9 tokens"`. A share or an amount becomes a number when the run starts, rounded to the nearest step (or epoch); a
/// run of unknown length refuses a share, and one of unknown batches an amount.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Length {
    /// A number of steps, or of epochs if the schedule counts epochs.
    Steps(u64),
    /// A percentage of the run.
    Percent(f64),
    /// An amount of data: a number of samples or tokens.
    Data(u64, Amount),
}

impl Length {
    /// Reads an amount of data, such as `50000 samples`.
    pub(super) fn of_data(text: &str) -> Option<(u64, Amount)> {
        let (count, word) = text.trim().split_once(' ')?;
        let amount = match word.trim() {
            "samples" => Amount::Samples,
            "tokens" => Amount::Tokens,
            _ => return None,
        };
        let number = count.parse().map(Data::Integer).or_else(|_| count.parse().map(Data::Number)).ok()?;
        Some((Value::from(number).whole()?, amount))
    }
}

impl Length {
    /// Sum of two lengths; `None` if one is in steps and the other is a share.
    pub(crate) fn plus(self, other: Self) -> Option<Self> {
        match (self, other) {
            (Self::Steps(a), Self::Steps(b)) => a.checked_add(b).map(Self::Steps),
            (Self::Percent(a), Self::Percent(b)) => Some(Self::Percent(a + b)),
            (Self::Data(a, one), Self::Data(b, other)) if one == other => Some(Self::Data(a.checked_add(b)?, one)),
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
            (Self::Data(a, one), Self::Data(b, other)) if one == other => Some(Self::Data(a.checked_sub(b)?, one)),
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
            Self::Data(..) => self.write().fmt(f),
        }
    }
}

impl Argument for Length {
    fn read(value: &Value) -> Result<Self, Problem> {
        let expected = "a whole number, a share such as \"10%\", or an amount such as \"5000 samples\"";
        if let Data::Text(text) = &value.data {
            if let Some((count, amount)) = Self::of_data(text) {
                return Ok(Self::Data(count, amount));
            }
            let percent = text.strip_suffix('%').and_then(|digits| digits.trim().parse().ok());
            return percent.map(Self::Percent).ok_or_else(|| Problem::takes(expected, value));
        }
        value.whole().map(Self::Steps).ok_or_else(|| Problem::takes(expected, value))
    }

    fn write(&self) -> Value {
        match self {
            Self::Steps(steps) => steps.write(),
            Self::Percent(percent) => Data::Text(format!("{}%", number(*percent))).into(),
            Self::Data(count, Amount::Samples) => Data::Text(format!("{count} samples")).into(),
            Self::Data(count, Amount::Tokens) => Data::Text(format!("{count} tokens")).into(),
        }
    }

    fn schema() -> Json {
        json!({"anyOf": [u64::schema(), {"type": "string", "pattern": "^ *([0-9.]+ *%|[0-9.e+]+ +(samples|tokens)) *$"}]})
    }
}
