//! A table in memory as a data set: all rows as two tensors on the device, gathered by number.

mod raw;

use candle_core::{Device, Tensor};
use rayon::prelude::*;

use self::raw::Raw;

use super::encoding::{Encoding, EncodingOptions};
use super::frame::{Cells, Column, Frame};
use super::integers;
use super::remarks;
use super::rounding::of_rounding;
use super::{
    Batch, DataError, Dataset, Fingerprint, Input, Names, Rows, Split, Statistics, TargetKind, TargetScale,
    TargetTransform, Targets,
};
use crate::Notice;
use crate::state::{State, StateError, Stateful};

/// A table in memory. Its state is computed from its training rows: the conversion of columns to numbers, if they are
/// not numbers already, and the [`Statistics`] of standardization, if any.
#[derive(Debug)]
pub struct Table {
    /// The raw rows, encoded again when saved state is loaded.
    raw: Raw,
    inputs: Tensor,
    targets: Tensor,
    rows: usize,
    kind: TargetKind,
    statistics: Option<Statistics>,
    scaled: Option<Scaled>,
    fingerprint: Fingerprint,
    device: Device,
    notices: Vec<Notice>,
}

/// Targets that are transformed.
#[derive(Debug)]
struct Scaled {
    scale: TargetScale,
    /// The targets in their unit, transformed again when saved state is loaded.
    values: Vec<f32>,
    width: usize,
}

impl Scaled {
    fn tensor(&self, device: &Device) -> candle_core::Result<Tensor> {
        let rows = self.values.len() / self.width.max(1);
        Tensor::from_vec(self.scale.apply(&self.values), (rows, self.width), device)
    }
}

impl Table {
    /// Creates a table of the unchanged rows, on `device`, identified by `fingerprint`.
    ///
    /// # Errors
    /// The device fails, for example for lack of memory.
    pub fn new(rows: Rows, fingerprint: Fingerprint, device: &Device) -> Result<Self, DataError> {
        let count = rows.len();
        let (shape, values, targets) = rows.into_parts();
        let all: Vec<usize> = [count].into_iter().chain(shape.iter().copied()).collect();
        let values = Tensor::from_vec(values, all, &Device::Cpu)?;
        Self::of(Raw::Numbers { values, shape, classes: None }, targets, None, fingerprint, device)
    }

    /// Gives names to the classes of a table of unchanged rows.
    pub(super) fn with_classes(mut self, names: Option<Vec<String>>) -> Self {
        if let Raw::Numbers { classes, .. } = &mut self.raw {
            *classes = names;
        }
        self
    }

    /// Creates a table of the rows of a frame, its columns encoded and, if it is to be `standardized`, standardized using
    /// the training rows of `split`.
    pub(super) fn encoded(
        frame: Frame,
        split: &Split,
        options: EncodingOptions,
        standardized: bool,
        fingerprint: Fingerprint,
        device: &Device,
    ) -> Result<Self, DataError> {
        let encoding = Encoding::learn(&frame, split.train(), options)?;
        let (targets, mut notices) = (frame.targets.clone(), frame.notices.clone());
        notices.extend(remarks::of_categories(&frame.columns, frame.decimal));
        let encoder = encoding.encoder(&frame.columns);
        for (rows, word) in [(split.validation(), "validation"), (split.test(), "test")] {
            let unseen = encoder.unseen(rows.iter());
            let unseen = unseen.filter_map(|(place, unseen)| encoding.remark(place, &unseen, rows.len()));
            notices.extend(unseen.map(|text| Notice::Warning(format!("of the {word} rows, {text}"))));
        }
        drop(encoder);
        let mut raw = Raw::Columns { frame, encoding };
        let statistics = standardized.then(|| raw.statistics(split)).transpose()?;
        let table = Self::of(raw, targets, statistics, fingerprint, device)?.saying(notices);
        Ok(if standardized { table } else { table.not_standardized() })
    }

    /// Adds a notice if precision is lost without standardization.
    fn not_standardized(self) -> Self {
        let Raw::Columns { frame, .. } = &self.raw else { return self };
        let said = frame.columns.par_iter().filter_map(|Column { name, cells, .. }| match cells {
            Cells::Numbers(numbers) => Some(format!("column `{name}`: {}", of_rounding(numbers)?)),
            Cells::Lists(lists) => {
                let said = (0..lists.width()).find_map(|place| Some((place, of_rounding(&lists.at(place))?)));
                said.map(|(place, said)| format!("column `{name}`, place {place} (counted from 0): {said}"))
            }
            Cells::Categories(_) => None,
        });
        let notices = said.map(Notice::Warning).collect();
        self.saying(notices)
    }

    /// Adds notices for the user.
    pub(super) fn saying(mut self, notices: Vec<Notice>) -> Self {
        self.notices.extend(notices);
        self
    }

    fn of(
        raw: Raw,
        targets: Targets,
        statistics: Option<Statistics>,
        fingerprint: Fingerprint,
        device: &Device,
    ) -> Result<Self, DataError> {
        let (kind, rows) = (targets.kind(), targets.rows().unwrap_or(0));
        let targets = match targets {
            Targets::Values { values, width } => Tensor::from_vec(values, (rows, width), device)?,
            Targets::Classes { labels, .. } => Tensor::from_vec(labels, rows, device)?,
        };
        let inputs = raw.tensor(rows, statistics.as_ref(), device)?;
        let (device, notices) = (device.clone(), Vec::new());
        Ok(Self { raw, inputs, targets, rows, kind, statistics, scaled: None, fingerprint, device, notices })
    }

    /// Standardizes every feature over the training rows of `split`. Features that are yes or no, for example from
    /// categories, keep 0 and 1.
    ///
    /// # Errors
    /// The split has another number of rows, or the device fails.
    pub fn standardized(mut self, split: &Split) -> Result<Self, DataError> {
        if split.rows() != self.len() {
            return Err(DataError::MadeForOthers { what: "split", made_for: split.rows(), rows: self.len() });
        }
        let statistics = self.raw.statistics(split)?;
        self.inputs = self.raw.tensor(self.rows, Some(&statistics), &self.device)?;
        self.statistics = Some(statistics);
        Ok(self)
    }

    /// Transforms targets that are values, with what the training rows of `split` say.
    ///
    /// # Errors
    /// Targets are classes, a value has no logarithm, or the device fails.
    pub(super) fn scaled(mut self, transform: Option<TargetTransform>, split: &Split) -> Result<Self, DataError> {
        let Some(transform) = transform else { return Ok(self) };
        let TargetKind::Values { width } = self.kind else {
            return Err(DataError::meaningless("target_transform", "targets that are classes"));
        };
        let values = self.targets.flatten_all()?.to_vec1::<f32>()?;
        for (at, &value) in values.iter().enumerate() {
            let row = at / width.max(1);
            transform.require(value.into()).map_err(|problem| DataError::Row { row, problem })?;
        }
        let scale = TargetScale::learned(transform, &values, width, split.train());
        let scaled = Scaled { scale, values, width };
        self.targets = scaled.tensor(&self.device)?;
        self.scaled = Some(scaled);
        Ok(self)
    }

    /// Returns the statistics of standardization, if there are any.
    pub fn statistics(&self) -> Option<&Statistics> {
        self.statistics.as_ref()
    }

    /// Reads columns, statistics and the scale of the targets from `state`.
    fn read(&self, state: &State) -> Result<Saved, StateError> {
        let (scale, json) = TargetScale::split(&state.json)?;
        let state = &State { json, ..state.clone() };
        let own = self.scaled.as_ref().map(|scaled| &scaled.scale);
        let is_alike = match (own, &scale) {
            (Some(own), Some(saved)) => own.is_like(saved),
            (own, saved) => own.is_none() && saved.is_none(),
        };
        if !is_alike {
            let (saved, expected) = (TargetScale::words(scale.as_ref()), TargetScale::words(own));
            return Err(StateError::Mismatch { what: "the form of the targets".to_owned(), saved, expected });
        }
        let encoding = match &self.raw {
            Raw::Columns { encoding, .. } => Some(encoding.load(&state.json)?),
            Raw::Numbers { classes, .. } => {
                integers::check(classes.as_deref(), state)?;
                None
            }
        };
        let width = encoding.as_ref().map_or_else(|| self.raw.shape().iter().product(), Encoding::width);
        let statistics = match &self.statistics {
            Some(_) => Some(Statistics::read(state, width)?),
            None => state.expect_tensors([]).map(|()| None)?,
        };
        Ok(Saved { encoding, statistics, scale })
    }
}

/// The saved state of a table.
struct Saved {
    encoding: Option<Encoding>,
    statistics: Option<Statistics>,
    scale: Option<TargetScale>,
}

impl Dataset for Table {
    fn len(&self) -> usize {
        self.rows
    }

    fn input(&self) -> Input {
        Input::Numbers(self.raw.shape())
    }

    fn targets(&self) -> TargetKind {
        self.kind
    }

    fn fingerprint(&self) -> &Fingerprint {
        &self.fingerprint
    }

    fn names(&self) -> Names {
        match &self.raw {
            Raw::Numbers { classes, .. } => Names { columns: None, classes: classes.clone() },
            Raw::Columns { frame, encoding } => {
                Names { columns: Some(frame.layout.clone()), classes: encoding.classes().map(<[String]>::to_vec) }
            }
        }
    }

    fn notices(&self) -> Vec<Notice> {
        self.notices.clone()
    }

    fn labels(&self) -> Option<Vec<u32>> {
        self.targets.to_vec1().ok()
    }

    fn constant(&self) -> Vec<String> {
        let Raw::Columns { frame, .. } = &self.raw else { return Vec::new() };
        let columns = frame.columns.iter().filter(|column| column.cells.are_constant());
        columns.map(|column| column.name.clone()).collect()
    }

    fn missing(&self) -> Vec<(String, usize)> {
        let Raw::Columns { frame, .. } = &self.raw else { return Vec::new() };
        let counts = frame.columns.iter().map(|column| (column.name.clone(), column.cells.missing()));
        counts.filter(|(_, count)| *count > 0).collect()
    }

    fn target_scale(&self) -> Option<&TargetScale> {
        self.scaled.as_ref().map(|scaled| &scaled.scale)
    }

    fn is_on_device(&self) -> bool {
        !self.device.is_cpu()
    }

    fn gather(&self, rows: &[usize]) -> Result<Batch, DataError> {
        if let Some(&row) = rows.iter().find(|&&row| row >= self.rows) {
            return Err(DataError::NoSuchRow { row, rows: self.rows });
        }
        let rows: Vec<i64> = rows.iter().map(|&row| row as i64).collect();
        let rows = Tensor::new(rows, &self.device)?;
        Ok(Batch { inputs: self.inputs.index_select(&rows, 0)?, targets: self.targets.index_select(&rows, 0)? })
    }
}

impl Stateful for Table {
    fn save(&self) -> Result<State, StateError> {
        let mut state = self.statistics.as_ref().map(Statistics::save).unwrap_or_default();
        state.json = match &self.raw {
            Raw::Columns { encoding, .. } => encoding.save()?,
            Raw::Numbers { classes, .. } => integers::saved(classes.as_deref()),
        };
        if let Some(Scaled { scale, .. }) = &self.scaled {
            state.json = scale.save(state.json)?;
        }
        Ok(state)
    }

    fn check(&self, state: &State) -> Result<(), StateError> {
        self.read(state).map(drop)
    }

    fn load(&mut self, state: &State) -> Result<(), StateError> {
        let saved = self.read(state)?;
        if let (Raw::Columns { encoding, .. }, Some(saved)) = (&mut self.raw, saved.encoding) {
            *encoding = saved;
        }
        self.statistics = saved.statistics;
        let inputs = self.raw.tensor(self.rows, self.statistics.as_ref(), &self.device);
        self.inputs = inputs.map_err(|error| StateError::Unable(error.to_string()))?;
        if let (Some(scaled), Some(scale)) = (&mut self.scaled, saved.scale) {
            scaled.scale = scale;
            let targets = scaled.tensor(&self.device);
            self.targets = targets.map_err(|error| StateError::Unable(error.to_string()))?;
        }
        Ok(())
    }
}
