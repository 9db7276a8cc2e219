//! Memory of metric-driven kinds between updates, and its saved form.

use std::fmt::Debug;
use std::ops::Range;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::context::Context;
use super::definition::words;
use super::error::ScheduleError;
use crate::figures::counted;

/// Memory of one metric-driven schedule: its current rates, and its statistics of the metrics.
pub(crate) trait Memory: Debug + Send + Sync {
    /// Returns the current rate of `group`.
    fn rate(&self, group: usize) -> f64;
    /// Returns whether lower or higher metrics are better.
    fn mode(&self) -> Mode;
    /// Takes a metric into account. NaN is worse than any number.
    fn report(&mut self, metric: f64);
    /// Returns the state to save.
    fn save(&self) -> Json;
    /// Restores the state from [`Memory::save`], for groups whose base rates may have changed since.
    fn load(&mut self, saved: &Json, bases: &[BaseChange]) -> Result<(), String>;
}

/// Creates a memory from the base rates of the groups that it serves.
pub(crate) type Make = dyn Fn(&[f64]) -> Box<dyn Memory> + Send + Sync;

/// A metric-driven schedule within a plan.
pub(crate) struct MemorySlot {
    /// Its path in the outermost schedule; empty for the outermost itself.
    pub place: String,
    /// Its kind.
    pub kind: &'static str,
    /// The groups that it serves.
    pub groups: Range<usize>,
    /// Creates its memory before any report.
    pub make: Box<Make>,
}

/// The base rate of a group when the memory was saved, and now.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BaseChange {
    pub old: f64,
    pub new: f64,
}

impl BaseChange {
    /// Scales `rate` by the ratio of the new base to the old; the same bits if the base is the same.
    fn carry(self, rate: f64) -> f64 {
        if self.old == self.new {
            rate
        } else if self.old == 0.0 {
            self.new
        } else {
            (rate * (self.new / self.old)).min(f64::MAX)
        }
    }
}

/// Converts the state of a memory to JSON; all numbers can be represented.
pub(crate) fn to_json(seen: &impl Serialize) -> Json {
    serde_json::to_value(seen).unwrap_or_default()
}

/// The inverse of [`to_json`], with the rates, which `rates` finds, scaled to the current base rates.
pub(crate) fn restored<T: DeserializeOwned>(
    saved: &Json,
    bases: &[BaseChange],
    rates: impl Fn(&mut T) -> &mut Vec<f64>,
) -> Result<T, String> {
    let mut seen = T::deserialize(saved).map_err(|error| error.to_string())?;
    let rates = rates(&mut seen);
    *rates = carried(rates, bases)?;
    Ok(seen)
}

fn carried(saved: &[f64], bases: &[BaseChange]) -> Result<Vec<f64>, String> {
    if saved.len() != bases.len() {
        return Err(format!("it holds rates of {}, but there are {}", counted(saved.len(), "group"), bases.len()));
    }
    if let Some(bad) = saved.iter().find(|rate| !(rate.is_finite() && **rate >= 0.0)) {
        return Err(format!("it holds a rate of {bad}"));
    }
    Ok(saved.iter().zip(bases).map(|(rate, base)| base.carry(*rate)).collect())
}

words! {
    /// Which metrics are better.
    Mode {
        /// Lower ones: a loss.
        Min = "min",
        /// Higher ones: an accuracy.
        Max = "max",
    }
}

words! {
    /// How the improvement threshold is measured.
    ThresholdMode {
        /// Relative: the threshold times the best metric.
        Rel = "rel",
        /// Absolute: the threshold itself.
        Abs = "abs",
    }
}

/// Decides whether a metric is an improvement: the rule of PyTorch's ReduceLROnPlateau, which GreedyLR shares.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Improvement {
    pub mode: Mode,
    pub threshold: f64,
    pub threshold_mode: ThresholdMode,
}

impl Improvement {
    /// Initial best: worse than any metric.
    pub fn worst(&self) -> f64 {
        match self.mode {
            Mode::Min => f64::INFINITY,
            Mode::Max => f64::NEG_INFINITY,
        }
    }

    /// Whether `metric` improves on `best`. NaN never does.
    pub fn is_better(&self, metric: f64, best: f64) -> bool {
        match (self.mode, self.threshold_mode) {
            (Mode::Min, ThresholdMode::Rel) => metric < best * (1.0 - self.threshold),
            (Mode::Min, ThresholdMode::Abs) => metric < best - self.threshold,
            (Mode::Max, ThresholdMode::Rel) => metric > best * (1.0 + self.threshold),
            (Mode::Max, ThresholdMode::Abs) => metric > best + self.threshold,
        }
    }
}

/// A number that JSON may not be able to represent: infinities are written `"inf"` and `"-inf"`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Written", into = "Written")]
pub(crate) struct Extended(pub f64);

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Written {
    Number(f64),
    Word(String),
}

impl From<Extended> for Written {
    fn from(Extended(x): Extended) -> Self {
        if x.is_finite() { Self::Number(x) } else { Self::Word(format!("{x}").to_lowercase()) }
    }
}

impl TryFrom<Written> for Extended {
    type Error = String;

    fn try_from(written: Written) -> Result<Self, String> {
        match written {
            Written::Number(x) => Ok(Self(x)),
            Written::Word(word) if word == "inf" => Ok(Self(f64::INFINITY)),
            Written::Word(word) if word == "-inf" => Ok(Self(f64::NEG_INFINITY)),
            Written::Word(word) => Err(format!("\"{word}\" is not a number, \"inf\" or \"-inf\"")),
        }
    }
}

impl Context<'_> {
    /// Builds the improvement rule, with its threshold checked.
    pub fn improvement(
        &self,
        mode: Mode,
        threshold: f64,
        threshold_mode: ThresholdMode,
    ) -> Result<Improvement, ScheduleError> {
        if threshold_mode == ThresholdMode::Rel && threshold >= 1.0 {
            return Err(self.refuse("threshold", threshold, "a relative one must be below 1"));
        }
        Ok(Improvement { mode, threshold, threshold_mode })
    }
}
