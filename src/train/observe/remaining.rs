//! The remaining time of a run, estimated from the times of its updates, validations and saves so far.

use std::time::Duration;

use crate::train::Agenda;

/// An estimator. All times are those since the beginning, without pauses of the process.
#[derive(Debug)]
pub(super) struct Remaining {
    agenda: Agenda,
    /// Number of updates made.
    done: u64,
    /// When the last record came.
    last: Duration,
    /// When the validation after the current update began.
    validating: Option<Duration>,
    /// Whether a save has begun since the last record. Training waits for its first part.
    saving: bool,
    /// When the last save began; the run begins with one.
    saved: Duration,
    steps: Recent,
    validations: Recent,
    saves: Recent,
}

impl Remaining {
    /// Creates it for a run that has made `done` updates.
    pub fn new(agenda: Agenda, done: u64) -> Self {
        let (steps, validations, saves) = Default::default();
        let (last, saved) = (Duration::ZERO, Duration::ZERO);
        Self { agenda, done, last, validating: None, saving: false, saved, steps, validations, saves }
    }

    /// Notes that a validation begins. One that is interrupted by a save begins twice.
    pub fn validating(&mut self, now: Duration) {
        self.validating.get_or_insert(now);
    }

    /// Notes that a save begins.
    pub fn saving(&mut self, now: Duration) {
        (self.saving, self.saved) = (true, now);
    }

    /// Notes the record of an update, after which `done` are made.
    pub fn record(&mut self, done: u64, now: Duration) {
        let updated = self.validating.take().inspect(|&began| self.validations.add(now.saturating_sub(began)));
        let time = updated.unwrap_or(now).saturating_sub(self.last);
        let was_saving = std::mem::take(&mut self.saving);
        // The validation of an update of an earlier process comes without an update.
        if done > self.done {
            let time = self.without_save(time, was_saving);
            self.steps.add(time);
        }
        (self.done, self.last) = (done, now);
    }

    /// Returns the time of an update that took `time`, from which the time of a save at its start is taken away if it is
    /// estimated by itself.
    fn without_save(&mut self, time: Duration, was_saving: bool) -> Duration {
        match self.steps.mean() {
            Some(usual) if was_saving && self.saves_in(Duration::ZERO).is_some() => {
                self.saves.add(time.saturating_sub(usual));
                time.min(usual)
            }
            _ => time,
        }
    }

    /// Returns the number of updates per second, without validations.
    pub fn speed(&self) -> Option<f64> {
        self.steps.mean().map(|time| 1.0 / time.as_secs_f64().max(1e-9))
    }

    /// Returns the remaining time after the last record, with the last save; `None` before the second update, because
    /// the first one also starts threads and takes memory from the system.
    pub fn left(&self) -> Option<Duration> {
        let step = self.steps.mean().filter(|_| self.steps.count > 1)?.as_secs_f64();
        let measured = |recent: &Recent| recent.mean().map(|time| time.as_secs_f64());
        let validation = measured(&self.validations).unwrap_or(step * self.agenda.validation_cost());
        let save = measured(&self.saves).unwrap_or(self.agenda.save_wait().as_secs_f64());
        let steps = self.agenda.total_steps().saturating_sub(self.done);
        let seconds = step * steps as f64 + validation * self.agenda.validations_after(self.done) as f64;
        let saves = self.saves_in(duration(seconds)).unwrap_or_default();
        Some(duration(seconds + save * saves as f64 + self.agenda.save_time().as_secs_f64()))
    }

    /// Returns the number of saves before the last one in the remaining updates and validations, which take `time`;
    /// `None` if it is not known. The saves so far are then a part of the mean time of an update.
    fn saves_in(&self, time: Duration) -> Option<u64> {
        let by_clock = self.agenda.save_interval().map(|interval| {
            let since = self.last.saturating_sub(self.saved).saturating_add(time);
            (since.as_secs_f64() / interval.as_secs_f64()) as u64
        });
        self.agenda.saves_after(self.done).max(by_clock)
    }
}

/// Returns a number of seconds as a duration, the longest one if it is larger.
fn duration(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX)
}

/// The mean of the last half of some times, or a little more. So the first ones, which are slower, soon do not count.
#[derive(Debug, Default)]
struct Recent {
    count: u64,
    sum: Duration,
    /// Count and sum at two earlier times; the times since the older one are averaged.
    older: (u64, Duration),
    newer: (u64, Duration),
}

impl Recent {
    fn add(&mut self, time: Duration) {
        self.count += 1;
        self.sum = self.sum.saturating_add(time);
        if self.count >= (2 * self.newer.0).max(1) {
            self.older = self.newer;
            self.newer = (self.count, self.sum);
        }
    }

    fn mean(&self) -> Option<Duration> {
        let (count, sum) = (self.count - self.older.0, self.sum.saturating_sub(self.older.1));
        (count > 0).then(|| sum.div_f64(count as f64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Epochs;
    use crate::train::config::every::Interval;
    use crate::train::config::{CheckpointConfig, ValidationConfig};
    use crate::train::intervals::{Lengths, Saves, Validations};

    /// A run whose updates take 1 s, the first three 5 s, and whose numbers vary.
    struct Simulated {
        total: u64,
        validate_every: u64,
        save_every: Option<u64>,
        validation: f64,
        save: f64,
        last_save: f64,
    }

    impl Simulated {
        fn agenda(&self) -> Agenda {
            let (lengths, epochs) = (Lengths { total: self.total, epoch: 100 }, Epochs::of_length(100));
            let mut config = ValidationConfig { every: Interval::Steps(self.validate_every), ..Default::default() };
            let every = self.save_every.map_or(Interval::Minutes(10.0), Interval::Steps);
            let checkpoint = CheckpointConfig { every, ..Default::default() };
            let mut saves = Saves::new(&checkpoint, None, None, &epochs);
            saves.cost = Duration::from_secs_f64(self.last_save);
            Agenda {
                save_wait: Duration::from_secs_f64(self.save / 2.0),
                lengths,
                validations: Some(Validations::settle(&mut config, (self.total, &epochs), 1.0)),
                // Off by a fifth.
                validation_cost: self.validation * 1.2,
                saves,
            }
        }

        /// Returns the number of updates, the estimate and the truth after each of them.
        fn run(&self, from: u64) -> Vec<(u64, f64, f64)> {
            let mut remaining = Remaining::new(self.agenda(), from);
            let (mut now, mut told, mut last_saved) = (0.0, Vec::new(), 0.0);
            let at = Duration::from_secs_f64;
            for step in from..self.total {
                let noise = 1.0 + 0.3 * ((step * 7919 % 101) as f64 / 50.0 - 1.0);
                now += if step < from + 3 { 5.0 } else { noise };
                if (step + 1) % self.validate_every == 0 {
                    remaining.validating(at(now));
                    now += self.validation;
                }
                remaining.record(step + 1, at(now));
                told.push((step + 1, remaining.left(), now));
                let is_due = self.save_every.map_or(now - last_saved >= 600.0, |every| (step + 1) % every == 0);
                if is_due && step + 1 < self.total {
                    remaining.saving(at(now));
                    last_saved = now;
                    now += self.save;
                }
            }
            let end = now + self.last_save;
            told.into_iter().filter_map(|(done, left, at)| Some((done, left?.as_secs_f64(), end - at))).collect()
        }

        /// Returns the largest relative error between the first and the last 5 % of the updates of this process. Whether
        /// a save by the clock still comes is random at the end.
        fn error(&self, from: u64) -> f64 {
            let twentieth = (self.total - from) / 20;
            let (first, last) = (from + twentieth, self.total - twentieth);
            let told = self.run(from).into_iter().filter(|(done, ..)| (first..last).contains(done));
            told.map(|(_, estimate, truth)| (estimate / truth - 1.0).abs()).fold(0.0, f64::max)
        }
    }

    #[test]
    fn the_time_left_is_within_a_tenth_after_a_twentieth_of_a_run() {
        let runs = [
            // Half of the time goes to validations, a fifth to saves, which are first made after a tenth of the run.
            Simulated {
                total: 2000,
                validate_every: 50,
                save_every: Some(100),
                validation: 50.0,
                save: 20.0,
                last_save: 30.0,
            },
            // Saves by the clock.
            Simulated {
                total: 5000,
                validate_every: 500,
                save_every: None,
                validation: 30.0,
                save: 20.0,
                last_save: 20.0,
            },
            // Validations that first come after a tenth of the run, and take a quarter of it.
            Simulated {
                total: 1000,
                validate_every: 100,
                save_every: Some(1000),
                validation: 33.0,
                save: 0.0,
                last_save: 2.0,
            },
        ];
        for run in runs {
            for from in [0, run.total / 2 + 3] {
                let error = run.error(from);
                assert!(error < 0.1, "{} updates from {from}: {error}", run.total);
            }
        }
    }

    /// Returns the largest relative error between the first and the last 5 % of a real run, whose events were recorded.
    fn error_of_recorded(events: &str, mut remaining: Remaining) -> f64 {
        let words = events.lines().filter(|line| !line.starts_with('#')).flat_map(str::split_whitespace);
        let (mut now, mut done, mut told) = (Duration::ZERO, 0, Vec::new());
        for word in words {
            now += Duration::from_micros(word.trim_start_matches(['v', 's']).parse().unwrap());
            match word.as_bytes()[0] {
                b'v' => remaining.validating(now),
                b's' => remaining.saving(now),
                _ => {
                    done += 1;
                    remaining.record(done, now);
                    told.push((now, remaining.left()));
                }
            }
        }
        let (end, twentieth) = (now + remaining.agenda.save_time(), told.len() / 20);
        let errors = told[twentieth..told.len() - twentieth].iter().map(|(at, left)| {
            let truth = (end - *at).as_secs_f64();
            (left.unwrap().as_secs_f64() / truth - 1.0).abs()
        });
        errors.fold(0.0, f64::max)
    }

    #[test]
    fn the_time_left_of_a_recorded_run_is_within_a_tenth_too() {
        let run = Simulated {
            total: 1350,
            validate_every: 45,
            save_every: Some(225),
            validation: 3.74 / 1.2,
            save: 0.001_75,
            last_save: 0.028,
        };
        let error = error_of_recorded(include_str!("remaining/digits.txt"), Remaining::new(run.agenda(), 0));
        assert!(error < 0.1, "{error}");
    }

    #[test]
    fn nothing_is_estimated_from_the_first_update_alone() {
        let run =
            Simulated { total: 40, validate_every: 40, save_every: None, validation: 0.0, save: 0.0, last_save: 0.0 };
        let mut remaining = Remaining::new(run.agenda(), 0);
        remaining.record(1, Duration::from_secs(60));
        assert_eq!(remaining.left(), None);
        remaining.record(2, Duration::from_secs(61));
        assert_eq!(remaining.left(), Some(Duration::from_secs(38)));
        assert_eq!(remaining.speed(), Some(1.0));
    }

    #[test]
    fn a_validation_that_an_earlier_process_left_is_no_update() {
        let run =
            Simulated { total: 40, validate_every: 10, save_every: None, validation: 0.0, save: 0.0, last_save: 0.0 };
        let mut remaining = Remaining::new(run.agenda(), 10);
        remaining.validating(Duration::from_secs(0));
        remaining.record(10, Duration::from_secs(7));
        assert_eq!((remaining.steps.count, remaining.validations.count), (0, 1));
        for step in 0..2 {
            remaining.record(11 + step, Duration::from_secs(8 + step));
        }
        // 28 updates and three validations.
        assert_eq!(remaining.left(), Some(Duration::from_secs(28 + 21)));
    }
}
