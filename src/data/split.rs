//! The split into training and validation rows: determined by the seed, independent of the step.

use std::ops::Range;

use super::files::Counts;
use super::{DataConfig, DataError, Fold};
use crate::rng::{Permutation, Stream};

/// A set of rows of a data set, as numbers in ascending order. A range of consecutive rows takes no memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowSet(Numbers);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Numbers {
    Range(Range<usize>),
    List(Vec<usize>),
}

impl RowSet {
    /// Returns the number of rows.
    pub fn len(&self) -> usize {
        match &self.0 {
            Numbers::Range(range) => range.len(),
            Numbers::List(list) => list.len(),
        }
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the row at `position`, counted from 0; `None` beyond the end.
    pub fn at(&self, position: usize) -> Option<usize> {
        match &self.0 {
            Numbers::Range(range) => range.clone().nth(position),
            Numbers::List(list) => list.get(position).copied(),
        }
    }

    /// Returns the rows in order.
    pub fn iter(&self) -> impl Iterator<Item = usize> + Clone {
        (0..self.len()).filter_map(|position| self.at(position))
    }

    /// Returns the rows at these positions; positions beyond the end are skipped.
    pub fn slice(&self, positions: Range<usize>) -> Vec<usize> {
        positions.map_while(|position| self.at(position)).collect()
    }

    /// Returns all rows as a list.
    pub fn to_vec(&self) -> Vec<usize> {
        self.slice(0..self.len())
    }
}

/// The rows `0..n` in disjoint parts, each in ascending order: for training, for validation, and, after them, for a test.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Split {
    train: RowSet,
    validation: RowSet,
    /// Rows after all others.
    test: RowSet,
}

impl Split {
    /// Sets `share` of `rows` rows aside for validation, rounded to the nearest row (halves up): the first ones in the
    /// seed's permutation.
    ///
    /// # Errors
    /// There are no rows, the share is not in `[0, 1)`, or it is not 0 and leaves one side without rows.
    pub fn new(rows: usize, share: f64, seed: u64) -> Result<Self, DataError> {
        let count = Self::count(rows, share)?;
        if count == 0 {
            return Self::last(rows, 0);
        }
        Ok(Self::set_aside(rows, "split", seed, 0..count))
    }

    /// Sets one fold of `rows` rows aside for validation. The folds of one seed are disjoint, and together all rows.
    ///
    /// # Errors
    /// There are fewer rows than folds.
    pub fn fold(rows: usize, fold: Fold, seed: u64) -> Result<Self, DataError> {
        if rows < fold.count() {
            return Err(DataError::FewerThanFolds { rows, fold });
        }
        Ok(Self::set_aside(rows, "fold", seed, fold.of(rows)))
    }

    /// Sets rows aside as `config` says: a fold or a share of the training rows, or the rows of validation files. `labels`
    /// are the classes of all rows, if each has one.
    pub(super) fn of(
        config: &DataConfig,
        counts: Counts,
        labels: impl FnOnce() -> Option<Vec<u32>>,
        seed: u64,
    ) -> Result<Self, DataError> {
        let Counts { train, validation, test } = counts;
        let classes = match config.stratify {
            Some(true) => Some(labels().ok_or(DataError::NoStrata)?),
            _ => None,
        };
        let classes = classes.as_deref().map(|classes| classes.get(..train).unwrap_or(classes));
        let split = match (config.fold, classes) {
            (Some(fold), None) => Self::fold(train, fold, seed)?,
            (Some(fold), Some(classes)) => Self::stratified_fold(classes, fold, seed)?,
            (None, _) if validation > 0 => Self::last(train + validation, validation)?,
            (None, None) => Self::new(train, config.validation, seed)?,
            (None, Some(classes)) => Self::stratified(classes, config.validation, seed)?,
        };
        Ok(split.with_test(test))
    }

    /// Adds `test` rows after all others.
    #[must_use]
    pub fn with_test(self, test: usize) -> Self {
        let others = self.train.len() + self.validation.len();
        Self { test: RowSet(Numbers::Range(others..others + test)), ..self }
    }

    /// Sets these positions of the permutation of a purpose aside.
    fn set_aside(rows: usize, purpose: &str, seed: u64, positions: Range<usize>) -> Self {
        let permutation = Permutation::new(Stream::new(seed, purpose), 0, rows);
        Self::without(rows, positions.map(|position| permutation.at(position)))
    }

    /// Sets these rows aside.
    pub(super) fn without(rows: usize, aside: impl Iterator<Item = usize>) -> Self {
        let mut set_aside = vec![false; rows];
        for row in aside {
            set_aside[row] = true;
        }
        let (validation, train) = (0..rows).partition(|&row| set_aside[row]);
        Self {
            train: RowSet(Numbers::List(train)),
            validation: RowSet(Numbers::List(validation)),
            test: RowSet(Numbers::Range(rows..rows)),
        }
    }

    /// Sets the last `validation` of `rows` rows aside: for ordered data, or data with validation rows.
    ///
    /// # Errors
    /// No training row would be left.
    pub fn last(rows: usize, validation: usize) -> Result<Self, DataError> {
        let Some(train) = rows.checked_sub(validation).filter(|&train| train > 0) else {
            return Err(DataError::NothingToVisit);
        };
        let range = |range| RowSet(Numbers::Range(range));
        Ok(Self { train: range(0..train), validation: range(train..rows), test: range(rows..rows) })
    }

    /// Returns the number of rows in a share of `rows`, rounded to the nearest (halves up).
    pub(crate) fn count(rows: usize, share: f64) -> Result<usize, DataError> {
        if rows == 0 {
            return Err(DataError::NothingToVisit);
        }
        if !(0.0..1.0).contains(&share) {
            return Err(DataError::Share(share));
        }
        let count = (rows as f64 * share).round() as usize;
        if share > 0.0 && (count == 0 || count >= rows) {
            return Err(DataError::OneSided { share, rows, validation: count });
        }
        Ok(count)
    }

    /// Returns the number of all rows.
    pub fn rows(&self) -> usize {
        self.train.len() + self.validation.len() + self.test.len()
    }

    /// Returns the training and validation rows.
    pub fn all(&self) -> RowSet {
        RowSet(Numbers::Range(0..self.train.len() + self.validation.len()))
    }

    /// Returns the training rows; at least one.
    pub fn train(&self) -> &RowSet {
        &self.train
    }

    /// Returns the validation rows; empty if the share was 0.
    pub fn validation(&self) -> &RowSet {
        &self.validation
    }

    /// Returns the test rows, which a run evaluates once, at its end; often none.
    pub fn test(&self) -> &RowSet {
        &self.test
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_of_zero_trains_on_everything() {
        let split = Split::new(4, 0.0, 9).unwrap();
        assert_eq!((split.train().to_vec(), split.validation().to_vec()), (vec![0, 1, 2, 3], vec![]));
    }

    #[test]
    fn the_last_rows_can_be_set_aside() {
        let split = Split::last(5, 2).unwrap();
        assert_eq!((split.train().to_vec(), split.validation().to_vec()), (vec![0, 1, 2], vec![3, 4]));
        assert!(Split::last(2, 2).is_err() && Split::last(2, 3).is_err());
    }

    /// As a list, half of these rows would exceed any memory.
    #[test]
    fn rows_that_follow_each_other_cost_nothing() {
        let split = Split::last(usize::MAX, usize::MAX / 2).unwrap();
        let train = split.train().len();
        assert_eq!(
            (split.rows(), split.train().at(train - 1), split.train().at(train)),
            (usize::MAX, Some(train - 1), None)
        );
        assert_eq!(split.validation().slice(1..3), [train + 1, train + 2]);
    }

    #[test]
    fn folds_are_disjoint_and_together_all_rows() {
        let fold = |number: usize| Split::fold(23, format!("{number}/5").parse().unwrap(), 7).unwrap();
        let mut all: Vec<usize> = (1..=5).flat_map(|number| fold(number).validation().to_vec()).collect();
        all.sort_unstable();
        assert_eq!(all, (0..23).collect::<Vec<_>>());
        let second = fold(2);
        assert!(second.train().iter().all(|row| !second.validation().to_vec().contains(&row)));
        assert_eq!((second.train().len(), second.validation().len()), (18, 5));
        assert_ne!(second.validation().to_vec(), (4..9).collect::<Vec<_>>());
        let message = Split::fold(4, "2/5".parse().unwrap(), 7).unwrap_err().to_string();
        assert_eq!(message, "`data.fold` = 2/5: there are 4 rows, fewer than folds");
    }

    #[test]
    fn test_rows_follow_all_others_and_are_not_among_them() {
        let split = Split::new(8, 0.25, 3).unwrap().with_test(2);
        assert_eq!((split.rows(), split.test().to_vec(), split.all().len()), (10, vec![8, 9], 8));
    }

    #[test]
    fn the_share_is_rounded_to_the_nearest_row() {
        assert_eq!(Split::new(1797, 0.2, 0).unwrap().validation().len(), 359);
        assert_eq!(Split::new(10, 0.25, 0).unwrap().validation().len(), 3);
    }

    #[test]
    fn a_share_that_empties_a_side_is_refused() {
        assert_eq!(
            Split::new(10, 0.01, 0).unwrap_err().to_string(),
            "`data.validation` = 0.01 of 10 rows is 0 for validation and 10 for training; both need at least one"
        );
        assert_eq!(
            Split::new(10, 0.99, 0).unwrap_err().to_string(),
            "`data.validation` = 0.99 of 10 rows is 10 for validation and 0 for training; both need at least one"
        );
    }

    #[test]
    fn a_share_outside_zero_to_one_is_refused() {
        for share in [1.0, -0.1, f64::NAN, f64::INFINITY] {
            let message = Split::new(10, share, 0).unwrap_err().to_string();
            assert_eq!(
                message,
                format!("`data.validation` is a share of the rows, from 0 up to but not 1; it is {share}")
            );
        }
    }
}
