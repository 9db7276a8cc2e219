//! Why columns do not become numbers.

use thiserror::Error;

/// Errors of converting columns to numbers.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum EncodingError {
    /// There is no value to compute a replacement from.
    #[error(
        "column `{column}` has no value in any training row, so there is no replacement for a missing one; \
         ignore it with `data.ignore`"
    )]
    NoValue {
        /// The column.
        column: String,
    },
    /// Every category would be a separate input.
    #[error(
        "column `{column}` has {categories} categories, and at most {MOST_CATEGORIES} can become an input each; \
         ignore it with `data.ignore`, or set `data.encoding = \"ordinal\"`"
    )]
    TooManyCategories {
        /// The column.
        column: String,
        /// Its number of categories.
        categories: usize,
    },
    /// No column is left.
    #[error("`data.ignore` leaves no column but the label")]
    NoColumns,
}

/// A column with more categories probably holds names or numbers.
pub(in crate::data) const MOST_CATEGORIES: usize = 1000;
