//! The schedules of a configuration, as one list: of the learning rate, and of other numbers that change with the step.

use super::run_config::Config;
use crate::schedule::Schedule;

/// The keys of all schedules; that of the learning rate comes first.
pub(crate) const SCHEDULES: [&str; 5] =
    ["schedule", "momentum_schedule", "beta2_schedule", "weight_decay_schedule", "ema_decay_schedule"];

impl Config {
    /// Returns the schedules that are set, with their keys, in the order of [`SCHEDULES`].
    pub(crate) fn schedules(&self) -> impl Iterator<Item = (&'static str, &Schedule)> {
        let all = [
            Some(&self.schedule),
            self.momentum_schedule.as_ref(),
            self.beta2_schedule.as_ref(),
            self.weight_decay_schedule.as_ref(),
            self.ema_decay_schedule.as_ref(),
        ];
        SCHEDULES.into_iter().zip(all).filter_map(|(key, schedule)| Some((key, schedule?)))
    }
}
