//! Suggestions for a schedule that stays constant for part of its run.

use super::plan::RunLength;
use super::{Length, Schedule, Unit};

/// A suggested schedule for the same run, and the condition under which it applies.
pub(crate) struct Meant {
    /// A condition, followed in the message by the schedule: `if its lengths are epochs`.
    pub condition: &'static str,
    /// The suggested schedule.
    pub schedule: Schedule,
}

impl Schedule {
    /// Schedules that may have been meant instead, the likeliest first. The caller checks whether one fits.
    pub(crate) fn meant(&self, run: &RunLength) -> Vec<Meant> {
        let Some(total) = run.total_steps else { return Vec::new() };
        let epochs = total / run.steps_per_epoch.max(1);
        let counts_steps = self.unit == Unit::Step;
        let in_epochs = counts_steps.then(|| self.clone().unit(Unit::Epoch));
        let in_epochs = in_epochs.map(|schedule| Meant { condition: "if it counts epochs", schedule });
        let lengths = [Length::Percent(100.0), Length::Steps(if counts_steps { total } else { epochs })];
        let whole = lengths.into_iter().find_map(|length| self.lasting(length));
        let whole = whole.map(|schedule| Meant { condition: "to last as long as the run", schedule });
        // If the length is the number of epochs, or is unknown, it probably was meant in epochs.
        let is_of_epochs = self.length().is_none_or(|length| length == Length::Steps(epochs));
        let (first, second) = if is_of_epochs { (in_epochs, whole) } else { (whole, in_epochs) };
        first.into_iter().chain(second).collect()
    }

    /// Returns the same schedule stretched to `length`, in its own unit, if it has an end.
    pub(super) fn lasting(&self, length: Length) -> Option<Self> {
        Some(self.kind.lasting(length)?.unit(self.unit))
    }

    /// Like [`Schedule::lasting`], for a schedule nested in another, with `length` a part of the outer one. Steps of
    /// the outer schedule cannot be used for an inner one that counts epochs.
    pub(super) fn lasting_inside(&self, length: Length) -> Option<Self> {
        let is_share = matches!(length, Length::Percent(_));
        (is_share || self.unit == Unit::Step).then(|| self.lasting(length))?
    }
}
