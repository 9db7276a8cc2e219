//! The words and names that options of data take.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The kind of target of a table.
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
    /// Its number, from 0; negative numbers count from the end.
    Index(i64),
    /// Its name in the header.
    Name(String),
}

/// The text of missing values in tables of text.
pub(super) const MISSING_VALUES: [&str; 8] = ["", "NA", "N/A", "NaN", "nan", "null", "NULL", "?"];

/// Treatment of missing values.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Missing {
    /// It is an error.
    #[default]
    Error,
    /// The mean of the column's training values replaces it. A missing category is a separate category.
    Mean,
    /// The median replaces it; for an even number of values, the mean of the two in the middle.
    Median,
    /// Zero replaces it.
    Zero,
}

/// Conversion of categories to numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum CategoryEncoding {
    /// One number per category: 1 for the row's category, 0 for the others; all 0 for a category that no training row
    /// has.
    #[default]
    OneHot,
    /// The index of the category in sorted order, from 0; -1 for a category that no training row has.
    Ordinal,
}

/// The kind of token, without a tokenizer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum TokenKind {
    /// A character of the text; the vocabulary is every character in it, in the order of Unicode.
    #[default]
    Characters,
    /// A byte of the text as UTF-8, or of any other file.
    Bytes,
}
