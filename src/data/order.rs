//! The order of the data as a function: which rows batch number `step` holds.
//!
//! Every epoch has a different permutation of the rows, computed one position at a time, so every batch has the same
//! cost, and there is no position to save. `soon.rs`: which rows of shards are needed soon.

mod soon;

use std::borrow::Cow;
use std::num::NonZeroUsize;
use std::ops::Range;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use super::epochs::{Epochs, Point};
use super::shard_order::ShardOrder;
use super::{DataError, Shards};
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
///
/// The size of a batch can change from a step on. The position in the data is then kept in rows: the next batch begins
/// with the row after the last one that was visited, in the order of the epoch that has begun.
#[derive(Clone, Debug)]
pub struct Order {
    rows: usize,
    last: LastBatch,
    /// The seed of the shuffling, and its random numbers.
    shuffle: Option<(u64, Stream)>,
    /// The shards that the rows are in, if they are.
    shards: Option<ShardOrder>,
    /// The batch sizes, from the first on.
    spans: Vec<Span>,
}

/// The steps from one on with batches of one size.
#[derive(Clone, Copy, Debug, Default)]
struct Span {
    batch_size: usize,
    /// The first of the steps.
    step: u64,
    /// Its epoch, the step at which that began, and the rows of it that were visited before.
    epoch: u64,
    began: u64,
    visited: usize,
    /// The rows of all batches before.
    samples: u64,
}

/// The place of a batch.
struct Place {
    span: Span,
    epoch: u64,
    /// The step at which the epoch began.
    began: u64,
    /// The position of its first row in the epoch.
    start: usize,
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
        let shuffle = shuffle_seed.map(|seed| (seed, Stream::new(seed, "shuffle")));
        Self { rows, last, shuffle, shards: None, spans: Vec::new() }.with(Span::default(), batch_size)
    }

    /// Returns the order of rows that are in shards: an epoch visits one shard after the other, and shuffles rows within
    /// windows.
    ///
    /// # Errors
    /// The shards have another number of rows.
    pub fn by_shards(self, shards: Shards) -> Result<Self, DataError> {
        let shards = ShardOrder::new(shards);
        if shards.len() != self.rows {
            return Err(DataError::MadeForOthers { what: "order", made_for: self.rows, rows: shards.len() });
        }
        Ok(Self { shards: Some(shards), ..self })
    }

    /// Returns the same order with batches of another size from `step` on, which is not before an earlier change.
    ///
    /// # Errors
    /// There are fewer rows than one batch, and the last batch is dropped.
    pub fn changed_at(self, step: u64, batch_size: BatchSize) -> Result<Self, DataError> {
        let Place { epoch, began, start, .. } = self.place(step);
        let samples = self.samples_before(step);
        self.with(Span { batch_size: 0, step, epoch, began, visited: start, samples }, batch_size)
    }

    fn with(mut self, span: Span, batch_size: BatchSize) -> Result<Self, DataError> {
        let batch_size = match batch_size {
            BatchSize::All => self.rows,
            BatchSize::Rows(size) => size.get(),
        };
        self.spans.push(Span { batch_size, ..span });
        if self.steps_per_epoch() == 0 {
            return Err(DataError::NoFullBatch { batch_size, rows: self.rows });
        }
        Ok(self)
    }

    /// Returns the number of rows to visit.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Returns the number of updates per epoch, of those that begin with the last batch size.
    pub fn steps_per_epoch(&self) -> u64 {
        self.batches(self.last_span().batch_size, 0)
    }

    /// Returns the number of updates in the first `epochs` epochs; if the last change is in a later one, those before it.
    pub fn steps_of(&self, epochs: u64) -> u64 {
        let span = self.last_span();
        match epochs.checked_sub(span.epoch.saturating_add(1)) {
            None => span.began.min(span.step),
            Some(later) => {
                let rest = self.batches(span.batch_size, span.visited);
                span.step.saturating_add(rest).saturating_add(later.saturating_mul(self.steps_per_epoch()))
            }
        }
    }

    /// Returns the epochs that each number of updates makes.
    pub(crate) fn epochs(&self) -> Epochs {
        let mut spans = self.spans.iter();
        let first = Epochs::of_length(spans.next().map_or(1, |first| self.batches(first.batch_size, 0)));
        spans.fold(first, |epochs, span| {
            let (began, rest) = (Point(span.began, span.epoch as f64), self.batches(span.batch_size, span.visited));
            epochs.changed_at(span.step, began, rest, self.batches(span.batch_size, 0))
        })
    }

    /// Returns the steps of a whole epoch: the first one that begins with the last batch size.
    pub fn whole_epoch(&self) -> Range<u64> {
        let span = self.last_span();
        let rest = if span.visited == 0 { 0 } else { self.batches(span.batch_size, span.visited) };
        let first = span.step.saturating_add(rest);
        first..first.saturating_add(self.steps_per_epoch())
    }

    /// Returns the largest number of rows in a batch from the last change on.
    pub fn batch_size(&self) -> usize {
        self.last_span().batch_size.min(self.rows)
    }

    /// Returns steps whose batches have every number of rows that there is from the last change on.
    pub fn various_steps(&self) -> [u64; 4] {
        let span = self.last_span();
        let (rest, whole) = (self.batches(span.batch_size, span.visited), self.steps_per_epoch());
        [0, rest.saturating_sub(1), rest, rest.saturating_add(whole) - 1].map(|later| span.step.saturating_add(later))
    }

    /// Returns the epoch of `step`.
    pub fn epoch_of(&self, step: u64) -> u64 {
        self.place(step).epoch
    }

    /// Returns the step at which the epoch of `step` began.
    pub fn epoch_began(&self, step: u64) -> u64 {
        self.place(step).began
    }

    /// Returns the rows of batch number `step`.
    pub fn rows_of(&self, step: u64) -> Vec<usize> {
        self.rows_within(step, 0..self.batch_rows(step))
    }

    /// Returns the number of rows in batch number `step`.
    pub fn batch_rows(&self, step: u64) -> usize {
        let Place { span, start, .. } = self.place(step);
        span.batch_size.min(self.rows - start)
    }

    /// Returns the positions in the epoch of these places of batch number `step`.
    pub(super) fn positions_within(&self, step: u64, places: Range<usize>) -> Range<usize> {
        let start = self.place(step).start;
        start + places.start..start + places.end
    }

    /// Returns the rows at these places of batch number `step`, which must be among its places.
    pub(super) fn rows_within(&self, step: u64, places: Range<usize>) -> Vec<usize> {
        let positions = self.positions_within(step, places);
        match (self.shuffle, &self.shards) {
            (None, _) => positions.collect(),
            (Some((seed, _)), Some(shards)) => shards.rows(seed, self.epoch_of(step), positions),
            (Some((_, stream)), None) => {
                let permutation = Permutation::new(stream, self.epoch_of(step), self.rows);
                positions.map(|position| permutation.at(position)).collect()
            }
        }
    }

    /// Returns the number of rows in all batches before number `step`: the samples seen after `step` updates.
    pub fn samples_before(&self, step: u64) -> u64 {
        let Place { span, epoch, start, .. } = self.place(step);
        let of_epoch = |visited: usize| match self.last {
            LastBatch::Keep => (self.rows - visited) as u64,
            LastBatch::Drop => self.batches(span.batch_size, visited).saturating_mul(span.batch_size as u64),
        };
        let here = match epoch.checked_sub(span.epoch.saturating_add(1)) {
            None => (start - span.visited) as u64,
            Some(whole) => {
                of_epoch(span.visited).saturating_add(whole.saturating_mul(of_epoch(0))).saturating_add(start as u64)
            }
        };
        span.samples.saturating_add(here)
    }

    /// Whether every batch is all rows in ascending order, so that gathering them once is enough for every step.
    pub fn is_whole(&self) -> bool {
        self.shuffle.is_none() && self.spans.iter().all(|span| span.batch_size >= self.rows)
    }

    fn last_span(&self) -> Span {
        self.spans.last().copied().unwrap_or_default()
    }

    /// Returns the number of batches in the rest of an epoch, after this number of rows.
    fn batches(&self, batch_size: usize, visited: usize) -> u64 {
        let (rows, size) = (self.rows - visited, batch_size.max(1));
        match self.last {
            LastBatch::Keep => rows.div_ceil(size) as u64,
            LastBatch::Drop => (rows / size) as u64,
        }
    }

    fn place(&self, step: u64) -> Place {
        let later = self.spans.partition_point(|span| span.step <= step);
        let span = self.spans.get(later.saturating_sub(1)).copied().unwrap_or_default();
        let (rest, whole) = (self.batches(span.batch_size, span.visited), self.batches(span.batch_size, 0).max(1));
        let within = step - span.step;
        match within.checked_sub(rest) {
            None => {
                let start = span.visited + within as usize * span.batch_size;
                Place { span, epoch: span.epoch, began: span.began, start }
            }
            Some(later) => Place {
                span,
                epoch: span.epoch.saturating_add(1).saturating_add(later / whole),
                began: span.step + rest + later / whole * whole,
                start: (later % whole) as usize * span.batch_size,
            },
        }
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

    /// Ten rows in batches of 4, and of 3 from step 4 on, which is in the second epoch, after 4 of its rows.
    #[test]
    fn another_batch_size_keeps_the_position_in_rows() {
        let changed =
            |last| order(10, 4, last, None).changed_at(4, BatchSize::Rows(NonZeroUsize::new(3).unwrap())).unwrap();
        let order = changed(LastBatch::Keep);
        let rows = |steps: Range<u64>| steps.map(|step| order.rows_of(step)).collect::<Vec<_>>();
        assert_eq!(rows(2..7), [vec![8, 9], vec![0, 1, 2, 3], vec![4, 5, 6], vec![7, 8, 9], vec![0, 1, 2]]);
        assert_eq!([3, 4, 5, 6, 9, 10].map(|step| order.epoch_of(step)), [1, 1, 1, 2, 2, 3]);
        assert_eq!([3, 5, 6, 9, 10].map(|step| order.epoch_began(step)), [3, 3, 6, 6, 10]);
        assert_eq!([0, 3, 4, 5, 6, 7, 10].map(|step| order.samples_before(step)), [0, 10, 14, 17, 20, 23, 30]);
        assert_eq!((order.steps_per_epoch(), order.batch_size()), (4, 3));
        assert_eq!([1, 2, 3, 4].map(|epochs| order.steps_of(epochs)), [3, 6, 10, 14]);
        let fewest = order.various_steps().map(|step| order.batch_rows(step));
        assert_eq!((fewest.iter().min(), fewest.iter().max()), (Some(&1), Some(&3)));
        assert_eq!(order.whole_epoch(), 6..10);
        let epochs = [3, 4, 6, 8, 10].map(|step| order.epochs().after(step));
        assert_eq!(epochs, [1.0, 4.0 / 3.0, 2.0, 2.5, 3.0]);
        // Twice in the same place: the last one counts.
        let again = order.clone().changed_at(4, BatchSize::All).unwrap();
        assert_eq!([4, 5].map(|step| again.rows_of(step).len()), [6, 10]);
        let dropped = changed(LastBatch::Drop);
        assert_eq!(dropped.rows_of(4), [0, 1, 2]);
        assert_eq!([4, 5, 7].map(|step| dropped.samples_before(step)), [16, 19, 25]);
    }

    /// Changes inside an epoch, at its end, twice in one epoch, and where a larger batch ends the epoch at once.
    #[test]
    fn epochs_by_updates_are_those_of_the_order_after_any_changes() {
        for last in [LastBatch::Keep, LastBatch::Drop] {
            let changes = [(31, 6), (33, 4), (47, 9), (48, 49), (52, 3), (52, 7), (100, 1), (1000, 10)];
            let order = changes.into_iter().fold(order(49, 10, last, None), |order, (step, size)| {
                order.changed_at(step, BatchSize::Rows(NonZeroUsize::new(size).unwrap())).unwrap()
            });
            let epochs = order.epochs();
            for step in 0..1200 {
                let (began, within) = (order.epoch_began(step), step - order.epoch_began(step));
                assert_eq!((epochs.whole(step), epochs.within(step).0), (order.epoch_of(step), within), "{step}");
                let next = (step..).find(|&later| order.epoch_of(later) > order.epoch_of(step)).unwrap();
                assert_eq!(epochs.within(step).1, next - began, "{step}");
            }
        }
    }

    /// A change to the same size changes nothing, in the middle of an epoch and at its end.
    #[test]
    fn a_change_to_the_same_size_changes_nothing() {
        for (last, step) in [(LastBatch::Keep, 4), (LastBatch::Keep, 6), (LastBatch::Drop, 5), (LastBatch::Drop, 6)] {
            let whole = order(11, 4, last, Some(2));
            let size = BatchSize::Rows(NonZeroUsize::new(4).unwrap());
            let changed = whole.clone().changed_at(step, size).unwrap();
            for step in 0..20 {
                assert_eq!(whole.rows_of(step), changed.rows_of(step), "{step}");
                let of = |order: &Order| (order.epoch_of(step), order.epoch_began(step), order.samples_before(step));
                assert_eq!(of(&whole), of(&changed), "{step}");
            }
            assert_eq!(whole.steps_of(9), changed.steps_of(9));
        }
    }
}
