//! Labels that are integers of a tensor or of an IDX file, as classes.
//!
//! As in tables, labels that count from 0 are the numbers of classes, and others, such as 1 to 26, or -1 and 1, are
//! classes by value. Unlike there, classes in the middle may have no rows, because such files are often parts of others.

use std::collections::BTreeSet;
use std::num::NonZeroUsize;

use super::classes::LabelsOf;
use super::labels::class_of;
use super::rows::class_below;
use super::{DataError, Problem};
use crate::Notice;
use crate::state::{State, StateError};

/// The classes of rows.
pub(super) struct IntegerClasses {
    pub labels: Vec<u32>,
    pub count: usize,
    /// The values of the classes, if these are not their numbers.
    pub names: Option<Vec<String>>,
    pub notices: Vec<Notice>,
}

/// How labels are read.
pub(super) struct Integers<'a> {
    pub labels_of: LabelsOf<'a>,
    pub declared: Option<NonZeroUsize>,
    /// Whether they may be classes by value.
    pub may_have_names: bool,
}

impl Integers<'_> {
    /// Returns the classes of `labels`. `wrong` creates the error of the label in a row.
    pub fn classes(
        &self,
        labels: &[i64],
        wrong: impl Fn(usize, Problem) -> DataError,
    ) -> Result<IntegerClasses, DataError> {
        let values: BTreeSet<i64> = labels.iter().copied().collect();
        // Other negative labels, such as a single -1 for rows without a label, are a mistake.
        let are_signs = values.len() == 2 && values.first() == Some(&-1) && values.last() == Some(&1);
        let are_above_0 = values.len() > 1 && values.first() > Some(&0);
        if self.may_have_names && self.declared.is_none() && (are_above_0 || are_signs) {
            return self.by_value(labels, &values);
        }
        let limit = self.declared.map_or(usize::MAX, NonZeroUsize::get);
        let class = |(row, &label): (usize, &i64)| number(label, limit).map_err(|problem| wrong(row, problem));
        let labels: Vec<u32> = labels.iter().enumerate().map(class).collect::<Result<_, _>>()?;
        let (count, notices) = self.labels_of.classes(&labels, None, self.declared)?;
        Ok(IntegerClasses { labels, count, names: None, notices })
    }

    fn by_value(&self, labels: &[i64], values: &BTreeSet<i64>) -> Result<IntegerClasses, DataError> {
        let values: Vec<i128> = values.iter().map(|&value| value.into()).collect();
        let largest = values.last().copied().unwrap_or(0);
        self.labels_of.refuse_values(values.len(), largest, labels.len())?;
        let names: Vec<String> = values.iter().map(i128::to_string).collect();
        let place = |&label: &i64| values.binary_search(&label.into()).unwrap_or_default() as u32;
        let labels: Vec<u32> = labels.iter().map(place).collect();
        let (count, mut notices) = self.labels_of.classes(&labels, Some(&names), None)?;
        notices.push(self.labels_of.by_value(&values, &labels));
        Ok(IntegerClasses { labels, count, names: Some(names), notices })
    }
}

/// Returns the class of a label for a model of `count` classes, which may have names.
pub(super) fn known(label: i64, count: usize, names: Option<&[String]>) -> Result<u32, Problem> {
    let unknown = || Problem::UnknownClass(label.to_string());
    match names {
        Some(names) => class_of(names, &label.to_string()).ok_or_else(unknown),
        None => number(label, count),
    }
}

fn number(label: i64, limit: usize) -> Result<u32, Problem> {
    let label = u32::try_from(label).map_err(|_| Problem::NotAClassOfTensor(label.to_string()))?;
    class_below(label, limit)
}

/// Whether the labels of a run may be classes by value: not if it began in a version without them.
pub(super) fn may_have_names(saved: Option<&State>) -> bool {
    saved.is_none_or(|saved| !saved.json["classes"].is_null())
}

/// Returns the saved state of the names of classes, which is empty if they have none.
pub(super) fn saved(names: Option<&[String]>) -> serde_json::Value {
    names.map_or(serde_json::Value::Null, |names| serde_json::json!({ "classes": names }))
}

/// Refuses the saved state of other names.
pub(super) fn check(names: Option<&[String]>, state: &State) -> Result<(), StateError> {
    let own = saved(names);
    if state.json == own {
        return Ok(());
    }
    let (saved, expected) = (state.json.to_string(), own.to_string());
    Err(StateError::Mismatch { what: "the list of names of classes".to_owned(), saved, expected })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    /// The classes of labels, their number, and their names.
    type Found = (Vec<u32>, usize, Option<Vec<String>>);

    fn classes(labels: &[i64], declared: Option<usize>) -> Result<Found, String> {
        let labels_of = LabelsOf { path: Path::new("a"), place: None, otherwise: "", too_many: "", has_begun: false };
        let integers = Integers { labels_of, declared: declared.and_then(NonZeroUsize::new), may_have_names: true };
        let wrong = |row, problem| DataError::Row { row, problem };
        let found = integers.classes(labels, wrong).map_err(|error| error.to_string())?;
        Ok((found.labels, found.count, found.names))
    }

    #[test]
    fn labels_that_do_not_count_from_0_are_classes_by_value() {
        let names = |names: &[&str]| Some(names.iter().map(|&name| name.to_owned()).collect());
        assert_eq!(classes(&[1, 26, 1, 2], None), Ok((vec![0, 2, 0, 1], 3, names(&["1", "2", "26"]))));
        assert_eq!(classes(&[1, -1, 1, -1], None), Ok((vec![1, 0, 1, 0], 2, names(&["-1", "1"]))));
        assert_eq!(classes(&[0, 2, 0], None), Ok((vec![0, 2, 0], 3, None)));
        assert!(classes(&[-1, 0, 1], None).unwrap_err().contains("label -1 is not a whole number"));
        assert_eq!(classes(&[1, 2, 1], Some(3)), Ok((vec![1, 2, 1], 3, None)));
        assert!(classes(&[-1, 1], Some(2)).unwrap_err().contains("label -1 is not a whole number"));
    }

    #[test]
    fn a_model_finds_its_classes_by_their_values() {
        let names = ["-1", "1"].map(str::to_owned);
        assert_eq!(known(1, 2, Some(&names)), Ok(1));
        assert!(known(0, 2, Some(&names)).unwrap_err().to_string().contains("label 0 is not a class"));
        assert_eq!(known(1, 2, None), Ok(1));
    }
}
