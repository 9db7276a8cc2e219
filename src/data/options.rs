//! The words and names that options of data take.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What is to be learned from a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Task {
    /// The label is a class: a whole number from 0, or a name.
    Classification,
    /// The label is a number.
    Regression,
}

/// A column of a table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged, expecting = "a column is given by its name, or by its number: 0 is the first, -1 the last")]
pub enum Label {
    /// By its number, from 0; negative numbers count from the end.
    Index(i64),
    /// By its name in the header.
    Name(String),
}

/// What stands where a value is missing, in tables of text.
pub(super) const MISSING_VALUES: [&str; 8] = ["", "NA", "N/A", "NaN", "nan", "null", "NULL", "?"];

/// What is done where a value is missing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Missing {
    /// It is an error.
    #[default]
    Error,
    /// The mean of the column's training values stands in. Of categories, a missing one is a category of its own.
    Mean,
    /// The median stands in; of an even number of values, the mean of the two in the middle.
    Median,
    /// Zero stands in.
    Zero,
}

/// How a category is written in numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum CategoryEncoding {
    /// A number for each category, of which one is 1 and the others 0; all 0 where no training row has the category.
    #[default]
    OneHot,
    /// The category's place in their order, from 0; -1 where no training row has it.
    Ordinal,
}

/// What a token is, where no tokenizer says so.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum TokenKind {
    /// A character of the text; the vocabulary is every character in it, in the order of Unicode.
    #[default]
    Characters,
    /// A byte of the text as UTF-8, or of whatever the file holds.
    Bytes,
}
