//! The validations and saves that a run has ahead of it, for estimates of its time.

use std::time::Duration;

use super::intervals::{Lengths, Saves, Validations};

/// The validations and saves of a run.
#[derive(Clone, Copy, Debug)]
pub struct Agenda {
    pub(super) lengths: Lengths,
    pub(super) validations: Option<Validations>,
    /// The time of a validation as a multiple of an update's, estimated from the numbers of rows.
    pub(super) validation_cost: f64,
    pub(super) saves: Saves,
    /// For how long training waited for the last save.
    pub(super) save_wait: Duration,
}

impl Agenda {
    /// Returns the number of updates in the run.
    pub fn total_steps(&self) -> u64 {
        self.lengths.total
    }

    /// Returns the number of updates per epoch.
    pub fn steps_per_epoch(&self) -> u64 {
        self.lengths.epoch
    }

    /// Whether the run validates at other updates than the last ones of epochs.
    pub fn validates_within_epochs(&self) -> bool {
        self.validations.is_some_and(|validations| validations.are_within(self.lengths))
    }

    /// Returns the number of validations after `done` updates.
    pub fn validations_after(&self, done: u64) -> u64 {
        self.validations.map_or(0, |validations| validations.after(done, self.lengths.total))
    }

    /// Returns the estimated time of a validation, as a multiple of the time of an update.
    pub fn validation_cost(&self) -> f64 {
        self.validation_cost
    }

    /// Returns the number of saves after `done` updates and before the last update; `None` if the clock determines them.
    pub fn saves_after(&self, done: u64) -> Option<u64> {
        self.saves.after(done, self.lengths.total, self.validations_after(done))
    }

    /// Returns the interval of saves, if it is one of the clock.
    pub fn save_interval(&self) -> Option<Duration> {
        self.saves.interval()
    }

    /// Estimates the number of saves by the clock in a run of some seconds, each of which takes `save_seconds`; `None` if
    /// the clock determines none.
    pub fn saves_by_clock(&self, run_seconds: f64, save_seconds: f64) -> Option<u64> {
        let Lengths { total, epoch } = self.lengths;
        self.saves.by_clock(run_seconds, save_seconds, (total / epoch).max(self.validations_after(0)))
    }

    /// Returns for how long training waited for a save in this process; zero if there was none yet.
    pub fn save_wait(&self) -> Duration {
        self.save_wait
    }

    /// Returns the time that a save took in this process, until it was durable; zero if there was none yet.
    pub fn save_time(&self) -> Duration {
        self.saves.cost
    }
}
