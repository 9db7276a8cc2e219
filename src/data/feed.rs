//! What a training loop holds: a data set, its split and its order, from which the batch of any step follows.

use std::sync::OnceLock;

use candle_core::Device;

use super::dataset::Source;
use super::{Batch, DataConfig, DataError, Dataset, Fingerprint, Input, Order, RowSet, Split, TargetKind, format};
use crate::state::{Part, State, StateError};

/// How many rows a batch of an evaluation holds, the last one perhaps fewer. It is fixed, and so is the order of
/// the rows, so that the bits of a validation metric depend on the weights and the data alone, and not on how
/// the training batches are made.
pub const EVALUATION_ROWS: usize = 256;

/// The data of a run: the batch of every step, and the rows it is validated on. Steps are counted from 0.
///
/// Reading a batch changes nothing, so batches may be prepared ahead on other threads.
#[derive(Debug)]
pub struct Data<D = Box<dyn Source>> {
    dataset: D,
    split: Split,
    order: Order,
    /// Where batches go; left out, they stay where the data set gathers them.
    device: Option<Device>,
    /// The batch of every step, where it is the same for all.
    whole: OnceLock<Batch>,
}

impl Data {
    /// Reads what `config` describes and brings it to `device`; `seed` fixes the split and the order.
    ///
    /// # Errors
    /// Whatever is wrong with the options or the file, by option, line and column.
    pub fn open(config: &DataConfig, seed: u64, device: &Device) -> Result<Self, DataError> {
        let (source, split) = format::open(config, seed, device)?;
        let order = Order::new(split.train().len(), config.batch_size, config.last_batch(), config.shuffle_seed(seed))?;
        Ok(Self::new(source, split, order)?.on(device))
    }
}

impl<D: Dataset> Data<D> {
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
        Ok(Self { dataset, split, order, device: None, whole: OnceLock::new() })
    }

    /// The same, with every batch brought to `device`.
    pub fn on(self, device: &Device) -> Self {
        Self { device: Some(device.clone()), whole: OnceLock::new(), ..self }
    }

    /// The batch that update number `step` learns from. Where every step learns from all rows as they stand,
    /// they are gathered once, and each call hands out the same tensors.
    ///
    /// # Errors
    /// The data set cannot gather the rows.
    pub fn batch(&self, step: u64) -> Result<Batch, DataError> {
        if let Some(whole) = self.whole.get() {
            return Ok(whole.clone());
        }
        let positions = self.order.rows_of(step);
        let rows: Vec<usize> = positions.into_iter().filter_map(|position| self.split.train().at(position)).collect();
        let batch = self.gather(&rows)?;
        Ok(if self.order.is_whole() { self.whole.get_or_init(|| batch).clone() } else { batch })
    }

    /// The validation rows in ascending order, [`EVALUATION_ROWS`] at a time; none where no share is set aside.
    pub fn validation_batches(&self) -> impl Iterator<Item = Result<Batch, DataError>> {
        let rows = self.split.validation();
        let starts = (0..rows.len()).step_by(EVALUATION_ROWS);
        starts.map(|start| self.gather(&rows.slice(start..start + EVALUATION_ROWS)))
    }

    fn gather(&self, rows: &[usize]) -> Result<Batch, DataError> {
        let batch = self.dataset.gather(rows)?;
        Ok(match &self.device {
            Some(device) => batch.on(device)?,
            None => batch,
        })
    }

    /// The epoch that update number `step` is in.
    pub fn epoch_of(&self, step: u64) -> u64 {
        self.order.epoch_of(step)
    }

    /// Updates per epoch.
    pub fn steps_per_epoch(&self) -> u64 {
        self.order.steps_per_epoch()
    }

    /// How many samples have been seen after `step` updates.
    pub fn samples_before(&self, step: u64) -> u64 {
        self.order.samples_before(step)
    }

    /// The rows of the data set to train on, ascending.
    pub fn train_rows(&self) -> &RowSet {
        self.split.train()
    }

    /// The rows of the data set to validate on, ascending.
    pub fn validation_rows(&self) -> &RowSet {
        self.split.validation()
    }

    /// What one row's inputs are.
    pub fn input(&self) -> Input {
        self.dataset.input()
    }

    /// What the targets are.
    pub fn targets(&self) -> TargetKind {
        self.dataset.targets()
    }

    /// What identifies the content. A resume goes on only where it equals the one in the checkpoint.
    pub fn fingerprint(&self) -> &Fingerprint {
        self.dataset.fingerprint()
    }

    /// The data set itself.
    pub fn dataset(&self) -> &D {
        &self.dataset
    }
}

impl<D: Dataset + Part> Part for Data<D> {
    fn save(&self) -> Result<State, StateError> {
        self.dataset.save()
    }

    fn check(&self, state: &State) -> Result<(), StateError> {
        self.dataset.check(state)
    }

    fn load(&mut self, state: &State) -> Result<(), StateError> {
        self.whole = OnceLock::new();
        self.dataset.load(state)
    }
}
