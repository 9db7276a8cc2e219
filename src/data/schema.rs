//! The form of rows, without their content: the input of a model's construction, and the requirement for other rows.

use serde::{Deserialize, Serialize};

use super::{Input, TargetKind};

/// The form of a run's rows. It is saved in a checkpoint, so that a model can be built and used without the data.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Schema {
    /// The form of a row's inputs.
    pub input: Input,
    /// The form of a row's target.
    pub targets: TargetKind,
    /// The names of columns and classes.
    #[serde(flatten)]
    pub names: Names,
}

/// The names of columns and classes, if they have any.
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
    /// The name of each, or its number from 0 if the file has no names.
    pub all: Vec<String>,
    /// The number of the label column, or of the first of several.
    pub label: usize,
    /// The numbers of further label columns.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub more_labels: Vec<usize>,
    /// The numbers of the ignored columns.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ignored: Vec<usize>,
}

impl Columns {
    /// Returns the numbers of the feature columns, in ascending order.
    pub fn features(&self) -> impl Iterator<Item = usize> {
        let is_label = |place: &usize| *place == self.label || self.more_labels.contains(place);
        (0..self.all.len()).filter(move |place| !is_label(place) && !self.ignored.contains(place))
    }

    /// Returns the numbers of the label columns, in the order of the targets.
    pub fn labels(&self) -> impl Iterator<Item = usize> {
        std::iter::once(self.label).chain(self.more_labels.iter().copied())
    }

    /// Returns the names of the label columns, in the order of the targets.
    pub(crate) fn label_names(&self) -> Vec<String> {
        self.labels().filter_map(|place| self.all.get(place).cloned()).collect()
    }
}
