//! Batches made from a step alone, on any thread: which rows, gathered, changed and mixed.

use std::ops::Range;

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
}

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
        Self { dataset, split, order, sampler: None, augment: None, share: None }
    }

    /// Returns the batch of update number `step`, or the part of it that this process needs.
    pub fn training(&self, step: u64) -> Result<Batch, DataError> {
        let all = self.order.batch_rows(step);
        let own = self.share.map_or(0..all, |share| share.rows(all));
        let soon = self.order.soon(step);
        if !soon.is_empty() {
            self.dataset.expect(&soon);
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
