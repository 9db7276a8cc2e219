//! The order of the data as a function: which rows batch number `step` holds.
//!
//! Every epoch has a different permutation of the rows, computed one position at a time, so every batch has the same
//! cost, and there is no position to save.

use std::borrow::Cow;
use std::num::NonZeroUsize;
use std::ops::Range;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use super::DataError;
use crate::rng::{Permutation, Stream};

/// Number of rows in a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", expecting = "`batch_size` is a positive number of rows, or \"all\"")]
pub enum BatchSize {
    /// Every training row: one update per epoch.
    All,
    /// This number of rows.
    #[serde(untagged)]
    Rows(NonZeroUsize),
}

impl JsonSchema for BatchSize {
    fn schema_name() -> Cow<'static, str> {
        "BatchSize".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"anyOf": [{"type": "integer", "minimum": 1}, {"const": "all"}]})
    }
}

/// Treatment of the rows at the end of an epoch that do not fill a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LastBatch {
    /// They form a shorter batch: an epoch sees every row exactly once.
    Keep,
    /// They are dropped from this epoch; with shuffling, other rows are dropped in the next.
    Drop,
}

/// The order in which the rows `0..rows` are visited, for all steps. Steps and epochs are counted from 0.
#[derive(Clone, Copy, Debug)]
pub struct Order {
    rows: usize,
    batch_size: usize,
    steps_per_epoch: usize,
    shuffle: Option<Stream>,
}

impl Order {
    /// Creates the order of `rows` rows in batches of `batch_size`: shuffled differently in each epoch with a seed, or
    /// in ascending order without one.
    ///
    /// # Errors
    /// There are no rows, or there are fewer than one batch and the last batch is dropped.
    pub fn new(
        rows: usize,
        batch_size: BatchSize,
        last: LastBatch,
        shuffle_seed: Option<u64>,
    ) -> Result<Self, DataError> {
        if rows == 0 {
            return Err(DataError::NothingToVisit);
        }
        let batch_size = match batch_size {
            BatchSize::All => rows,
            BatchSize::Rows(size) => size.get(),
        };
        let steps_per_epoch = match last {
            LastBatch::Keep => rows.div_ceil(batch_size),
            LastBatch::Drop => rows / batch_size,
        };
        if steps_per_epoch == 0 {
            return Err(DataError::NoFullBatch { batch_size, rows });
        }
        let shuffle = shuffle_seed.map(|seed| Stream::new(seed, "shuffle"));
        Ok(Self { rows, batch_size, steps_per_epoch, shuffle })
    }

    /// Returns the number of rows to visit.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Returns the number of updates per epoch.
    pub fn steps_per_epoch(&self) -> u64 {
        self.steps_per_epoch as u64
    }

    /// Returns the epoch of `step`.
    pub fn epoch_of(&self, step: u64) -> u64 {
        step / self.steps_per_epoch()
    }

    /// Returns the rows of batch number `step`.
    pub fn rows_of(&self, step: u64) -> Vec<usize> {
        self.rows_within(step, 0..self.batch_rows(step))
    }

    /// Returns the number of rows in batch number `step`.
    pub fn batch_rows(&self, step: u64) -> usize {
        self.batch_size.min(self.rows - self.batch_in_epoch(step) * self.batch_size)
    }

    /// Returns the positions in the epoch of these places of batch number `step`.
    pub(super) fn positions_within(&self, step: u64, places: Range<usize>) -> Range<usize> {
        let start = self.batch_in_epoch(step) * self.batch_size;
        start + places.start..start + places.end
    }

    /// Returns the rows at these places of batch number `step`, which must be among its places.
    pub(super) fn rows_within(&self, step: u64, places: Range<usize>) -> Vec<usize> {
        let positions = self.positions_within(step, places);
        match self.shuffle {
            None => positions.collect(),
            Some(stream) => {
                let permutation = Permutation::new(stream, self.epoch_of(step), self.rows);
                positions.map(|position| permutation.at(position)).collect()
            }
        }
    }

    /// Returns the number of rows in all batches before number `step`: the samples seen after `step` updates.
    pub fn samples_before(&self, step: u64) -> u64 {
        let per_epoch = self.steps_per_epoch.saturating_mul(self.batch_size).min(self.rows) as u64;
        let in_epoch = (self.batch_in_epoch(step) * self.batch_size) as u64;
        self.epoch_of(step).saturating_mul(per_epoch).saturating_add(in_epoch)
    }

    /// Whether every batch is all rows in ascending order, so that gathering them once is enough for every step.
    pub fn is_whole(&self) -> bool {
        self.shuffle.is_none() && self.batch_size >= self.rows
    }

    fn batch_in_epoch(&self, step: u64) -> usize {
        (step % self.steps_per_epoch()) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(rows: usize, batch: usize, last: LastBatch, seed: Option<u64>) -> Order {
        Order::new(rows, BatchSize::Rows(NonZeroUsize::new(batch).unwrap()), last, seed).unwrap()
    }

    #[test]
    fn the_last_batch_is_shorter_or_dropped() {
        let kept = order(10, 4, LastBatch::Keep, None);
        assert_eq!([kept.rows_of(0), kept.rows_of(2)], [vec![0, 1, 2, 3], vec![8, 9]]);
        assert_eq!((kept.steps_per_epoch(), kept.epoch_of(2), kept.epoch_of(3)), (3, 0, 1));
        let dropped = order(10, 4, LastBatch::Drop, None);
        assert_eq!((dropped.steps_per_epoch(), dropped.rows_of(2)), (2, vec![0, 1, 2, 3]));
    }

    #[test]
    fn all_rows_are_one_batch() {
        let order = Order::new(5, BatchSize::All, LastBatch::Drop, None).unwrap();
        assert!(order.is_whole());
        assert_eq!((order.rows_of(9), order.epoch_of(9), order.samples_before(9)), (vec![0, 1, 2, 3, 4], 9, 45));
    }

    #[test]
    fn a_batch_size_beyond_the_rows_is_one_batch_of_all() {
        let order = order(3, usize::MAX, LastBatch::Keep, Some(0));
        assert_eq!((order.rows_of(7).len(), order.samples_before(7)), (3, 21));
    }

    #[test]
    fn the_last_step_of_all_does_not_overflow() {
        let order = order(10, 4, LastBatch::Keep, Some(1));
        assert_eq!(order.samples_before(u64::MAX), u64::MAX);
        assert!(!order.rows_of(u64::MAX).is_empty());
    }

    #[test]
    fn a_batch_size_is_written_as_a_user_writes_it() {
        for (text, size) in [("32", BatchSize::Rows(NonZeroUsize::new(32).unwrap())), ("\"all\"", BatchSize::All)] {
            assert_eq!(serde_json::from_str::<BatchSize>(text).unwrap(), size);
            assert_eq!(serde_json::to_string(&size).unwrap(), text);
        }
        for text in ["0", "-1", "1.5", "\"most\""] {
            let error = serde_json::from_str::<BatchSize>(text).unwrap_err().to_string();
            assert!(error.starts_with("`batch_size` is a positive number of rows, or \"all\""), "{text}: {error}");
        }
    }
}
