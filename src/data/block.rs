//! Blocks of rows by column: records that need no closer look, read many at a time.
//!
//! A reader of files makes a block only of rows whose values surely have the meaning that they have one by one. All
//! others are read one by one, which also finds the words for a mistake and its place.

use super::frame::FrameOptions;
use super::missing::MissingTexts;
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
    Unknown(Option<&'a MissingTexts>),
    Numbers(NumberRule<'a>),
    /// Words, which may be missing if this is set.
    #[cfg_attr(not(feature = "parquet"), allow(dead_code, reason = "texts of missing values are known later"))]
    Words(bool),
}

/// The numbers that a column may have.
#[derive(Clone, Copy)]
pub(super) struct NumberRule<'a> {
    /// The texts of missing values, if there are any.
    missing: Option<&'a MissingTexts>,
    /// Whether values may be missing.
    pub may_be_missing: bool,
    /// The options of targets, if they are targets.
    target: Option<&'a FrameOptions>,
}

impl<'a> NumberRule<'a> {
    /// The rule for a feature; `missing` are the texts of missing values, if any may be missing.
    pub fn of_feature(missing: Option<&'a MissingTexts>) -> Self {
        Self { missing, may_be_missing: missing.is_some(), target: None }
    }

    /// The rule for a target, which is never missing.
    pub fn of_target(options: &'a FrameOptions) -> Self {
        Self { missing: Some(&options.missing_labels), may_be_missing: false, target: Some(options) }
    }

    /// Returns the number that a text is, NaN for a missing value; `None` if it needs a closer look.
    pub fn of_text(&self, text: &str) -> Option<f64> {
        if !self.missing.is_some_and(MissingTexts::are_ambiguous)
            && let Some(number) = plain_number(text)
        {
            return self.checked(number);
        }
        if self.missing.is_some_and(|missing| missing.contain(text)) {
            return self.missing();
        }
        self.checked(plain_number(text)?)
    }

    /// Returns the number that a text in plain notation was parsed as; `None` if the text must be looked at.
    #[inline]
    pub fn of_parsed(&self, number: f64) -> Option<f64> {
        match self.missing {
            _ if !rounds_as_its_text(number) => None,
            Some(missing) if missing.need_text() => None,
            Some(missing) if missing.contain_number(number) => self.missing(),
            _ => self.checked(number),
        }
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
