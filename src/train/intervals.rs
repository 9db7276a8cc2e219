//! Times of validations and saves of a run, and their description before it begins.
//!
//! Validations come after the same steps in every process of the run, because the log contains them and schedules
//! follow them. So they depend on the length of the run and on the number of rows, and never on the clock. Saves do not
//! affect the log; by default, the clock determines them.

use std::time::{Duration, Instant};

use super::config::every::Interval;
use super::config::figure::Metric;
use super::config::{CheckpointConfig, Config, ValidationConfig};
use super::metrics::Measured;
use super::recurring::Recurring;
use crate::data::{Data, Epochs};
use crate::figures::counted;

/// Length of a run and of an epoch.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lengths {
    /// Number of updates in the whole run.
    pub total: u64,
    /// Updates of one epoch.
    pub epoch: u64,
}

/// Updates after which a run validates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Validations {
    regular: Recurring,
    /// The last update, if the model is also evaluated after it.
    end: Option<u64>,
}

impl Validations {
    /// Maximal number of validations with the automatic interval.
    const MOST: u64 = 100;
    /// Minimal number of validations with the automatic interval, if the run has enough steps.
    const LEAST: u64 = 5;
    /// With few epochs, an epoch of more updates is too long as an interval.
    const LONG: u64 = 1000;

    /// Determines the validations of `config`, and writes an automatic interval into it. One validation takes as long
    /// as `cost` updates.
    pub fn settle(config: &mut ValidationConfig, (total, epochs): (u64, &Epochs), cost: f64) -> Self {
        if config.every == Interval::Auto {
            config.every = Self::fitting(Lengths { total, epoch: epochs.steps_per_epoch() }, cost);
            config.at_end.get_or_insert(true);
        }
        let regular = Recurring::of(config.every, 0, epochs).or_else(|| Recurring::of(Interval::Epochs(1), 0, epochs));
        let regular = regular.unwrap_or_else(Recurring::each);
        Self { regular, end: config.at_end.unwrap_or(false).then_some(total) }
    }

    /// Returns an interval for a run: whole epochs, unless the run has only a part of one, or few long ones.
    /// Validations take at most a quarter of the time, unless that would mean fewer than [`Self::LEAST`].
    fn fitting(Lengths { total, epoch }: Lengths, cost: f64) -> Interval {
        let affordable = (3.0 * cost).ceil() as u64;
        let longest = total.div_ceil(Self::LEAST).max(1);
        if epoch > total || (epoch > Self::LONG && epoch > longest) {
            let usual = (total / (2 * Self::LEAST)).max(1);
            return Interval::Steps(if affordable > usual { affordable.min(longest) } else { round_down(usual) });
        }
        let shortest = total.div_ceil(Self::MOST).max(affordable);
        Interval::Epochs(shortest.div_ceil(epoch).min(longest / epoch).max(1))
    }

    /// Whether the model is evaluated after `done` updates.
    pub fn are_due(&self, done: u64) -> bool {
        self.regular.has(done) || self.end == Some(done)
    }

    /// Returns the number of validations after `done` updates, in a run of `total`.
    pub fn after(&self, done: u64, total: u64) -> u64 {
        let is_extra = self.end.is_some_and(|end| end > done && end <= total && !self.regular.has(end));
        self.regular.between(done, total) + u64::from(is_extra)
    }

    /// Whether some are neither at the end of an epoch nor at that of the run.
    pub fn are_within(&self, Lengths { total, epoch }: Lengths) -> bool {
        !self.regular.every().is_multiple_of(epoch) && self.regular.every() < total
    }

    /// Returns the number of updates at the next validation after `done`, in a run of `total`.
    pub fn next(&self, done: u64, total: u64) -> Option<u64> {
        let regular = self.regular.after(done).filter(|&next| next <= total);
        regular.or(self.end).filter(|&next| next > done && next <= total)
    }
}

/// Rounds `number` down to few digits.
fn round_down(number: u64) -> u64 {
    let power = 10_u64.pow(number.checked_ilog10().unwrap_or_default());
    let leading = [5, 2, 1].into_iter().find(|leading| leading * power <= number);
    leading.unwrap_or(1) * power
}

/// Times of saves.
#[derive(Clone, Copy, Debug)]
pub(super) struct Saves {
    rhythm: Rhythm,
    /// Checkpoints at multiples of this step are kept for ever.
    kept: Option<u64>,
    /// The metric that selects the best checkpoints. Each state with this metric is saved.
    best: Option<Metric>,
    began: Instant,
    /// Duration of the last save.
    pub cost: Duration,
}

#[derive(Clone, Copy, Debug)]
enum Rhythm {
    Updates(Recurring),
    Clock(Duration),
    /// At the end of an epoch or after a validation, if the cost is low, and by the clock.
    Fitting(Recurring),
}

impl Saves {
    /// Maximal time without a save with the automatic interval.
    const LONGEST: Duration = Duration::from_secs(600);
    /// Distance of saves at the ends of epochs, as a multiple of their duration: 3% of the time.
    const APART: u32 = 33;
    /// Minimal distance as a share of the training time so far, so that a long run does not fill its disk.
    const SHARE: u32 = 100;

    /// Determines the saves of `config`; `best` is the metric of the rule for the best, if there is one.
    pub fn new(config: &CheckpointConfig, best: Option<Metric>, kept: Option<u64>, epochs: &Epochs) -> Self {
        let each_epoch = || Recurring::of(Interval::Epochs(1), 0, epochs).unwrap_or_else(Recurring::each);
        let rhythm = match config.every {
            Interval::Minutes(minutes) => {
                Rhythm::Clock(Duration::try_from_secs_f64(minutes * 60.0).unwrap_or(Duration::MAX))
            }
            every => Recurring::of(every, 0, epochs).map_or_else(|| Rhythm::Fitting(each_epoch()), Rhythm::Updates),
        };
        Self { rhythm, kept, best, began: Instant::now(), cost: Duration::ZERO }
    }

    /// Whether the state is saved after `done` updates, with the metrics `measured`; the last save began at `last`.
    pub fn are_due(&self, done: u64, measured: &Measured, last: Instant) -> bool {
        let is_regular = match self.rhythm {
            Rhythm::Updates(updates) => updates.has(done),
            Rhythm::Clock(interval) => last.elapsed() >= interval,
            Rhythm::Fitting(ends) => {
                let since = last.elapsed();
                let is_good_moment = ends.has(done) || measured.validation_loss.is_some();
                since >= Self::LONGEST || (is_good_moment && since >= self.spacing(last))
            }
        };
        is_regular
            || self.kept.is_some_and(|kept| done.is_multiple_of(kept))
            || self.best.is_some_and(|metric| measured.figure(metric).is_some())
    }

    /// Returns the number of saves after `done` updates and before the last of `total`, with `validations` ahead; `None`
    /// if only the clock determines them. Of several rules the one with the most saves counts, because saves of several
    /// rules are usually the same.
    pub fn after(&self, done: u64, total: u64, validations: u64) -> Option<u64> {
        let last = total.saturating_sub(1);
        let multiples = |every: u64| (last / every).saturating_sub(done / every);
        let regular = if let Rhythm::Updates(updates) = self.rhythm { Some(updates.between(done, last)) } else { None };
        let best = self.best.filter(|metric| metric.is_of_validation()).map(|_| validations);
        [regular, self.kept.map(multiples), best].into_iter().flatten().max()
    }

    /// Returns the interval of saves, if it is one of the clock.
    pub fn interval(&self) -> Option<Duration> {
        if let Rhythm::Clock(interval) = self.rhythm { Some(interval) } else { None }
    }

    /// Estimates the number of saves by the clock in a run of some seconds with `moments` ends of epochs or validations;
    /// `None` if the clock determines none.
    pub fn by_clock(&self, run_seconds: f64, save_seconds: f64, moments: u64) -> Option<u64> {
        match self.rhythm {
            Rhythm::Updates(_) => None,
            Rhythm::Clock(interval) => Some((run_seconds / interval.as_secs_f64()) as u64),
            Rhythm::Fitting(_) => {
                let affordable = run_seconds / (save_seconds * f64::from(Self::APART));
                Some(((run_seconds / Self::LONGEST.as_secs_f64()) as u64).max(moments.min(affordable as u64)))
            }
        }
    }

    fn spacing(&self, last: Instant) -> Duration {
        let trained = last.saturating_duration_since(self.began);
        self.cost.saturating_mul(Self::APART).max(trained / Self::SHARE)
    }
}

/// Determines the validations, if there are rows for them; an automatic interval in `config` is replaced by the result.
pub(super) fn settle(config: &mut Config, data: &Data, total: u64) -> Option<Validations> {
    let cost = validation_cost(data);
    (cost > 0.0).then(|| Validations::settle(&mut config.validation, (total, &data.epochs()), cost))
}

/// Estimates the time of a validation as a multiple of the time of an update.
pub(super) fn validation_cost(data: &Data) -> f64 {
    // Training has a forward and a backward pass, which together take three times as long per row.
    data.validation_rows().len() as f64 / data.full_batch().max(1) as f64 / 3.0
}

/// Describes the intervals of a run after `done` updates.
pub(super) fn describe(
    config: (&ValidationConfig, &CheckpointConfig),
    validations: Option<&Validations>,
    saves: &Saves,
    done: u64,
    lengths: Lengths,
) -> String {
    let (validation, checkpoint) = config;
    let mut parts = Vec::new();
    if let Some(validations) = validations {
        let end = if validations.end.is_some() { " and at the end" } else { "" };
        let next = validations.next(done, lengths.total).map_or(String::new(), |next| format!(", next at step {next}"));
        parts.push(format!("validates {}{end}{next}", interval(validation.every, lengths.epoch)));
    }
    let after_each = saves.best.is_some_and(Metric::is_of_validation);
    let mut text = match (saves.rhythm, checkpoint.every) {
        (Rhythm::Fitting(ends), _) => {
            let (epoch, minutes) = (ends.every(), Saves::LONGEST.as_secs() / 60);
            let (share, each) = (100 / Saves::APART, counted(epoch, "step"));
            let moments = match (epoch < lengths.total, validations.is_some() && !after_each) {
                (true, true) => {
                    format!(" and, in at most {share}% of the time, after epochs ({each}) and validations")
                }
                (true, false) => format!(" and, in at most {share}% of the time, after epochs ({each})"),
                (false, true) => format!(" and, in at most {share}% of the time, after validations"),
                (false, false) => String::new(),
            };
            format!("saves every {minutes} minutes{moments}")
        }
        (Rhythm::Clock(_), every) => format!("saves every {every}"),
        (Rhythm::Updates(updates), every) => {
            let next = updates.after(done).filter(|&next| next < lengths.total);
            let next = next.map_or(String::new(), |next| format!(", next at step {next}"));
            format!("saves {}{next}", interval(every, lengths.epoch))
        }
    };
    match saves.best {
        Some(Metric::TrainingLoss) => text += ", after each epoch for the best",
        Some(_) => text += ", after each validation for the best",
        None => {}
    }
    if let Some(kept) = saves.kept {
        text += &format!(", every {kept} steps to be kept");
    }
    parts.push(text + ", and at the end");
    parts.join("; ")
}

/// `every 2 epochs (90 steps)`, `every epoch (45 steps)`, `every 500 steps`.
fn interval(every: Interval, steps_per_epoch: u64) -> String {
    let steps = every.in_steps(steps_per_epoch).unwrap_or_default();
    match every {
        Interval::Epochs(1) => format!("every epoch ({})", counted(steps, "step")),
        Interval::Epochs(_) => format!("every {every} ({})", counted(steps, "step")),
        Interval::Steps(1) => "every step".to_owned(),
        every => format!("every {every}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fitting(total: u64, epoch: u64, cost: f64) -> String {
        Validations::fitting(Lengths { total, epoch }, cost).to_string()
    }

    #[test]
    fn each_epoch_is_validated_where_epochs_are_neither_many_nor_huge() {
        assert_eq!(fitting(30 * 45, 45, 4.0), "1 epoch");
        assert_eq!(fitting(8 * 938, 938, 50.0), "1 epoch");
        assert_eq!(fitting(12, 4, 0.4), "1 epoch");
        assert_eq!(fitting(4, 4, 0.4), "1 epoch");
        assert_eq!(fitting(10 * 20_000, 20_000, 100.0), "1 epoch");
    }

    #[test]
    fn a_run_of_many_short_epochs_is_validated_a_hundred_times() {
        assert_eq!(fitting(1000, 1, 0.1), "10 epochs");
        assert_eq!(fitting(250 * 4, 4, 0.4), "3 epochs");
    }

    #[test]
    fn a_run_that_is_a_part_of_an_epoch_is_validated_several_times() {
        assert_eq!(fitting(500, 83_618, 0.0), "50 steps");
        assert_eq!(fitting(503, 83_618, 190.0), "101 steps");
        assert_eq!(fitting(3 * 83_618, 83_618, 100.0), "20000 steps");
        assert_eq!(fitting(3, 4, 0.4), "1 step");
        assert_eq!(fitting(0, 4, 0.4), "1 step");
    }

    #[test]
    fn a_validation_that_takes_long_comes_less_often() {
        assert_eq!(fitting(100 * 10, 10, 30.0), "9 epochs");
        assert_eq!(fitting(100 * 10, 10, 1e9), "20 epochs");
    }

    proptest::proptest! {
        #[test]
        fn what_is_left_open_is_validated_at_its_end_and_not_too_often(
            total in 1_u64..10_000_000, epoch in 1_u64..1_000_000, cost in 0.0..1e4,
        ) {
            let mut config = ValidationConfig::default();
            let epochs = Epochs::of_length(epoch);
            let validations = Validations::settle(&mut config, (total, &epochs), cost);
            assert!(config.every.in_steps(epoch).is_some() && config.at_end == Some(true));
            assert!(validations.are_due(total));
            assert!(total / validations.regular.every() <= Validations::MOST.max(1));
            // Once determined, the interval stays the same for any length.
            let longer = Validations::settle(&mut config, (2 * total, &epochs), cost);
            assert_eq!(longer.regular, validations.regular);
        }
    }

    #[test]
    fn the_next_validation_is_the_next_multiple_or_the_end() {
        let validations = |every, end| {
            let regular = Recurring::of(Interval::Steps(every), 0, &Epochs::of_length(1)).unwrap();
            Validations { regular, end }
        };
        let (seldom, validations) = (validations(500, None), validations(50, Some(120)));
        let next = [0, 49, 50, 99, 100, 119, 120].map(|done| validations.next(done, 120));
        assert_eq!(next, [Some(50), Some(50), Some(100), Some(100), Some(120), Some(120), None]);
        assert_eq!(seldom.next(0, 499), None);
    }

    #[test]
    fn an_explicit_interval_is_left_as_it_is() {
        let mut config = ValidationConfig { every: Interval::Epochs(1), ..ValidationConfig::default() };
        let before = config.clone();
        let validations = Validations::settle(&mut config, (10, &Epochs::of_length(4)), 1e9);
        assert_eq!((config, validations.regular.every(), validations.end), (before, 4, None));
    }

    fn saves(every: Interval) -> Saves {
        let config = CheckpointConfig { every, ..CheckpointConfig::default() };
        Saves::new(&config, None, None, &Epochs::of_length(4))
    }

    #[test]
    fn saves_that_are_left_open_take_a_small_share_of_the_time() {
        let Some(before) = Instant::now().checked_sub(Duration::from_secs(2)) else { return };
        let mut saves = saves(Interval::Auto);
        let due = |saves: &Saves, done| saves.are_due(done, &Measured::default(), before);
        saves.cost = Duration::from_millis(20);
        assert!(due(&saves, 8) && !due(&saves, 9), "only at the end of an epoch");
        let measured = Measured { validation_loss: Some(0.5), ..Measured::default() };
        assert!(saves.are_due(9, &measured, before), "or after a validation");
        saves.cost = Duration::from_millis(200);
        assert!(!due(&saves, 8), "a save of 0.2 s is too much every 2 s");
        saves.cost = Duration::ZERO;
        saves.began = before.checked_sub(Duration::from_secs(1000)).unwrap_or(before);
        assert!(saves.began == before || !due(&saves, 8), "2 s are too little after 1000 s");
    }

    #[test]
    fn saves_that_are_left_open_come_every_ten_minutes_with_any_duration() {
        let Some(before) = Instant::now().checked_sub(Saves::LONGEST) else { return };
        let mut saves = saves(Interval::Auto);
        saves.cost = Duration::from_secs(100);
        assert!(saves.are_due(7, &Measured::default(), before));
    }

    #[test]
    fn a_state_is_saved_where_the_best_need_it_and_where_it_is_to_be_kept() {
        let mut saves = saves(Interval::Steps(10));
        let measured = Measured { validation_loss: Some(0.5), ..Measured::default() };
        let due = |saves: &Saves| [7, 10, 14].map(|done| saves.are_due(done, &measured, Instant::now()));
        assert_eq!(due(&saves), [false, true, false]);
        saves.kept = Some(7);
        assert_eq!(due(&saves), [true, true, true]);
        saves.kept = None;
        saves.best = Some(Metric::TrainingLoss);
        assert_eq!(due(&saves), [false, true, false]);
        saves.best = Some(Metric::ValidationLoss);
        assert_eq!(due(&saves), [true, true, true]);
    }
}
