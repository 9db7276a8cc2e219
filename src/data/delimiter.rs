//! Characters with a meaning in a CSV file: the one between columns, and the one that begins a comment.

use std::borrow::Cow;
use std::path::Path;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// The character that separates the columns of a CSV file, a single byte of ASCII.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Delimiter(u8);

impl Delimiter {
    /// The most common one.
    pub const COMMA: Self = Self(b',');
    /// For files called `.tsv`.
    pub const TAB: Self = Self(b'\t');
    /// Used by spreadsheets where the comma is the decimal mark.
    pub const SEMICOLON: Self = Self(b';');
    /// Used by exports of some databases.
    pub const BAR: Self = Self(b'|');

    /// Returns the usual one for a file of this name, ignoring `.gz` and `.zst`.
    pub fn usual(path: &Path) -> Self {
        let is = |path: &Path, ending| path.extension().is_some_and(|own| own.eq_ignore_ascii_case(ending));
        let is_packed = is(path, "gz") || is(path, "zst");
        let is_tab = is(path, "tsv") || (is_packed && is(&path.with_extension(""), "tsv"));
        if is_tab { Self::TAB } else { Self::COMMA }
    }

    /// Returns the byte.
    pub fn byte(self) -> u8 {
        self.0
    }

    /// Returns the character.
    pub fn character(self) -> char {
        char::from(self.0)
    }

    /// Returns its name for a sentence.
    pub fn in_words(self) -> String {
        match self {
            Self::COMMA => "commas".to_owned(),
            Self::TAB => "tabs".to_owned(),
            Self::SEMICOLON => "semicolons".to_owned(),
            Self(byte) => format!("`{}`", char::from(byte)),
        }
    }
}

impl TryFrom<String> for Delimiter {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        match text.as_bytes() {
            [byte] if byte.is_ascii() && !b"\"\r\n".contains(byte) => Ok(Self(*byte)),
            _ => Err("must be one character such as \",\", \";\" or \"\\t\" (a tab), and no quote or line break"),
        }
    }
}

impl From<Delimiter> for String {
    fn from(delimiter: Delimiter) -> Self {
        char::from(delimiter.0).to_string()
    }
}

impl JsonSchema for Delimiter {
    fn schema_name() -> Cow<'static, str> {
        "Delimiter".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "minLength": 1, "maxLength": 1})
    }
}

/// The character at the beginning of a line that is a comment in a CSV file, a single byte of ASCII.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct CommentMark(u8);

impl CommentMark {
    /// The most common one.
    pub const HASH: Self = Self(b'#');
    /// Used in ARFF and by MATLAB.
    pub const PERCENT: Self = Self(b'%');

    /// Returns the byte.
    pub fn byte(self) -> u8 {
        self.0
    }
}

impl TryFrom<String> for CommentMark {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        match text.as_bytes() {
            [byte] if byte.is_ascii_graphic() && *byte != b'"' => Ok(Self(*byte)),
            _ => Err("must be one character such as \"#\", and no quote or blank"),
        }
    }
}

impl From<CommentMark> for String {
    fn from(mark: CommentMark) -> Self {
        char::from(mark.0).to_string()
    }
}

impl JsonSchema for CommentMark {
    fn schema_name() -> Cow<'static, str> {
        "CommentMark".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "minLength": 1, "maxLength": 1})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_file_tells_its_usual_delimiter() {
        for (name, delimiter) in [("a.csv", Delimiter::COMMA), ("a.TSV", Delimiter::TAB), ("a.tsv.gz", Delimiter::TAB)]
        {
            assert_eq!(Delimiter::usual(Path::new(name)), delimiter, "{name}");
        }
    }

    #[test]
    fn a_delimiter_is_one_character() {
        assert_eq!(Delimiter::try_from("\t".to_owned()), Ok(Delimiter::TAB));
        for text in ["", ",,", "\"", "\n", "é"] {
            assert!(Delimiter::try_from(text.to_owned()).is_err(), "{text:?}");
        }
    }
}
