//! What rows of data are, without the rows: what a model is built for, and what other rows must be to be given to it.

use serde::{Deserialize, Serialize};

use super::{Input, TargetKind};

/// What the rows are that a run learns from. A checkpoint holds it, so that a model can be built and used where the
/// data is not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Schema {
    /// What one row's inputs are.
    pub input: Input,
    /// What one row's target is.
    pub targets: TargetKind,
    /// What columns and classes are called.
    #[serde(flatten)]
    pub names: Names,
}

/// What columns and classes are called, where they have names.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Names {
    /// The columns of a table.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub columns: Option<Columns>,
    /// The classes in the order of their numbers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub classes: Option<Vec<String>>,
}

/// The columns of a table in the order of the file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Columns {
    /// The name of each, or its number from 0 where the file has no names.
    pub all: Vec<String>,
    /// Which of them is the label.
    pub label: usize,
    /// Which of them are left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ignored: Vec<usize>,
}

impl Columns {
    /// The places of those that a model sees, in ascending order.
    pub fn features(&self) -> impl Iterator<Item = usize> {
        (0..self.all.len()).filter(|place| *place != self.label && !self.ignored.contains(place))
    }
}
