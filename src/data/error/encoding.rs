//! Why columns do not become numbers.

use thiserror::Error;

/// Why columns do not become numbers.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum EncodingError {
    /// There is nothing to compute a stand-in from.
    #[error(
        "column `{column}` has no value in any training row, so nothing can stand in for one; \
         leave it out with `data.ignore`"
    )]
    NoValue {
        /// The column.
        column: String,
    },
    /// Every category would be an input of its own.
    #[error(
        "column `{column}` has {categories} categories, and {MOST_CATEGORIES} are the most that become an input each; leave it out \
         with `data.ignore`, or set `data.encoding = \"ordinal\"`"
    )]
    TooManyCategories {
        /// The column.
        column: String,
        /// How many it has.
        categories: usize,
    },
    /// No column is left.
    #[error("`data.ignore` leaves no column but the label")]
    NoColumns,
}

/// More categories than this in one column are rather names or numbers than categories.
pub(in crate::data) const MOST_CATEGORIES: usize = 1000;
