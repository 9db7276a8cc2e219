//! Rows in host memory, as vectors.

use std::path::Path;

use super::{DataError, Problem, TargetKind};

/// Inputs and targets of some rows, row after row.
#[derive(Clone, Debug, PartialEq)]
pub struct Rows {
    input_shape: Vec<usize>,
    inputs: Vec<f32>,
    targets: Targets,
}

/// The targets of some rows.
#[derive(Clone, Debug, PartialEq)]
pub enum Targets {
    /// `width` numbers per row, row after row.
    Values {
        /// The numbers.
        values: Vec<f32>,
        /// Number of values per row.
        width: usize,
    },
    /// A class for each row.
    Classes {
        /// The class of each row, less than `count`.
        labels: Vec<u32>,
        /// Number of classes.
        count: usize,
    },
}

impl Rows {
    /// Creates rows with inputs of `input_shape`. The number of rows follows from the targets.
    ///
    /// # Errors
    /// A row without inputs or targets, inputs and targets for different numbers of rows, or a label that is not a
    /// class.
    pub fn new(input_shape: Vec<usize>, inputs: Vec<f32>, targets: Targets) -> Result<Self, DataError> {
        let width = input_shape.iter().copied().try_fold(1, usize::checked_mul).unwrap_or(0);
        let rows = targets.rows();
        if width == 0 || rows.is_none() || rows.and_then(|rows| rows.checked_mul(width)) != Some(inputs.len()) {
            return Err(DataError::Uneven { inputs: inputs.len(), input_shape, targets: targets.len() });
        }
        if let Targets::Classes { labels, count } = &targets {
            for (row, &label) in labels.iter().enumerate() {
                class_below(label, *count).map_err(|problem| DataError::Row { row, problem })?;
            }
        }
        Ok(Self { input_shape, inputs, targets })
    }

    /// Returns the shape of one row's inputs.
    pub fn input_shape(&self) -> &[usize] {
        &self.input_shape
    }

    /// Returns the inputs, row after row.
    pub fn inputs(&self) -> &[f32] {
        &self.inputs
    }

    /// Returns the targets.
    pub fn targets(&self) -> &Targets {
        &self.targets
    }

    /// Returns the number of rows.
    pub fn len(&self) -> usize {
        self.targets.rows().unwrap_or(0)
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns shape, inputs and targets without a copy.
    pub(super) fn into_parts(self) -> (Vec<usize>, Vec<f32>, Targets) {
        (self.input_shape, self.inputs, self.targets)
    }
}

impl Targets {
    /// Returns the form of the targets.
    pub fn kind(&self) -> TargetKind {
        match self {
            Self::Values { width, .. } => TargetKind::Values { width: *width },
            Self::Classes { count, .. } => TargetKind::Classes { count: *count },
        }
    }

    /// Returns the class of every row, if each has one.
    pub(super) fn classes(&self) -> Option<Vec<u32>> {
        match self {
            Self::Classes { labels, .. } => Some(labels.clone()),
            Self::Values { .. } => None,
        }
    }

    /// Returns the number of rows, if it is an integer.
    pub(super) fn rows(&self) -> Option<usize> {
        match self {
            Self::Values { width: 0, .. } => None,
            Self::Values { values, width } => values.len().is_multiple_of(*width).then(|| values.len() / width),
            Self::Classes { labels, .. } => Some(labels.len()),
        }
    }

    /// Returns the number of values.
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Values { values, .. } => values.len(),
            Self::Classes { labels, .. } => labels.len(),
        }
    }
}

/// Returns the label, if it is one of `classes`.
pub(super) fn class_below(label: u32, classes: usize) -> Result<u32, Problem> {
    if (label as usize) < classes { Ok(label) } else { Err(Problem::ClassTooLarge { label, classes }) }
}

/// The remedy of [`infer_classes`] for a table.
pub(super) const OF_A_TABLE: &str = "set `data.task = \"regression\"` for values, or `data.classes` for their number";

/// Returns the number of classes for `rows` labels of the file at `path`: one more than the `largest`.
///
/// Every class costs a row of weights, so a column of prices used as labels should fail here and not in the allocator:
/// more than a thousand classes, and more than there are rows, must be declared. `remedy` says how, for this format,
/// and what to do about labels that are values.
pub(super) fn infer_classes(path: &Path, rows: usize, largest: u32, remedy: &'static str) -> Result<usize, DataError> {
    const UNSUSPICIOUS: usize = 1000;
    let classes = (largest as usize).saturating_add(1);
    if classes > rows.max(UNSUSPICIOUS) {
        return Err(DataError::TooManyClasses { path: path.into(), largest, rows, remedy });
    }
    Ok(classes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_must_come_out_even() {
        let targets = || Targets::Values { values: vec![0.0; 4], width: 2 };
        assert_eq!(Rows::new(vec![3], vec![0.0; 6], targets()).unwrap().len(), 2);
        let message = Rows::new(vec![3], vec![0.0; 7], targets()).unwrap_err().to_string();
        assert_eq!(message, "7 inputs of shape [3] a row and 4 targets do not come out as the same number of rows");
        assert!(Rows::new(vec![0], vec![], targets()).is_err());
        assert!(Rows::new(vec![usize::MAX, 2], vec![0.0; 4], targets()).is_err());
        assert!(Rows::new(vec![1], vec![0.0], Targets::Values { values: vec![], width: 0 }).is_err());
    }

    #[test]
    fn a_label_must_be_a_class() {
        let targets = Targets::Classes { labels: vec![0, 2], count: 2 };
        let message = Rows::new(vec![1], vec![0.0; 2], targets).unwrap_err().to_string();
        assert_eq!(
            message,
            "row 1 (counted from 0): label 2 is not below the number of classes, 2; labels count from 0"
        );
    }
}
