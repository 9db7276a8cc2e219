//! The words and names that options of data take.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize};

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

/// The target column of a table, or several: labels of 0 and 1, or values.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(
    untagged,
    expecting = "a column is given by its name, or by its number: 0 is the first, -1 the last; several by a list of them"
)]
pub enum TargetColumns {
    /// One column.
    One(Label),
    /// Several, in this order.
    Several(Vec<Label>),
}

impl TargetColumns {
    /// Returns the columns in their order.
    pub fn columns(&self) -> &[Label] {
        match self {
            Self::One(column) => std::slice::from_ref(column),
            Self::Several(columns) => columns,
        }
    }
}

impl From<Label> for TargetColumns {
    fn from(column: Label) -> Self {
        Self::One(column)
    }
}

/// The text of missing values in tables of text.
pub(super) const MISSING_VALUES: [&str; 9] = ["", "NA", "N/A", "NaN", "nan", "null", "NULL", "None", "?"];

/// The text of missing values for `pandas.read_csv` in pandas 3.0: `pandas._libs.parsers.STR_NA_VALUES`.
pub(super) const MISSING_FOR_PANDAS: [&str; 19] = [
    "", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN", "<NA>", "N/A", "NA",
    "NULL", "NaN", "None", "n/a", "nan", "null",
];

/// Reads the words for missing values: a list, or "pandas" for those of that library.
pub(super) fn missing_values<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Vec<String>>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged, expecting = "a list of words, or \"pandas\"")]
    enum Given {
        List(Vec<String>),
        Named(Library),
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "lowercase")]
    enum Library {
        Pandas,
    }
    Ok(Some(match Given::deserialize(deserializer)? {
        Given::List(words) => words,
        Given::Named(Library::Pandas) => MISSING_FOR_PANDAS.map(str::to_owned).to_vec(),
    }))
}

/// The form of `missing_values` in a configuration.
pub(super) fn missing_values_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"anyOf": [{"type": "array", "items": {"type": "string"}}, {"const": "pandas"}]})
}

/// The decimal mark of numbers in a table of text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub enum Decimal {
    /// A point.
    #[default]
    #[serde(rename = ".")]
    Point,
    /// A comma.
    #[serde(rename = ",")]
    Comma,
}

impl Decimal {
    /// Returns the character.
    pub(super) fn mark(self) -> char {
        match self {
            Self::Point => '.',
            Self::Comma => ',',
        }
    }
}

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

/// Number of channels of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "u64", into = "u64")]
#[non_exhaustive]
pub enum Channels {
    /// One, its brightness.
    Grey,
    /// Three: red, green and blue.
    Colour,
}

impl TryFrom<u64> for Channels {
    type Error = &'static str;

    fn try_from(channels: u64) -> Result<Self, Self::Error> {
        match channels {
            1 => Ok(Self::Grey),
            3 => Ok(Self::Colour),
            _ => Err("must be 1 for grey or 3 for coloured images"),
        }
    }
}

impl From<Channels> for u64 {
    fn from(channels: Channels) -> Self {
        match channels {
            Channels::Grey => 1,
            Channels::Colour => 3,
        }
    }
}

impl JsonSchema for Channels {
    fn schema_name() -> Cow<'static, str> {
        "Channels".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"enum": [1, 3]})
    }
}

/// How documents share rows of tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum RowPacking {
    /// A row has one document, and is filled up with separators that do not count.
    None,
    /// A row has several documents, each seen by those after it.
    Rows,
    /// A row has several documents, each seen by itself: attention ends at its beginning, where positions begin again.
    Documents,
}
