//! A table as read: a column of numbers or of categories for each feature, and a column of targets.

use std::num::NonZeroUsize;

use super::labels::LabelKind;
use super::lists::Lists;
use super::missing::MissingTexts;
use super::options::Decimal;
use super::words::Words;
use super::{Columns, Problem, TargetTransform, Targets};
use crate::Notice;

/// A table in memory, with missing values.
#[derive(Debug)]
pub(super) struct Frame {
    pub columns: Vec<Column>,
    pub targets: Targets,
    /// The names of the classes in the order of their numbers, if they have names.
    pub classes: Option<Vec<String>>,
    /// All columns of the file.
    pub layout: Columns,
    /// The decimal mark of its file.
    pub decimal: Decimal,
    /// Likely mistakes found while reading.
    pub notices: Vec<Notice>,
}

/// A feature column.
#[derive(Debug)]
pub(super) struct Column {
    pub name: String,
    pub cells: Cells,
    /// Whether the user declares it a column of categories.
    pub named: bool,
}

/// The values of a column, row after row.
#[derive(Debug)]
pub(super) enum Cells {
    /// NaN for missing values.
    Numbers(Vec<f64>),
    /// Words; the empty word for missing values.
    Categories(Words),
    /// A list of numbers in each row.
    Lists(Lists),
}

impl Cells {
    /// Returns the number of rows without a value.
    pub fn missing(&self) -> usize {
        match self {
            Self::Numbers(numbers) => numbers.iter().filter(|number| number.is_nan()).count(),
            Self::Categories(words) => {
                let is_missing = |word: &&u32| words.distinct().get(**word as usize).is_some_and(String::is_empty);
                words.rows().iter().filter(is_missing).count()
            }
            Self::Lists(lists) => lists.rows().filter(|list| list.iter().any(|number| number.is_nan())).count(),
        }
    }
}

impl Cells {
    /// Whether every row has the same value.
    pub fn are_constant(&self) -> bool {
        match self {
            Self::Numbers(numbers) => numbers.windows(2).all(|pair| pair[0] == pair[1]),
            Self::Categories(words) => words.distinct().len() == 1,
            Self::Lists(lists) => lists.rows().zip(lists.rows().skip(1)).all(|(list, next)| list == next),
        }
    }
}

/// The role of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// A target, with its place among the targets of a row.
    Target(usize),
    Ignored,
    Feature,
    /// A feature with number values.
    Number,
    /// A feature with categories, even if they look like numbers.
    Category,
    /// A feature with a list of this many numbers in each row.
    List(usize),
}

/// Options of reading values as targets and features.
#[derive(Clone, Debug)]
pub(super) struct FrameOptions {
    /// How the label becomes a target.
    pub labels: LabelKind,
    /// The text of missing labels, which are an error.
    pub missing_labels: MissingTexts,
    pub classes: Option<NonZeroUsize>,
    /// The transformation of targets that are values.
    pub transform: Option<TargetTransform>,
    /// The text of missing values; `None` if no value may be missing.
    pub missing_values: Option<MissingTexts>,
    /// The decimal mark of the file, for advice.
    pub decimal: Decimal,
    /// Whether the run has begun, in which case likely mistakes are only reported, not errors.
    pub has_begun: bool,
}

impl FrameOptions {
    /// Compares texts of missing values as words alone, as runs of earlier versions did.
    pub fn compare_words(&mut self) {
        self.missing_labels = std::mem::take(&mut self.missing_labels).into_words();
        self.missing_values = self.missing_values.take().map(MissingTexts::into_words);
    }

    /// Refuses a value that cannot be a target.
    pub fn check_target(&self, value: f64) -> Result<(), Problem> {
        if self.labels == LabelKind::ZeroOrOne && value != 0.0 && value != 1.0 {
            return Err(Problem::NeitherZeroNorOne(value.to_string()));
        }
        self.transform.map_or(Ok(()), |transform| transform.require(value))
    }
}
