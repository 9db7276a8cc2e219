//! A watched run, as it is known at a moment.

use std::path::PathBuf;

use crate::data::Epochs;
use crate::report::LogLine;

/// The state of a run.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum State {
    /// It is not known yet.
    #[default]
    Unknown,
    /// It has neither a log nor a checkpoint.
    NotBegun,
    /// It trains, in the process that is named.
    Running(Option<String>),
    /// Its process has ended, as this says.
    Ended(String),
    /// Its process was killed.
    Interrupted,
}

/// A checkpoint.
#[derive(Clone, Debug, PartialEq)]
pub struct Save {
    /// Number of updates made.
    pub step: u64,
    /// Its directory.
    pub path: PathBuf,
    /// Its age in seconds.
    pub age: Option<u64>,
}

/// A run, as far as it is known.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// The name of its directory.
    pub name: String,
    /// Its state.
    pub state: State,
    /// Number of updates in its log.
    pub done: u64,
    /// Number of updates of its newest checkpoint.
    pub saved_done: u64,
    /// Number of updates of the whole run.
    pub total: Option<u64>,
    /// The epochs by updates.
    pub epochs: Option<Epochs>,
    /// The loss of the last update.
    pub loss: Option<f64>,
    /// The rates of the last update.
    pub rates: Vec<f64>,
    /// The numbers of validations in the log, by step, the last ones.
    pub validations: Vec<(u64, Vec<(String, f64)>)>,
    /// The validation with the lowest loss: updates made, and the loss.
    pub best: Option<(u64, f64)>,
    /// The newest checkpoint.
    pub save: Option<Save>,
    /// Steps per second.
    pub speed: Option<f64>,
    /// Steps per second between the last two saves.
    pub earlier_speed: Option<f64>,
    /// Why something cannot be read.
    pub trouble: Option<String>,
    /// Whether the log is still being read.
    pub is_reading: bool,
}

/// Number of validations that are remembered, in case that the log is cut.
const REMEMBERED: usize = 1000;

impl Facts {
    /// Adds a line of the log.
    pub fn take(&mut self, line: &LogLine) {
        self.done = line.step.saturating_add(1);
        self.loss = line.value("loss");
        let rates = line.values.iter().filter(|(name, _)| name == "lr" || name.starts_with("lr."));
        self.rates = rates.map(|(_, rate)| *rate).collect();
        let is_of_validation = |name: &str| name.starts_with("val_") || name.starts_with("validation_");
        let found: Vec<(String, f64)> =
            line.values.iter().filter(|(name, _)| is_of_validation(name)).cloned().collect();
        if found.is_empty() {
            return;
        }
        if let Some(loss) = line.value("val_loss")
            && self.best.is_none_or(|(_, best)| loss < best)
        {
            self.best = Some((self.done, loss));
        }
        if self.validations.len() >= REMEMBERED {
            self.validations.drain(..REMEMBERED / 2);
        }
        self.validations.push((self.done, found));
    }

    /// Forgets the steps from `step` on.
    pub fn cut(&mut self, step: u64) {
        if step >= self.done {
            return;
        }
        self.done = step;
        (self.loss, self.rates) = (None, Vec::new());
        self.validations.retain(|(done, _)| *done <= step);
        let losses = self
            .validations
            .iter()
            .filter_map(|(done, found)| Some((*done, found.iter().find(|(name, _)| name == "val_loss")?.1)));
        self.best = self.best.filter(|(done, _)| *done <= step).or_else(|| losses.min_by(|a, b| a.1.total_cmp(&b.1)));
    }

    /// Number of updates made. After the end of a run its log may be gone.
    pub fn made(&self) -> u64 {
        if self.done == 0 { self.saved_done } else { self.done }
    }

    /// Returns the seconds until the end, at the present speed, if it is running.
    pub fn left(&self) -> Option<f64> {
        let left = self.total?.checked_sub(self.made())?;
        let is_running = matches!(self.state, State::Running(_));
        self.speed.filter(|speed| is_running && *speed > 0.0 && left > 0).map(|speed| left as f64 / speed)
    }

    /// Returns the share of the run that is done; `None` if its length is unknown.
    pub fn share(&self) -> Option<f64> {
        let total = self.total.filter(|total| *total > 0)?;
        Some((self.made() as f64 / total as f64).clamp(0.0, 1.0))
    }
}
