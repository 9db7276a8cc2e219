//! Blocks of rows by column: records that need no closer look, read many at a time.
//!
//! A reader of files makes a block only of rows whose values surely have the meaning that they have one by one. All
//! others are read one by one, which also finds the words for a mistake and its place.

use super::digits;
use super::frame::FrameOptions;
use super::value::{plain_number, rounds_as_its_text};
use super::words::Words;

/// Some rows.
pub(super) struct Block {
    /// Their number.
    pub rows: usize,
    /// The values of the columns that are used, with the number of each in the file.
    pub columns: Vec<(usize, Filled)>,
}

/// The values of a column in some rows.
pub(super) enum Filled {
    /// This number of missing values.
    Missing(usize),
    /// NaN for missing values.
    Numbers(Vec<f64>),
    /// Texts, some of which may stand for missing values.
    Texts(Words),
    /// Words; the empty word for missing values.
    #[cfg_attr(not(feature = "parquet"), allow(dead_code, reason = "a text file has no other values than texts"))]
    Words(Words),
}

/// The values that the next rows of a column must have to be read in a block.
#[derive(Clone, Copy)]
pub(super) enum Expected<'a> {
    /// Any; they are not used.
    Ignored,
    /// No value so far was there, and the first one decides. The texts of missing values, if any may be missing.
    Unknown(Option<&'a [String]>),
    Numbers(NumberRule<'a>),
    /// Words, which may be missing if this is set.
    #[cfg_attr(not(feature = "parquet"), allow(dead_code, reason = "texts of missing values are known later"))]
    Words(bool),
}

/// The numbers that a column may have.
#[derive(Clone, Copy)]
pub(super) struct NumberRule<'a> {
    /// The texts of missing values.
    missing: &'a [String],
    /// Whether values may be missing.
    pub may_be_missing: bool,
    /// Whether a text of missing values is also a number, such as `nan`.
    is_ambiguous: bool,
    /// Whether one is a number in plain notation, such as `-999`.
    is_plain: bool,
    /// The options of targets, if they are targets.
    target: Option<&'a FrameOptions>,
}

impl<'a> NumberRule<'a> {
    /// The rule for a feature; `missing` are the texts of missing values, if any may be missing.
    pub fn of_feature(missing: Option<&'a [String]>) -> Self {
        Self { may_be_missing: missing.is_some(), ..Self::of(missing.unwrap_or_default()) }
    }

    /// The rule for a target, which is never missing.
    pub fn of_target(options: &'a FrameOptions) -> Self {
        Self { target: Some(options), ..Self::of(&options.missing_labels) }
    }

    fn of(missing: &'a [String]) -> Self {
        let is_ambiguous = missing.iter().any(|text| text.parse::<f64>().is_ok());
        let is_plain =
            |text: &String| digits::number(text.as_bytes(), b'.').is_some_and(|(_, length)| length == text.len());
        let is_plain = missing.iter().any(is_plain);
        Self { missing, may_be_missing: false, is_ambiguous, is_plain, target: None }
    }

    /// Returns the number that a text is, NaN for a missing value; `None` if it needs a closer look.
    pub fn of_text(&self, text: &str) -> Option<f64> {
        if !self.is_ambiguous
            && let Some(number) = plain_number(text)
        {
            return self.checked(number);
        }
        if self.missing.iter().any(|missing| missing == text) {
            return self.missing();
        }
        self.checked(plain_number(text)?)
    }

    /// Returns the number that a text in plain notation was parsed as; `None` if the text must be looked at.
    #[inline]
    pub fn of_parsed(&self, number: f64) -> Option<f64> {
        if self.is_plain || !rounds_as_its_text(number) {
            return None;
        }
        self.checked(number)
    }

    /// Returns NaN if a value may be missing.
    pub fn missing(&self) -> Option<f64> {
        self.may_be_missing.then_some(f64::NAN)
    }

    /// Whether every number is taken.
    #[cfg(feature = "parquet")]
    pub fn takes_all(&self) -> bool {
        self.target.is_none()
    }

    /// Returns a number unless it cannot be a target.
    pub fn checked(&self, number: f64) -> Option<f64> {
        Some(number).filter(|&number| self.target.is_none_or(|options| options.check_target(number).is_ok()))
    }
}
