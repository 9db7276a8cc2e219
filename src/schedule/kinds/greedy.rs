use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::*;

kind! {
    /// Divides the rate by `factor` while a metric keeps improving, and multiplies it by `factor` when it does not.
    ///
    /// The rate starts at `base`. It rises with good report number `patience + 1` in a row and falls with bad one
    /// `patience + 1` in a row, within `min_lr` and `max_lr`; a change smaller than `eps` is not made. After a fall,
    /// `cooldown` reports are ignored, after a rise `warmup` of them. When all groups should fall below their lowest
    /// rates `reset_start` times, everything starts over. NaN counts as bad. With `smooth`, metrics are averaged over
    /// the last `window_size` reports; one that is not finite stays out of the window and is used directly.
    ///
    /// Source: transformers' `GreedyLR`, same names and defaults (without `verbose`), after Subramanian and others,
    /// "GreedyLR" (2025).
    greedy => Greedy {
        /// Whether lower or higher metrics are better; lower by default.
        mode: Mode = Mode::Min,
        /// The factor by which the rate is multiplied or divided; 0.95 by default.
        factor: f64 where SHRINK = 0.95,
        /// The number of good or bad reports in a row that change nothing; 10 by default.
        patience: u64 = 10,
        /// The minimal improvement over the best metric; below 1 if it is a share; 1e-6 by default.
        threshold: f64 where NOT_NEGATIVE = 1e-6,
        /// Whether the threshold is a share of the best or a difference; a difference by default.
        threshold_mode: ThresholdMode = ThresholdMode::Abs,
        /// The number of reports ignored after a fall; 0 by default.
        cooldown: u64 = 0,
        /// The number of reports ignored after a rise; 0 by default.
        warmup: u64 = 0,
        /// The lowest rate, one for all groups or one for each; 1e-3 by default.
        min_lr: ForGroups = ForGroups::All(1e-3),
        /// The highest rate, one for all groups or one for each; 1 by default.
        max_lr: ForGroups = ForGroups::All(1.0),
        /// The smallest change that is made; 1e-8 by default.
        eps: f64 where NOT_NEGATIVE = 1e-8,
        /// Whether metrics are averaged; not by default.
        smooth: bool = false,
        /// The number of metrics in an average; 50 by default.
        window_size: u64 where AT_LEAST_ONE = 50,
        /// The number of times all groups must be at their lowest rate before everything starts over; 500 by default.
        reset_start: u64 = 500,
    }
}

impl Kind for Greedy {
    fn plan(&self, context: &Context) -> Planned {
        let (min_lrs, max_lrs) =
            (context.for_groups("min_lr", &self.min_lr)?, context.for_groups("max_lr", &self.max_lr)?);
        if let Some((min, max)) = min_lrs.iter().zip(&max_lrs).find(|(min, max)| min > max) {
            return Err(context.refuse("min_lr", min, &format!("it must not be above max_lr, which is {max}")));
        }
        let rules = Rules {
            improvement: context.improvement(self.mode, self.threshold, self.threshold_mode)?,
            factor: self.factor,
            patience: self.patience,
            cooldown: self.cooldown,
            warmup: self.warmup,
            min_lrs,
            max_lrs,
            eps: self.eps,
            window_size: self.smooth.then_some(self.window_size as usize),
            reset_start: self.reset_start,
        };
        context.remembered(move |base_lrs| Box::new(GreedyMemory::new(rules.clone(), base_lrs)))
    }
}

/// The parameters, checked and resolved.
#[derive(Clone, Debug)]
struct Rules {
    improvement: Improvement,
    factor: f64,
    patience: u64,
    cooldown: u64,
    warmup: u64,
    min_lrs: Vec<f64>,
    max_lrs: Vec<f64>,
    eps: f64,
    /// Number of metrics averaged, or `None`.
    window_size: Option<usize>,
    reset_start: u64,
}

#[derive(Debug)]
struct GreedyMemory {
    rules: Rules,
    base_lrs: Vec<f64>,
    seen: Seen,
}

/// State that changes with each report, and is saved.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Seen {
    /// The best metric so far.
    best: Extended,
    /// Number of good reports in a row.
    num_good: u64,
    /// Number of bad reports in a row.
    num_bad: u64,
    /// Remaining reports to ignore after a fall.
    cooldown_counter: u64,
    /// Remaining reports to ignore after a rise.
    warmup_counter: u64,
    /// Remaining times that all groups may be at their lowest rate.
    reset_start: u64,
    /// The metrics in the average.
    window: VecDeque<f64>,
    /// Their running sum; adding them up again would round differently.
    window_sum: f64,
    /// The current rates.
    lrs: Vec<f64>,
}

impl Seen {
    fn nothing(rules: &Rules, base_lrs: &[f64]) -> Self {
        Self {
            best: Extended(rules.improvement.worst()),
            num_good: 0,
            num_bad: 0,
            cooldown_counter: 0,
            warmup_counter: 0,
            reset_start: rules.reset_start,
            window: VecDeque::new(),
            window_sum: 0.0,
            lrs: base_lrs.to_vec(),
        }
    }

    /// Returns the average of the last `size` metrics including `metric`, the newest.
    fn average(&mut self, metric: f64, size: usize) -> f64 {
        let sum = self.window_sum + metric;
        if !sum.is_finite() {
            return metric;
        }
        self.window_sum = sum;
        self.window.push_back(metric);
        while self.window.len() > size {
            self.window_sum -= self.window.pop_front().unwrap_or_default();
        }
        self.window_sum / self.window.len() as f64
    }
}

impl GreedyMemory {
    fn new(rules: Rules, base_lrs: &[f64]) -> Self {
        let seen = Seen::nothing(&rules, base_lrs);
        Self { rules, base_lrs: base_lrs.to_vec(), seen }
    }

    fn judge(&mut self, metric: f64) {
        if self.rules.improvement.is_better(metric, self.seen.best.0) {
            self.seen.best = Extended(metric);
            (self.seen.num_good, self.seen.num_bad) = (self.seen.num_good.saturating_add(1), 0);
        } else {
            (self.seen.num_good, self.seen.num_bad) = (0, self.seen.num_bad.saturating_add(1));
        }
    }

    fn rise(&mut self) {
        for (lr, max_lr) in self.seen.lrs.iter_mut().zip(&self.rules.max_lrs) {
            let risen = (*lr / self.rules.factor).min(*max_lr);
            if risen - *lr > self.rules.eps {
                *lr = risen;
            }
        }
        self.seen.reset_start = self.rules.reset_start;
        self.seen.warmup_counter = self.rules.warmup;
        self.seen.num_good = 0;
    }

    fn fall(&mut self) {
        for (lr, min_lr) in self.seen.lrs.iter_mut().zip(&self.rules.min_lrs) {
            let fallen = (*lr * self.rules.factor).max(*min_lr);
            if *lr - fallen > self.rules.eps {
                *lr = fallen;
            }
        }
        let all_lowest = self.seen.lrs.iter().zip(&self.rules.min_lrs).all(|(lr, min_lr)| lr <= min_lr);
        if all_lowest {
            self.seen.reset_start = self.seen.reset_start.saturating_sub(1);
        }
        if all_lowest && self.seen.reset_start == 0 {
            self.seen = Seen::nothing(&self.rules, &self.base_lrs);
        }
        self.seen.cooldown_counter = self.rules.cooldown;
        self.seen.num_bad = 0;
    }
}

impl Memory for GreedyMemory {
    fn rate(&self, group: usize) -> f64 {
        self.seen.lrs.get(group).copied().unwrap_or_default()
    }

    fn mode(&self) -> Mode {
        self.rules.improvement.mode
    }

    fn report(&mut self, metric: f64) {
        let metric = self.rules.window_size.map_or(metric, |size| self.seen.average(metric, size));
        if self.seen.cooldown_counter > 0 || self.seen.warmup_counter > 0 {
            let counters = [&mut self.seen.cooldown_counter, &mut self.seen.warmup_counter];
            if let Some(counter) = counters.into_iter().find(|counter| **counter > 0) {
                *counter -= 1;
            }
            (self.seen.num_good, self.seen.num_bad) = (0, 0);
            return;
        }
        self.judge(metric);
        if self.seen.num_good > self.rules.patience {
            self.rise();
        } else if self.seen.num_bad > self.rules.patience {
            self.fall();
        }
    }

    fn save(&self) -> serde_json::Value {
        memory::to_json(&self.seen)
    }

    fn load(&mut self, saved: &serde_json::Value, bases: &[memory::BaseChange]) -> Result<(), String> {
        self.seen = memory::restored(saved, bases, |seen: &mut Seen| &mut seen.lrs)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::*;
    use super::*;

    /// Returns the rate before each of these metrics.
    fn follow(schedule: impl Into<Schedule>, metrics: &[f64]) -> Vec<f64> {
        let mut rates = reported(schedule, 0.25, metrics);
        rates.truncate(metrics.len());
        rates
    }

    fn eager() -> Greedy {
        Schedule::greedy().factor(0.5).patience(0u64)
    }

    #[test]
    fn it_rises_when_things_improve_and_falls_when_they_do_not() {
        assert_eq!(follow(eager(), &[3.0, 2.0, 2.0, 2.0, 1.0]), [0.25, 0.5, 1.0, 0.5, 0.25]);
    }

    #[test]
    fn it_stays_between_its_bounds() {
        assert_eq!(follow(eager().max_lr(0.4), &[3.0, 2.0, 1.0]), [0.25, 0.4, 0.4]);
        assert_eq!(follow(eager().min_lr(0.2), &[3.0, 3.0, 3.0, 3.0]), [0.25, 0.5, 0.25, 0.2]);
    }

    #[test]
    fn after_a_change_it_waits() {
        assert_eq!(follow(eager().warmup(1u64), &[4.0, 3.0, 2.0, 1.0]), [0.25, 0.5, 0.5, 1.0]);
        assert_eq!(follow(eager().cooldown(1u64), &[4.0, 5.0, 5.0, 5.0, 5.0]), [0.25, 0.5, 0.25, 0.25, 0.125]);
    }

    #[test]
    fn at_the_bottom_for_long_enough_it_starts_over() {
        let schedule = eager().min_lr(0.2).reset_start(2u64);
        let rates = follow(schedule, &[3.0, 3.0, 3.0, 3.0, 3.0, 3.0]);
        assert_eq!(rates, [0.25, 0.5, 0.25, 0.2, 0.25, 0.5], "reset by the fourth, then better than nothing");
    }

    #[test]
    fn smoothing_averages_the_window() {
        let schedule = eager().smooth(true).window_size(2u64);
        assert_eq!(follow(schedule, &[4.0, 6.0, 1.0, f64::NAN, 1.0]), [0.25, 0.5, 0.25, 0.5, 0.25]);
    }

    #[test]
    fn bounds_out_of_order_are_refused() {
        let message = refusal(Schedule::greedy().min_lr(0.5).max_lr(0.25));
        assert_eq!(message, "`greedy`: min_lr is 0.5; it must not be above max_lr, which is 0.25");
    }
}
