//! The data that a configuration describes.

use candle_core::Device;

use super::Data;
use crate::data::dataset::Source;
use crate::data::files::Counts;
use crate::data::{BatchSizes, DataConfig, DataError, Order, Processes, Recalled, Split, format};

impl Data {
    /// Opens the data that `config` describes, for `device`; `seed` determines the split and the order.
    ///
    /// # Errors
    /// Errors of the options or the file, with option, line and column.
    pub fn open(config: &DataConfig, seed: u64, device: &Device) -> Result<Self, DataError> {
        Self::open_as(config, seed, device, None, None)
    }

    /// The same in each of several processes, which divide the work on data that is read whole first.
    pub(crate) fn open_among(
        config: &DataConfig,
        seed: u64,
        device: &Device,
        processes: &dyn Processes,
    ) -> Result<Self, DataError> {
        Self::open_as(config, seed, device, None, Some(processes))
    }

    /// Opens the data for the run of a checkpoint, with its description of the data.
    pub(crate) fn reopen(
        config: &DataConfig,
        seed: u64,
        device: &Device,
        recalled: Recalled<'_>,
    ) -> Result<Self, DataError> {
        Self::open_as(config, seed, device, Some(recalled), None)
    }

    fn open_as(
        config: &DataConfig,
        seed: u64,
        device: &Device,
        recalled: Option<Recalled<'_>>,
        processes: Option<&dyn Processes>,
    ) -> Result<Self, DataError> {
        let (source, split) = format::open(config, seed, device, recalled, processes)?;
        Self::of(source, split, config, seed, device, recalled.and_then(|recalled| recalled.batch_sizes))
    }

    /// Uses rows that a program passes as a value, with all other options from `config`; a run that continues has
    /// `batch_sizes`.
    pub(crate) fn of_source(
        source: Box<dyn Source>,
        config: &DataConfig,
        seed: u64,
        device: &Device,
        batch_sizes: Option<BatchSizes<'_>>,
    ) -> Result<Self, DataError> {
        let counts = Counts { train: source.len(), ..Counts::default() };
        let split = Split::of(config, counts, || source.labels(), seed)?;
        Self::of(source, split, config, seed, device, batch_sizes)
    }

    fn of(
        source: Box<dyn Source>,
        split: Split,
        config: &DataConfig,
        seed: u64,
        device: &Device,
        batch_sizes: Option<BatchSizes<'_>>,
    ) -> Result<Self, DataError> {
        let (rows, now) = (split.train().len(), config.batch_size);
        let (first, later) = batch_sizes.map_or_else(|| (now, Vec::new()), |sizes| sizes.of_run(now));
        let order = Order::new(rows, first, config.last_batch(), config.shuffle_seed(seed))?;
        let order = match source.shards() {
            Some(shards) => order.by_shards(shards)?,
            None => order,
        };
        let order = later.into_iter().try_fold(order, |order, (step, size)| order.changed_at(step, size))?;
        let data = Self::new(source, split, order)?.on(device);
        let data = match &config.sampling {
            Some(sampling) if config.shuffle == Some(false) => {
                let reason = format!(
                    "= {sampling}: rows are drawn at random, and `data.shuffle` is false; remove one of the two"
                );
                return Err(DataError::Sampling { reason });
            }
            Some(sampling) => data.sampled(sampling, seed)?,
            None => data,
        };
        match &config.augment {
            Some(augment) => data.augmented(augment.clone(), seed),
            None => Ok(data),
        }
    }
}
