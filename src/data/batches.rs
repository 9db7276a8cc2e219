//! Batches made from a step alone, on any thread: which rows, gathered, changed and mixed.

use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use candle_core::Tensor;

use super::sampling::Sampler;
use super::{Augment, Batch, DataError, Dataset, Order, RowSet, Split, pieces};
use crate::distributed;
use crate::rng::StepRng;

/// Creates batches, on any thread.
#[derive(Debug)]
pub(super) struct BatchSource<D> {
    pub dataset: D,
    pub split: Split,
    pub order: Order,
    /// Draws rows at random instead of visiting each once.
    pub sampler: Option<Sampler>,
    /// Changes of rows at every step, with their seed.
    pub augment: Option<(Augment, u64)>,
    /// The rows of a batch that this process needs; all of them, unless there are several processes.
    pub share: Option<Share>,
    /// The rows of the share that are needed soon, for the batches of one window of shards.
    soon: Mutex<Option<Soon>>,
}

/// Rows that are needed soon, and the window of shards for whose batches that is so.
type Soon = ((u64, usize), Arc<[Range<usize>]>);

/// The share of a process in every batch: which of its pieces it computes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Share {
    /// The number of pieces of a batch.
    pub pieces: usize,
    /// The number of the process.
    pub rank: usize,
    /// The number of processes.
    pub world: usize,
}

impl Share {
    /// Returns the rows of a batch of `rows` that the process needs.
    pub fn rows(self, rows: usize) -> Range<usize> {
        let all: Vec<Range<usize>> = pieces(rows, self.pieces).collect();
        let own = &all[distributed::share(all.len(), self.rank, self.world)];
        match own {
            [first, ..] => first.start..own.last().map_or(first.end, |last| last.end),
            [] => 0..0,
        }
    }
}

impl<D: Dataset> BatchSource<D> {
    /// Creates the batches of all training rows in their order.
    pub fn new(dataset: D, split: Split, order: Order) -> Self {
        Self { dataset, split, order, sampler: None, augment: None, share: None, soon: Mutex::default() }
    }

    /// Returns the batch of update number `step`, or the part of it that this process needs.
    pub fn training(&self, step: u64) -> Result<Batch, DataError> {
        let all = self.order.batch_rows(step);
        let own = self.share.map_or(0..all, |share| share.rows(all));
        match self.share {
            Some(share) => self.expect_own(step, share),
            None => {
                let soon = self.order.soon(step);
                if !soon.is_empty() {
                    self.dataset.expect(&soon);
                }
            }
        }
        let batch = self.changed(step, own.clone())?;
        let Some((augment, seed)) = self.augment.as_ref().filter(|_| !own.is_empty()) else { return Ok(batch) };
        let mixing = augment.mixing(&StepRng::at(*seed, step), self.order.epoch_of(step));
        let Some(mixing) = mixing else { return Ok(batch) };
        // The partners are the rows one place before, and the last row of the batch before the first.
        let before = (own.start + all - 1) % all;
        let first = self.changed(step, before..before + 1)?;
        let others = own.len() - 1;
        let partners = |first: &Tensor, rows: &Tensor| Tensor::cat(&[first, &rows.narrow(0, 0, others)?], 0);
        let partners = Batch {
            inputs: partners(&first.inputs, &batch.inputs)?,
            targets: partners(&first.targets, &batch.targets)?,
        };
        mixing.apply(batch, partners, self.dataset.targets())
    }

    /// Says which rows of its share this process needs soon.
    fn expect_own(&self, step: u64, share: Share) {
        let Some(window) = self.order.window_of(step) else { return };
        let mixes = self.augment.as_ref().is_some_and(|(augment, _)| augment.mixes());
        let places = |all: usize| {
            let own = share.rows(all);
            // The partner of the first row.
            let before = (own.start + all).saturating_sub(1) % all.max(1);
            let partner = (mixes && !own.is_empty()).then_some(before..before + 1);
            partner.into_iter().chain([own]).collect()
        };
        let mut recent = self.soon.lock().unwrap_or_else(PoisonError::into_inner);
        let known = recent.as_ref().filter(|(of, _)| *of == window).map(|(_, soon)| Arc::clone(soon));
        let soon = known.unwrap_or_else(|| {
            let soon: Arc<[Range<usize>]> = self.order.soon_within(step, places).into();
            *recent = Some((window, Arc::clone(&soon)));
            soon
        });
        drop(recent);
        self.dataset.expect(&soon);
    }

    /// Returns the rows at these places of a batch, with the changes of its step.
    fn changed(&self, step: u64, places: Range<usize>) -> Result<Batch, DataError> {
        let positions = match &self.sampler {
            None => self.order.rows_within(step, places.clone()),
            Some(sampler) => {
                let epoch = self.order.epoch_of(step);
                let drawn = self.order.positions_within(step, places.clone());
                drawn.filter_map(|position| sampler.at(epoch, position)).collect()
            }
        };
        let rows: Vec<usize> = positions.into_iter().filter_map(|at| self.split.train().at(at)).collect();
        let batch = self.dataset.gather(&rows)?;
        match &self.augment {
            Some((augment, seed)) => {
                let (rng, epoch) = (StepRng::at(*seed, step), self.order.epoch_of(step));
                Ok(Batch { inputs: augment.train(batch.inputs, &rng, epoch, places.start)?, ..batch })
            }
            None => Ok(batch),
        }
    }

    /// Whether every step has the same batch.
    pub fn is_whole(&self) -> bool {
        let moves = self.augment.as_ref().is_some_and(|(augment, _)| augment.moves());
        self.order.is_whole() && !moves && self.sampler.is_none()
    }

    /// Returns batch `number` of an evaluation on `rows`.
    pub fn evaluation(&self, rows: &RowSet, number: u64) -> Result<Batch, DataError> {
        let count = self.dataset.input().evaluation_rows();
        let start = number as usize * count;
        self.as_evaluated(&rows.slice(start..start + count))
    }

    /// Returns these rows of the data set as an evaluation has them.
    pub fn as_evaluated(&self, rows: &[usize]) -> Result<Batch, DataError> {
        let batch = self.dataset.gather(rows)?;
        match &self.augment {
            Some((augment, _)) => Ok(Batch { inputs: augment.evaluate(batch.inputs)?, ..batch }),
            None => Ok(batch),
        }
    }
}
