//! A fold of a cross-validation.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// One of several disjoint parts of the rows, which together are all of them: `2/5` is the second of five.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Fold {
    /// Its number, from 1.
    number: usize,
    count: usize,
}

impl Fold {
    /// Returns its number, from 1.
    pub fn number(self) -> usize {
        self.number
    }

    /// Returns the number of parts.
    pub fn count(self) -> usize {
        self.count
    }

    /// Returns its positions among `rows` rows; the parts differ by at most one row.
    pub(super) fn of(self, rows: usize) -> Range<usize> {
        let end = |number: usize| (rows as u128 * number as u128 / self.count as u128) as usize;
        end(self.number - 1)..end(self.number)
    }
}

impl FromStr for Fold {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const RULE: &str =
            "a fold is its number and the number of folds, at least 2, such as \"2/5\" for the second of five";
        let (number, count) = text.split_once('/').ok_or(RULE)?;
        let read = |text: &str| text.trim().parse::<usize>().map_err(|_| RULE);
        let (number, count) = (read(number)?, read(count)?);
        if count >= 2 && (1..=count).contains(&number) { Ok(Self { number, count }) } else { Err(RULE) }
    }
}

impl TryFrom<String> for Fold {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Fold> for String {
    fn from(fold: Fold) -> Self {
        fold.to_string()
    }
}

impl fmt::Display for Fold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.number, self.count)
    }
}

impl JsonSchema for Fold {
    fn schema_name() -> Cow<'static, str> {
        "Fold".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "pattern": "^[1-9][0-9]*/[1-9][0-9]*$"})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_are_all_positions_and_differ_by_one_at_most() {
        for rows in [5, 11, 12, 1000] {
            let parts: Vec<Range<usize>> = (1..=5).map(|number| Fold { number, count: 5 }.of(rows)).collect();
            assert_eq!(parts.iter().cloned().flatten().collect::<Vec<_>>(), (0..rows).collect::<Vec<_>>());
            let lengths: Vec<usize> = parts.iter().map(Range::len).collect();
            assert!(lengths.iter().max().unwrap() - lengths.iter().min().unwrap() <= 1, "{lengths:?}");
        }
        assert_eq!(Fold { number: 2, count: 2 }.of(usize::MAX).end, usize::MAX);
    }

    #[test]
    fn a_fold_is_read_as_it_is_written() {
        assert_eq!("2/5".parse::<Fold>().unwrap().to_string(), "2/5");
        for wrong in ["", "2", "0/5", "6/5", "1/1", "a/b", "1/5/2", "-1/5"] {
            assert!(wrong.parse::<Fold>().is_err(), "{wrong:?}");
        }
    }
}
