//! A row's target, as a loss takes it.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::figures::counted;

/// The form of a row's target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TargetKind {
    /// `width` real numbers.
    Values {
        /// Numbers per row.
        width: usize,
    },
    /// One of `count` classes, numbered from 0, or one for each position of the row.
    Classes {
        /// Number of classes, including those that do not occur.
        count: usize,
    },
}

impl fmt::Display for TargetKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Values { width: 1 } => f.write_str("one value a row"),
            Self::Values { width } => write!(f, "{width} values a row"),
            Self::Classes { count } => f.write_str(&counted(*count, "class")),
        }
    }
}
