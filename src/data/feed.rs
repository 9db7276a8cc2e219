//! What a training loop holds: a data set, its split and its order, from which the batch of any step follows.

use std::sync::{Arc, OnceLock};

use candle_core::Device;

use super::ahead::Ahead;
use super::dataset::Source;
use super::{
    Augment, Batch, DataConfig, DataError, Dataset, Fingerprint, Input, Order, Recalled, RowSet, Schema, Split,
    TargetKind, format,
};
use crate::Notice;
use crate::rng::Draws;
use crate::state::{Part, State, StateError};

/// The data of a run: the batch of every step, and the rows it is validated on. Steps are counted from 0.
///
/// A batch is a function of its step. Where gathering one takes long, the next few are gathered ahead on other threads;
/// nobody can tell but by the clock.
#[derive(Debug)]
pub struct Data<D = Box<dyn Source>> {
    gathering: Arc<Gathering<D>>,
    /// Where batches go; left out, they stay where the data set gathers them.
    device: Option<Device>,
    /// The batch of every step, where it is the same for all.
    whole: OnceLock<Batch>,
    /// Made with the first batch.
    ahead: OnceLock<Ahead>,
}

/// What batches are made from, on any thread.
#[derive(Debug)]
struct Gathering<D> {
    dataset: D,
    split: Split,
    order: Order,
    /// How images are changed at every step, and by which seed.
    augment: Option<(Augment, u64)>,
}

impl<D: Dataset> Gathering<D> {
    fn training(&self, step: u64) -> Result<Batch, DataError> {
        let positions = self.order.rows_of(step).into_iter();
        let rows: Vec<usize> = positions.filter_map(|position| self.split.train().at(position)).collect();
        let batch = self.dataset.gather(&rows)?;
        match &self.augment {
            Some((augment, seed)) => {
                Ok(Batch { inputs: augment.train(batch.inputs, &Draws::at(*seed, step))?, ..batch })
            }
            None => Ok(batch),
        }
    }

    /// Whether every step learns from the same batch.
    fn is_whole(&self) -> bool {
        self.order.is_whole() && !self.augment.as_ref().is_some_and(|(augment, _)| augment.moves())
    }

    /// Batch `number` of an evaluation on `rows`.
    fn evaluation(&self, rows: &RowSet, number: u64) -> Result<Batch, DataError> {
        let count = self.dataset.input().evaluation_rows();
        let start = number as usize * count;
        let batch = self.dataset.gather(&rows.slice(start..start + count))?;
        match &self.augment {
            Some((augment, _)) => Ok(Batch { inputs: augment.evaluate(batch.inputs)?, ..batch }),
            None => Ok(batch),
        }
    }
}

impl Data {
    /// Reads what `config` describes and brings it to `device`; `seed` fixes the split and the order.
    ///
    /// # Errors
    /// Whatever is wrong with the options or the file, by option, line and column.
    pub fn open(config: &DataConfig, seed: u64, device: &Device) -> Result<Self, DataError> {
        Self::open_as(config, seed, device, None)
    }

    /// The same for the run of a checkpoint, which says what is known of the data.
    pub(crate) fn reopen(
        config: &DataConfig,
        seed: u64,
        device: &Device,
        recalled: Recalled<'_>,
    ) -> Result<Self, DataError> {
        Self::open_as(config, seed, device, Some(recalled))
    }

    fn open_as(
        config: &DataConfig,
        seed: u64,
        device: &Device,
        recalled: Option<Recalled<'_>>,
    ) -> Result<Self, DataError> {
        let (source, split) = format::open(config, seed, device, recalled)?;
        Self::of(source, split, config, seed, device)
    }

    /// Rows that a program hands over, with everything else as `config` says.
    pub(crate) fn of_source(
        source: Box<dyn Source>,
        config: &DataConfig,
        seed: u64,
        device: &Device,
    ) -> Result<Self, DataError> {
        let split = Split::new(source.len(), config.validation, seed)?;
        Self::of(source, split, config, seed, device)
    }

    fn of(
        source: Box<dyn Source>,
        split: Split,
        config: &DataConfig,
        seed: u64,
        device: &Device,
    ) -> Result<Self, DataError> {
        let order = Order::new(split.train().len(), config.batch_size, config.last_batch(), config.shuffle_seed(seed))?;
        let data = Self::new(source, split, order)?.on(device);
        match &config.augment {
            Some(augment) => data.augmented(augment.clone(), seed),
            None => Ok(data),
        }
    }
}

impl<D: Dataset + 'static> Data<D> {
    /// The data of a run from a data set of your own. The order is that of the split's training rows.
    ///
    /// # Errors
    /// The split is for another number of rows than the data set has, or the order than the training rows.
    pub fn new(dataset: D, split: Split, order: Order) -> Result<Self, DataError> {
        if split.rows() != dataset.len() {
            return Err(DataError::MadeForOthers { what: "split", made_for: split.rows(), rows: dataset.len() });
        }
        if order.rows() != split.train().len() {
            return Err(DataError::MadeForOthers { what: "order", made_for: order.rows(), rows: split.train().len() });
        }
        let gathering = Arc::new(Gathering { dataset, split, order, augment: None });
        Ok(Self { gathering, device: None, whole: OnceLock::new(), ahead: OnceLock::new() })
    }

    /// The same, with every batch brought to `device`.
    pub fn on(self, device: &Device) -> Self {
        Self { device: Some(device.clone()), whole: OnceLock::new(), ..self }
    }

    /// The same, with images changed at every step as `augment` says, drawn from `seed`.
    ///
    /// # Errors
    /// The data is not images, or none to which this can be done.
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

    /// The batch that update number `step` learns from. Where every step learns from all rows as they stand,
    /// they are gathered once, and each call hands out the same tensors.
    ///
    /// # Errors
    /// The data set cannot gather the rows.
    pub fn batch(&self, step: u64) -> Result<Batch, DataError> {
        match self.batch_unless(step, &|| false)? {
            Some(batch) => Ok(batch),
            None => self.bring(self.gathering.training(step)?),
        }
    }

    /// As [`Data::batch`], or none if `stop` asks not to wait for the batch any longer. It is asked now and then, where
    /// a batch takes long.
    ///
    /// # Errors
    /// As [`Data::batch`].
    pub fn batch_unless(&self, step: u64, stop: &dyn Fn() -> bool) -> Result<Option<Batch>, DataError> {
        if let Some(whole) = self.whole.get() {
            return Ok(Some(whole.clone()));
        }
        if self.gathering.is_whole() {
            let batch = self.bring(self.gathering.training(step)?)?;
            return Ok(Some(self.whole.get_or_init(|| batch).clone()));
        }
        if self.gathering.dataset.is_on_device() {
            return self.bring(self.gathering.training(step)?).map(Some);
        }
        let ahead = self.ahead.get_or_init(|| {
            let gathering = self.gathering.clone();
            Ahead::new(Arc::new(move |step| gathering.training(step)), u64::MAX)
        });
        ahead.batch_unless(step, stop)?.map(|batch| self.bring(batch)).transpose()
    }

    /// The validation rows in ascending order, [`Input::evaluation_rows`] at a time; none where no share is set aside.
    pub fn validation_batches(&self) -> impl Iterator<Item = Result<Batch, DataError>> {
        self.validation_batches_unless(&|| false)
    }

    /// As [`Data::validation_batches`], but they end where `stop` asks for it. It is asked before each, and where one
    /// takes long.
    pub fn validation_batches_unless<'a>(
        &'a self,
        stop: &'a dyn Fn() -> bool,
    ) -> impl Iterator<Item = Result<Batch, DataError>> + 'a {
        self.evaluation_batches_unless(self.gathering.split.validation().clone(), stop)
    }

    /// These rows of the data set in their order, [`Input::evaluation_rows`] at a time, as in a validation.
    pub fn evaluation_batches(&self, rows: RowSet) -> impl Iterator<Item = Result<Batch, DataError>> {
        self.evaluation_batches_unless(rows, &|| false)
    }

    fn evaluation_batches_unless<'a>(
        &'a self,
        rows: RowSet,
        stop: &'a dyn Fn() -> bool,
    ) -> impl Iterator<Item = Result<Batch, DataError>> + 'a {
        let (gathering, rows) = (self.gathering.clone(), Arc::new(rows));
        let count = rows.len().div_ceil(gathering.dataset.input().evaluation_rows()) as u64;
        let is_on_device = gathering.dataset.is_on_device();
        let ahead = {
            let rows = rows.clone();
            let ahead = Ahead::new(Arc::new(move |number| gathering.evaluation(&rows, number)), count);
            if self.ahead.get().is_some_and(Ahead::is_slow) { ahead } else { ahead.at_hand() }
        };
        let batch = move |number| {
            if is_on_device {
                return self.bring(self.gathering.evaluation(&rows, number)?).map(Some);
            }
            ahead.batch_unless(number, stop)?.map(|batch| self.bring(batch)).transpose()
        };
        (0..count).take_while(move |_| !stop()).map_while(move |number| batch(number).transpose())
    }

    /// Brings a batch to the device of the run. Only the thread that trains does: on CUDA another one would race it.
    fn bring(&self, batch: Batch) -> Result<Batch, DataError> {
        Ok(match &self.device {
            Some(device) => batch.on(device)?,
            None => batch,
        })
    }
}

impl<D: Dataset> Data<D> {
    /// How the data was understood, and what looks like a mistake in it.
    pub fn notices(&self) -> Vec<Notice> {
        self.gathering.dataset.notices()
    }

    /// How many batches are in memory at a time, where making one takes long: the one in use, and those read ahead.
    pub(crate) fn batches_held(&self) -> u64 {
        let one_by_one = self.gathering.is_whole() || self.gathering.dataset.is_on_device();
        if one_by_one { 1 } else { 1 + Ahead::most_batches() as u64 }
    }

    /// The epoch that update number `step` is in.
    pub fn epoch_of(&self, step: u64) -> u64 {
        self.gathering.order.epoch_of(step)
    }

    /// Updates per epoch.
    pub fn steps_per_epoch(&self) -> u64 {
        self.gathering.order.steps_per_epoch()
    }

    /// How many samples have been seen after `step` updates.
    pub fn samples_before(&self, step: u64) -> u64 {
        self.gathering.order.samples_before(step)
    }

    /// The rows of the data set to train on, ascending.
    pub fn train_rows(&self) -> &RowSet {
        self.gathering.split.train()
    }

    /// The rows of the data set to validate on, ascending.
    pub fn validation_rows(&self) -> &RowSet {
        self.gathering.split.validation()
    }

    /// All rows of the data set, ascending.
    pub fn all_rows(&self) -> RowSet {
        self.gathering.split.all()
    }

    /// What the rows are.
    pub fn schema(&self) -> Schema {
        Schema { input: self.input(), targets: self.targets(), names: self.gathering.dataset.names() }
    }

    /// What one row's inputs are.
    pub fn input(&self) -> Input {
        self.gathering.dataset.input()
    }

    /// What the targets are.
    pub fn targets(&self) -> TargetKind {
        self.gathering.dataset.targets()
    }

    /// What identifies the content. A resume goes on only where it equals the one in the checkpoint.
    pub fn fingerprint(&self) -> &Fingerprint {
        self.gathering.dataset.fingerprint()
    }

    /// The data set itself.
    pub fn dataset(&self) -> &D {
        &self.gathering.dataset
    }
}

impl<D: Dataset + Part> Part for Data<D> {
    fn save(&self) -> Result<State, StateError> {
        self.gathering.dataset.save()
    }

    fn check(&self, state: &State) -> Result<(), StateError> {
        self.gathering.dataset.check(state)
    }

    /// Batches that were made before are let go.
    fn load(&mut self, state: &State) -> Result<(), StateError> {
        (self.whole, self.ahead) = (OnceLock::new(), OnceLock::new());
        match Arc::get_mut(&mut self.gathering) {
            Some(gathering) => gathering.dataset.load(state),
            None => Err(StateError::Unable("the data is in use by a validation that has not ended".to_owned())),
        }
    }
}
