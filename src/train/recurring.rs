//! The updates after which something is done again and again: each number of them, or at ends of epochs.

use super::config::every::Interval;
use crate::data::Epochs;

/// An arithmetic series of numbers of updates.
///
/// A run that was resumed with another batch size has epochs of several lengths. The series is then that of its last epochs,
/// which all have one length: it is right from the resume on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Recurring {
    first: u64,
    every: u64,
}

impl Recurring {
    /// Returns all updates.
    pub fn each() -> Self {
        Self { first: 0, every: 1 }
    }

    /// Returns the updates of an interval that is counted from `start`; `None` if it follows the clock or is automatic.
    pub fn of(interval: Interval, start: u64, epochs: &Epochs) -> Option<Self> {
        let every = interval.in_steps(epochs.steps_per_epoch())?.max(1);
        let Interval::Epochs(count) = interval else { return Some(Self { first: start, every }) };
        let even_from = epochs.even_from();
        if start >= even_from {
            return Some(Self { first: start, every });
        }
        let before = epochs.after(start);
        let times = ((epochs.after(even_from) - before) / count as f64).ceil();
        Some(Self { first: epochs.steps_of(before + times * count as f64), every })
    }

    /// Returns the distance of two of them.
    pub fn every(&self) -> u64 {
        self.every
    }

    /// Whether `done` is one of them.
    pub fn has(&self, done: u64) -> bool {
        done.checked_sub(self.first).is_some_and(|later| later.is_multiple_of(self.every))
    }

    /// Returns the first of them above `done`.
    pub fn after(&self, done: u64) -> Option<u64> {
        match done.checked_sub(self.first) {
            None => Some(self.first),
            Some(later) => (later / self.every).checked_add(1)?.checked_mul(self.every)?.checked_add(self.first),
        }
    }

    /// Returns how many of them are above `done` and at most `last`.
    pub fn between(&self, done: u64, last: u64) -> u64 {
        let up_to = |end: u64| end.checked_sub(self.first).map_or(0, |later| (later / self.every).saturating_add(1));
        up_to(last).saturating_sub(up_to(done))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn recurring(interval: &str, start: u64, epochs: &Epochs) -> Recurring {
        Recurring::of(interval.parse().unwrap(), start, epochs).unwrap()
    }

    #[test]
    fn in_epochs_of_one_length_it_is_a_number_of_updates() {
        let even = Epochs::of_length(4);
        for (interval, every) in [("3 steps", 3), ("1 epoch", 4), ("2 epochs", 8)] {
            let recurring = recurring(interval, 0, &even);
            let next = [0, every - 1, every, 2 * every + 1].map(|done| recurring.after(done));
            assert_eq!(next, [Some(every), Some(every), Some(2 * every), Some(3 * every)], "{interval}");
            assert_eq!((recurring.between(0, 100), recurring.between(every, 3 * every)), (100 / every, 2));
            assert!(recurring.has(5 * every) && !recurring.has(5 * every + 1));
        }
        assert!(recurring("1 epoch", 6, &even).has(10) && !recurring("1 epoch", 6, &even).has(8));
        assert_eq!(Recurring::of(Interval::Auto, 0, &even), None);
        assert_eq!(recurring("18446744073709551615 epochs", 0, &even).after(9), Some(u64::MAX));
    }

    /// Four updates an epoch; from update 6 on seven, of which four were left in the second epoch.
    #[test]
    fn after_another_batch_size_it_is_at_the_ends_of_the_epochs_that_were_really_made() {
        let fields = json!({"steps_per_epoch": 7, "epochs": [[0, 0.0], [6, 1.5], [10, 2.0]]});
        let epochs = Epochs::of_checkpoint(|name| fields.get(name)).unwrap();
        let next = |interval: &str, start: u64| {
            let recurring = recurring(interval, start, &epochs);
            let second = recurring.after(recurring.after(6).unwrap()).unwrap();
            (recurring.after(6).unwrap(), second)
        };
        assert_eq!([next("1 epoch", 0), next("2 epochs", 0), next("3 epochs", 0)], [(10, 17), (10, 24), (17, 38)]);
        assert_eq!(next("5 steps", 0), (10, 15), "steps stay steps");
        // After half an epoch, and then in the middle of each.
        assert_eq!(next("1 epoch", 2), (14, 21));
        assert_eq!(next("1 epoch", 12), (12, 19), "it begins later");
    }
}
