//! The conversion of one column to numbers, learned from its training rows.

use serde::{Deserialize, Serialize};

use super::EncodingOptions;
use crate::data::RowSet;
use crate::data::frame::Cells;
use crate::data::lists::{LONGEST, Lists};
use crate::data::options::{CategoryEncoding, Missing};
use crate::data::words::Words;

/// How a column becomes numbers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(super) enum Kind {
    Number {
        /// The replacement of a missing value.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        fill: Option<f64>,
        /// Whether a second number marks missing values.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        indicator: bool,
    },
    OneHot {
        categories: Vec<String>,
    },
    Ordinal {
        categories: Vec<String>,
    },
    List {
        width: usize,
        /// The replacement of a missing number at each place; empty if no number may be missing.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        fill: Vec<f64>,
        /// Whether a further number marks lists with missing numbers.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        indicator: bool,
    },
}

impl Kind {
    /// Numbers without missing values.
    pub const PLAIN: Self = Self::Number { fill: None, indicator: false };

    /// Computes the conversion of `cells` from the rows `train`; `None` if a replacement of missing numbers is needed
    /// and there is no number to compute it from.
    pub fn learned(cells: &Cells, train: &RowSet, options: EncodingOptions) -> Option<Self> {
        match cells {
            Cells::Numbers(numbers) => {
                let (fill, indicator) = replacement(numbers, train, options)?;
                Some(Self::Number { fill, indicator })
            }
            Cells::Categories(words) => Some(Self::of_words(words, train, options.encoding)),
            Cells::Lists(lists) => Self::of_lists(lists, train, options),
        }
    }

    fn of_words(words: &Words, train: &RowSet, encoding: CategoryEncoding) -> Self {
        let mut seen = vec![false; words.distinct().len()];
        train.iter().for_each(|row| seen[words.rows()[row] as usize] = true);
        let of_training = words.distinct().iter().zip(seen).filter(|(_, seen)| *seen);
        let mut categories: Vec<String> = of_training.map(|(word, _)| category(word).to_owned()).collect();
        categories.sort();
        categories.dedup();
        match encoding {
            CategoryEncoding::OneHot => Self::OneHot { categories },
            CategoryEncoding::Ordinal => Self::Ordinal { categories },
        }
    }

    /// Each place is replaced as a column of numbers is.
    fn of_lists(lists: &Lists, train: &RowSet, options: EncodingOptions) -> Option<Self> {
        let (width, mut fill, mut indicator) = (lists.width(), Vec::new(), false);
        if options.missing != Missing::Error {
            for place in 0..width {
                let (value, is_marked) = replacement(&lists.at(place), train, options)?;
                fill.extend(value);
                indicator |= is_marked;
            }
        }
        Some(Self::List { width, fill, indicator })
    }

    /// Whether it can be used; in a damaged checkpoint it may not be.
    pub fn is_valid(&self) -> bool {
        match self {
            Self::List { width, fill, .. } => {
                (1..=LONGEST).contains(width) && (fill.is_empty() || fill.len() == *width)
            }
            Self::Number { .. } | Self::OneHot { .. } | Self::Ordinal { .. } => true,
        }
    }

    /// Returns the categories, if there are any.
    pub fn categories(&self) -> Option<&[String]> {
        match self {
            Self::Number { .. } | Self::List { .. } => None,
            Self::OneHot { categories } | Self::Ordinal { categories } => Some(categories),
        }
    }

    /// Returns the number of numbers.
    pub fn width(&self) -> usize {
        match self {
            Self::Number { indicator, .. } => 1 + usize::from(*indicator),
            Self::OneHot { categories } => categories.len(),
            Self::Ordinal { .. } => 1,
            Self::List { width, indicator, .. } => width + usize::from(*indicator),
        }
    }

    /// Returns the names of its numbers, in a column of this name.
    #[cfg(feature = "peers")]
    pub fn number_names(&self, column: &str) -> Vec<String> {
        let marked = |indicator: bool| indicator.then(|| format!("{column} is missing"));
        match self {
            Self::Number { indicator, .. } => [column.to_owned()].into_iter().chain(marked(*indicator)).collect(),
            Self::OneHot { categories } => categories.iter().map(|category| format!("{column}={category}")).collect(),
            Self::Ordinal { .. } => vec![column.to_owned()],
            Self::List { width, indicator, .. } => {
                (0..*width).map(|place| format!("{column}[{place}]")).chain(marked(*indicator)).collect()
            }
        }
    }

    /// Returns which of its numbers are continuous.
    pub fn measures(&self) -> Vec<bool> {
        match self {
            Self::OneHot { categories } => vec![false; categories.len()],
            Self::Ordinal { .. } => vec![true],
            Self::Number { indicator, .. } | Self::List { indicator, .. } => {
                let mut measures = vec![true; self.width()];
                if let Some(last) = measures.last_mut() {
                    *last = !indicator;
                }
                measures
            }
        }
    }

    /// Returns its name for messages.
    pub fn words(&self) -> String {
        match self {
            Self::Number { .. } => "number".to_owned(),
            Self::OneHot { .. } => "one-hot".to_owned(),
            Self::Ordinal { .. } => "ordinal".to_owned(),
            Self::List { width, .. } => format!("list of {width} numbers"),
        }
    }
}

/// Returns the category of a word. A column of doubles may have two zeros, which are the same number.
pub(super) fn category(word: &str) -> &str {
    if word == "-0" { "0" } else { word }
}

/// Returns the replacement of missing numbers, if they may be missing, and whether they are marked; `None` if there is
/// no number to compute a replacement from.
fn replacement(numbers: &[f64], train: &RowSet, options: EncodingOptions) -> Option<(Option<f64>, bool)> {
    if options.missing == Missing::Error {
        return Some((None, false));
    }
    let mut there: Vec<f64> = train.iter().map(|row| numbers[row]).filter(|number| !number.is_nan()).collect();
    if there.is_empty() {
        return None;
    }
    let fill = match options.missing {
        Missing::Mean => mean(&there),
        Missing::Median => {
            there.sort_by(f64::total_cmp);
            mean(&there[(there.len() - 1) / 2..=there.len() / 2])
        }
        Missing::Zero | Missing::Error => 0.0,
    };
    Some((Some(fill), options.indicator && train.iter().any(|row| numbers[row].is_nan())))
}

/// Returns the mean, summed in this order, rounded to 32 bits for single precision.
fn mean(numbers: &[f64]) -> f64 {
    let mean = numbers.iter().sum::<f64>() / numbers.len() as f64;
    let are_single = numbers.iter().all(|&number| f64::from(number as f32) == number);
    if are_single { f64::from(mean as f32) } else { mean }
}
