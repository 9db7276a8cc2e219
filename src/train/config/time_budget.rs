//! A time that a process may take, written with its unit.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::as_text::written_as_text;
use crate::duration::duration;

/// The time that a process may take, written `"30 min"` or `"2h"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TimeBudget(pub Duration);

impl TryFrom<String> for TimeBudget {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let time = duration(&text).ok().filter(|time| !time.is_zero());
        time.map(Self)
            .ok_or_else(|| format!("`{text}` is not a time; write a number and its unit: `90s`, `30min`, `2h`"))
    }
}

/// In the largest unit of which it is a whole number.
impl fmt::Display for TimeBudget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = self.0.as_millis();
        let units = [(86_400_000, "d"), (3_600_000, "h"), (60_000, "min"), (1000, "s"), (1, "ms")];
        let (size, unit) = units.into_iter().find(|(size, _)| millis.is_multiple_of(*size)).unwrap_or((1, "ms"));
        write!(f, "{}{unit}", millis / size)
    }
}

written_as_text!(TimeBudget, "TimeBudget", r"^\s*[0-9.]+\s*(ms|s|m|min|h|d)\s*$");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_and_written_in_their_largest_unit() {
        for (text, written) in [("2h", "2h"), ("120 min", "2h"), ("90s", "90s"), ("1.5 s", "1500ms"), ("1d", "1d")] {
            assert_eq!(TimeBudget::try_from(text.to_owned()).unwrap().to_string(), written);
        }
        for text in ["", "2", "0s", "-1h", "2 weeks"] {
            assert!(TimeBudget::try_from(text.to_owned()).unwrap_err().contains("is not a time"), "{text}");
        }
    }
}
