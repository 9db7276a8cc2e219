//! The data set that fits in memory: all rows as two tensors on the device, gathered by their numbers.

use candle_core::{Device, Tensor};

use super::{Batch, DataError, Dataset, Fingerprint, Input, Rows, Split, Statistics, TargetKind, Targets};
use crate::state::{Part, State, StateError};

/// A data set in memory, standardized or not. What it remembers is the [`Statistics`], where it has any.
#[derive(Debug)]
pub struct Table {
    /// The inputs as they were read, in host memory: saved statistics are applied to them anew.
    raw: Tensor,
    inputs: Tensor,
    targets: Tensor,
    input_shape: Vec<usize>,
    kind: TargetKind,
    statistics: Option<Statistics>,
    fingerprint: Fingerprint,
    device: Device,
}

impl Table {
    /// The rows as they are, on `device`, known again by `fingerprint`.
    ///
    /// # Errors
    /// The device fails, for lack of memory for example.
    pub fn new(rows: Rows, fingerprint: Fingerprint, device: &Device) -> Result<Self, DataError> {
        let count = rows.len();
        let (input_shape, inputs, targets) = rows.into_parts();
        let kind = targets.kind();
        let shape: Vec<usize> = [count].iter().chain(&input_shape).copied().collect();
        let raw = Tensor::from_vec(inputs, shape, &Device::Cpu)?;
        let targets = match targets {
            Targets::Values { values, width } => Tensor::from_vec(values, (count, width), device)?,
            Targets::Classes { labels, .. } => Tensor::from_vec(labels, count, device)?,
        };
        let inputs = raw.to_device(device)?;
        Ok(Self { raw, inputs, targets, input_shape, kind, statistics: None, fingerprint, device: device.clone() })
    }

    /// The same rows, every feature standardized over the training rows of `split`.
    ///
    /// # Errors
    /// The split is for another number of rows, or the device fails.
    pub fn standardized(mut self, split: &Split) -> Result<Self, DataError> {
        if split.rows() != self.len() {
            return Err(DataError::MadeForOthers { what: "split", made_for: split.rows(), rows: self.len() });
        }
        let values = self.raw.flatten_all()?.to_vec1::<f32>()?;
        let statistics = Statistics::of(&values, self.input_shape.iter().product(), split);
        self.inputs = self.apply(&statistics)?;
        self.statistics = Some(statistics);
        Ok(self)
    }

    /// The statistics of standardization, where there is any.
    pub fn statistics(&self) -> Option<&Statistics> {
        self.statistics.as_ref()
    }

    fn apply(&self, statistics: &Statistics) -> candle_core::Result<Tensor> {
        let mut values = self.raw.flatten_all()?.to_vec1::<f32>()?;
        statistics.apply(&mut values);
        Tensor::from_vec(values, self.raw.shape(), &self.device)
    }
}

impl Dataset for Table {
    fn len(&self) -> usize {
        self.raw.dims().first().copied().unwrap_or(0)
    }

    fn input(&self) -> Input {
        Input::Numbers(self.input_shape.clone())
    }

    fn targets(&self) -> TargetKind {
        self.kind
    }

    fn fingerprint(&self) -> &Fingerprint {
        &self.fingerprint
    }

    fn gather(&self, rows: &[usize]) -> Result<Batch, DataError> {
        if let Some(&row) = rows.iter().find(|&&row| row >= self.len()) {
            return Err(DataError::NoSuchRow { row, rows: self.len() });
        }
        let rows: Vec<i64> = rows.iter().map(|&row| row as i64).collect();
        let rows = Tensor::new(rows, &self.device)?;
        Ok(Batch { inputs: self.inputs.index_select(&rows, 0)?, targets: self.targets.index_select(&rows, 0)? })
    }
}

impl Part for Table {
    fn save(&self) -> Result<State, StateError> {
        self.statistics.as_ref().map_or_else(|| Ok(State::default()), Part::save)
    }

    fn check(&self, state: &State) -> Result<(), StateError> {
        match &self.statistics {
            Some(statistics) => statistics.check(state),
            None => state.expect_nothing(),
        }
    }

    fn load(&mut self, state: &State) -> Result<(), StateError> {
        self.check(state)?;
        if let Some(mut statistics) = self.statistics.clone() {
            statistics.load(state)?;
            self.inputs = self.apply(&statistics).map_err(|error| StateError::Unable(error.to_string()))?;
            self.statistics = Some(statistics);
        }
        Ok(())
    }
}
