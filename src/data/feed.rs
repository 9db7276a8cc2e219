//! The data of a training loop: a data set with its split and its order, which determine the batch of any step.

mod opening;

use std::ops::Range;
use std::sync::{Arc, OnceLock};

use candle_core::Device;

use super::batches::{BatchSource, Share};
use super::dataset::Source;
use super::delivery::{Delivery, Destination};
use super::prefetcher::{Pace, Prefetcher};
use super::sampling::Sampler;
use super::{
    Augment, Batch, DataError, Dataset, Epochs, Fingerprint, Input, Order, RowSet, Sampling, Schema, Split, TargetKind,
};
use crate::Notice;
use crate::distributed;
use crate::state::{State, StateError, Stateful};

/// The data of a run: the batch of every step, and the validation rows. Steps are counted from 0.
///
/// A batch is a function of its step. If preparing one takes long, the next few are prefetched on other threads; this
/// does not change results.
#[derive(Debug)]
pub struct Data<D = Box<dyn Source>> {
    gathering: Arc<BatchSource<D>>,
    to: Destination,
    /// The batch of every step, if it is always the same.
    whole: OnceLock<Batch>,
    /// Created with the first batch.
    ahead: OnceLock<Delivery>,
}

impl<D: Dataset + 'static> Data<D> {
    /// Creates the data of a run from your own data set. The order is that of the split's training rows.
    ///
    /// # Errors
    /// The split has another number of rows than the data set, or the order than the training rows.
    pub fn new(dataset: D, split: Split, order: Order) -> Result<Self, DataError> {
        if split.rows() != dataset.len() {
            return Err(DataError::MadeForOthers { what: "split", made_for: split.rows(), rows: dataset.len() });
        }
        if order.rows() != split.train().len() {
            return Err(DataError::MadeForOthers { what: "order", made_for: order.rows(), rows: split.train().len() });
        }
        let gathering = Arc::new(BatchSource::new(dataset, split, order));
        Ok(Self { gathering, to: Destination::default(), whole: OnceLock::new(), ahead: OnceLock::new() })
    }

    /// Transfers every batch to `device`.
    pub fn on(self, device: &Device) -> Self {
        Self { to: Destination::of(device), whole: OnceLock::new(), ahead: OnceLock::new(), ..self }
    }

    /// Changes images at every step according to `augment`, with random numbers from `seed`.
    ///
    /// # Errors
    /// The data is not images of a suitable shape.
    pub fn augmented(mut self, augment: Augment, seed: u64) -> Result<Self, DataError> {
        augment.check(&self.input())?;
        (self.whole, self.ahead) = (OnceLock::new(), OnceLock::new());
        match Arc::get_mut(&mut self.gathering) {
            Some(gathering) => gathering.augment = Some((augment, seed)),
            None => {
                let reason = "cannot begin while a validation has not ended".to_owned();
                return Err(DataError::Augment { option: "", reason });
            }
        }
        Ok(self)
    }

    /// Draws training rows at random, as `sampling` says, with random numbers from `seed`, instead of visiting each once
    /// an epoch.
    ///
    /// # Errors
    /// The rows do not have a class each that is known, or the weights do not fit the classes.
    pub fn sampled(mut self, sampling: &Sampling, seed: u64) -> Result<Self, DataError> {
        let sampler = Sampler::new(sampling, self.dataset(), self.train_rows(), seed)?;
        (self.whole, self.ahead) = (OnceLock::new(), OnceLock::new());
        let Some(gathering) = Arc::get_mut(&mut self.gathering) else {
            return Err(DataError::Sampling { reason: "cannot begin while a validation has not ended".to_owned() });
        };
        gathering.sampler = Some(sampler);
        Ok(self)
    }

    /// Gathers only the rows of a batch that a process needs.
    ///
    /// # Errors
    /// The data is in use.
    pub(crate) fn shared(mut self, share: Share) -> Result<Self, DataError> {
        (self.whole, self.ahead) = (OnceLock::new(), OnceLock::new());
        let Some(gathering) = Arc::get_mut(&mut self.gathering) else {
            return Err(candle_core::Error::msg("the data is in use").into());
        };
        gathering.dataset.shared(share.world);
        gathering.share = Some(share);
        Ok(self)
    }

    /// Returns the batch of update number `step`. If every step uses all rows in the same order, they are gathered
    /// once, and each call returns the same tensors.
    ///
    /// # Errors
    /// The data set cannot gather the rows.
    pub fn batch(&self, step: u64) -> Result<Batch, DataError> {
        match self.batch_unless(step, &|| false)? {
            Some(batch) => Ok(batch),
            None => self.to.bring(self.gathering.training(step)?),
        }
    }

    /// Like [`Data::batch`], but returns `None` if `stop` asks to end the wait. It is polled if a batch takes long.
    ///
    /// # Errors
    /// As [`Data::batch`].
    pub fn batch_unless(&self, step: u64, stop: &dyn Fn() -> bool) -> Result<Option<Batch>, DataError> {
        if let Some(whole) = self.whole.get() {
            return Ok(Some(whole.clone()));
        }
        if self.gathering.is_whole() {
            let batch = self.to.bring(self.gathering.training(step)?)?;
            return Ok(Some(self.whole.get_or_init(|| batch).clone()));
        }
        if self.gathering.dataset.is_on_device() {
            return self.to.bring(self.gathering.training(step)?).map(Some);
        }
        let ahead = self.ahead.get_or_init(|| {
            let gathering = self.gathering.clone();
            let pace = if gathering.dataset.shards().is_some() { Pace::Slow } else { Pace::Unknown };
            Delivery::new(Arc::new(move |step| gathering.training(step)), u64::MAX, &self.to, pace)
        });
        ahead.batch_unless(step, stop)
    }

    /// Returns the validation rows in ascending order, [`Input::evaluation_rows`] at a time; empty without validation
    /// rows.
    pub fn validation_batches(&self) -> impl Iterator<Item = Result<Batch, DataError>> {
        self.validation_batches_unless(&|| false)
    }

    /// Like [`Data::validation_batches`], but ends when `stop` asks for it. It is polled before each batch, and while
    /// one takes long.
    pub fn validation_batches_unless<'a>(
        &'a self,
        stop: &'a dyn Fn() -> bool,
    ) -> impl Iterator<Item = Result<Batch, DataError>> + 'a {
        self.evaluation_batches_unless(self.gathering.split.validation().clone(), (0, 1), stop)
    }

    /// Returns those of the validation batches that process `rank` of `world` evaluates: neighbours, in the order of the
    /// processes.
    pub(crate) fn validation_share_unless<'a>(
        &'a self,
        rank: usize,
        world: usize,
        stop: &'a dyn Fn() -> bool,
    ) -> impl Iterator<Item = Result<Batch, DataError>> + 'a {
        self.evaluation_batches_unless(self.gathering.split.validation().clone(), (rank, world), stop)
    }

    /// Returns these rows of the data set in their order, [`Input::evaluation_rows`] at a time, as in a validation.
    pub fn evaluation_batches(&self, rows: RowSet) -> impl Iterator<Item = Result<Batch, DataError>> {
        self.evaluation_batches_unless(rows, (0, 1), &|| false)
    }

    /// Returns these rows of the data set in one batch, as in a validation.
    pub(crate) fn evaluation_rows(&self, rows: &[usize]) -> Result<Batch, DataError> {
        self.to.bring(self.gathering.as_evaluated(rows)?)
    }

    fn evaluation_batches_unless<'a>(
        &'a self,
        rows: RowSet,
        (rank, world): (usize, usize),
        stop: &'a dyn Fn() -> bool,
    ) -> impl Iterator<Item = Result<Batch, DataError>> + 'a {
        let (gathering, rows) = (self.gathering.clone(), Arc::new(rows));
        let count = rows.len().div_ceil(gathering.dataset.input().evaluation_rows());
        let own = distributed::share(count, rank, world);
        let own = own.start as u64..own.end as u64;
        let is_on_device = gathering.dataset.is_on_device();
        let ahead = {
            let rows = rows.clone();
            let pace = match self.ahead.get().is_some_and(Delivery::is_slow) {
                _ if gathering.dataset.shards().is_some() => Pace::Slow,
                true => Pace::Unknown,
                false => Pace::AtHand,
            };
            Delivery::new(Arc::new(move |number| gathering.evaluation(&rows, number)), own.end, &self.to, pace)
        };
        let batch = move |number| {
            if is_on_device {
                return self.to.bring(self.gathering.evaluation(&rows, number)?).map(Some);
            }
            ahead.batch_unless(number, stop)
        };
        own.take_while(move |_| !stop()).map_while(move |number| batch(number).transpose())
    }
}

impl<D: Dataset> Data<D> {
    /// Returns notes on the interpretation of the data, and likely mistakes in it.
    pub fn notices(&self) -> Vec<Notice> {
        self.gathering.dataset.notices()
    }

    /// Returns the number of batches in memory at one time if making one takes long: the current one and prefetched
    /// ones.
    pub(crate) fn batches_held(&self) -> u64 {
        let one_by_one = self.gathering.is_whole() || self.gathering.dataset.is_on_device();
        if one_by_one { 1 } else { 1 + Prefetcher::most_batches() as u64 }
    }

    /// Returns the epoch of update number `step`.
    pub fn epoch_of(&self, step: u64) -> u64 {
        self.gathering.order.epoch_of(step)
    }

    /// Returns the step at which the epoch of update number `step` began.
    pub fn epoch_began(&self, step: u64) -> u64 {
        self.gathering.order.epoch_began(step)
    }

    /// Returns the epochs that each number of updates makes.
    pub(crate) fn epochs(&self) -> Epochs {
        self.gathering.order.epochs()
    }

    /// Returns the number of updates per epoch, of those that begin with the present batch size.
    pub fn steps_per_epoch(&self) -> u64 {
        self.gathering.order.steps_per_epoch()
    }

    /// Returns the number of updates in the first `epochs` epochs.
    pub fn steps_of(&self, epochs: u64) -> u64 {
        self.gathering.order.steps_of(epochs)
    }

    /// Returns the steps of a whole epoch with the present batch size.
    pub(crate) fn whole_epoch(&self) -> Range<u64> {
        self.gathering.order.whole_epoch()
    }

    /// Returns the number of rows in a full batch.
    pub(crate) fn full_batch(&self) -> u64 {
        self.gathering.order.batch_size() as u64
    }

    /// Returns steps whose batches have every number of rows that is still to come.
    pub(crate) fn various_steps(&self) -> [u64; 4] {
        self.gathering.order.various_steps()
    }

    /// Returns the number of rows in batch number `step`, also of those that other processes need.
    pub(crate) fn batch_rows(&self, step: u64) -> usize {
        self.gathering.order.batch_rows(step)
    }

    /// Returns how many rows of a batch of `rows` this process computes.
    pub(crate) fn own_rows(&self, rows: usize) -> usize {
        self.gathering.share.map_or(rows, |share| share.rows(rows).len())
    }

    /// Returns the number of samples seen after `step` updates.
    pub fn samples_before(&self, step: u64) -> u64 {
        self.gathering.order.samples_before(step)
    }

    /// Returns the training rows of the data set, ascending.
    pub fn train_rows(&self) -> &RowSet {
        self.gathering.split.train()
    }

    /// Returns the validation rows of the data set, ascending.
    pub fn validation_rows(&self) -> &RowSet {
        self.gathering.split.validation()
    }

    /// Returns the test rows of the data set, ascending; often none.
    pub fn test_rows(&self) -> &RowSet {
        self.gathering.split.test()
    }

    /// Returns all training and validation rows of the data set, ascending.
    pub fn all_rows(&self) -> RowSet {
        self.gathering.split.all()
    }

    /// Returns the form of the rows.
    pub fn schema(&self) -> Schema {
        Schema { input: self.input(), targets: self.targets(), names: self.gathering.dataset.names() }
    }

    /// Returns the form of a row's inputs.
    pub fn input(&self) -> Input {
        self.gathering.dataset.input()
    }

    /// Returns the form of the targets.
    pub fn targets(&self) -> TargetKind {
        self.gathering.dataset.targets()
    }

    /// Returns the class that marks positions without a target, if there are any.
    pub(crate) fn ignored(&self) -> Option<u32> {
        self.gathering.dataset.ignored()
    }

    /// Returns the token that begins a document, if those of a row must be seen apart from each other.
    pub(crate) fn document_start(&self) -> Option<u32> {
        self.gathering.dataset.document_start()
    }

    /// Returns the identity of the content. A resume continues only if it equals the one in the checkpoint.
    pub fn fingerprint(&self) -> &Fingerprint {
        self.gathering.dataset.fingerprint()
    }

    /// Returns the data set.
    pub fn dataset(&self) -> &D {
        &self.gathering.dataset
    }
}

impl<D: Dataset + Stateful> Stateful for Data<D> {
    fn save(&self) -> Result<State, StateError> {
        self.gathering.dataset.save()
    }

    fn check(&self, state: &State) -> Result<(), StateError> {
        self.gathering.dataset.check(state)
    }

    /// Batches made before are dropped.
    fn load(&mut self, state: &State) -> Result<(), StateError> {
        (self.whole, self.ahead) = (OnceLock::new(), OnceLock::new());
        match Arc::get_mut(&mut self.gathering) {
            Some(gathering) => gathering.dataset.load(state),
            None => Err(StateError::Unable("the data is in use by a validation that has not ended".to_owned())),
        }
    }
}
