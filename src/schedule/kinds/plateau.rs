use serde::{Deserialize, Serialize};

use super::*;

kind! {
    /// Multiplies the rate by `factor` when a metric has not improved for more than `patience` reports.
    ///
    /// The rate starts at `base` and never falls below `min_lr`; a change smaller than `eps` is not made. The reduction
    /// comes with bad report number `patience + 1` and acts on the next update. For `cooldown` reports after it, bad
    /// ones are not counted. NaN counts as bad. Only reports count, not `t`.
    ///
    /// Source: PyTorch's `ReduceLROnPlateau`, same names and defaults.
    plateau => Plateau {
        /// Whether lower or higher metrics are better; lower by default.
        mode: Mode = Mode::Min,
        /// The factor of a reduction; 0.1 by default.
        factor: f64 where SHRINK = 0.1,
        /// The number of bad reports in a row that are tolerated; 10 by default.
        patience: u64 = 10,
        /// The minimal improvement over the best metric; below 1 if it is a share; 1e-4 by default.
        threshold: f64 where NOT_NEGATIVE = 1e-4,
        /// Whether the threshold is a share of the best or a difference; a share by default.
        threshold_mode: ThresholdMode = ThresholdMode::Rel,
        /// The number of reports after a reduction in which bad ones are not counted; 0 by default.
        cooldown: u64 = 0,
        /// The lowest rate, one for all groups or one for each; 0 by default.
        min_lr: ForGroups = ForGroups::All(0.0),
        /// The smallest reduction that is made; 1e-8 by default.
        eps: f64 where NOT_NEGATIVE = 1e-8,
    }
}

impl Kind for Plateau {
    fn plan(&self, context: &Context) -> Planned {
        let rules = Rules {
            improvement: context.improvement(self.mode, self.threshold, self.threshold_mode)?,
            factor: self.factor,
            patience: self.patience,
            cooldown: self.cooldown,
            min_lrs: context.for_groups("min_lr", &self.min_lr)?,
            eps: self.eps,
        };
        context.remembered(move |base_lrs| Box::new(PlateauMemory::new(rules.clone(), base_lrs)))
    }
}

/// The parameters, checked and resolved.
#[derive(Clone, Debug)]
struct Rules {
    improvement: Improvement,
    factor: f64,
    patience: u64,
    cooldown: u64,
    min_lrs: Vec<f64>,
    eps: f64,
}

#[derive(Debug)]
struct PlateauMemory {
    rules: Rules,
    seen: Seen,
}

/// State that changes with each report, and is saved.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Seen {
    /// The best metric so far.
    best: Extended,
    /// Number of bad reports in a row.
    num_bad: u64,
    /// Remaining reports in which bad ones are not counted.
    cooldown_counter: u64,
    /// The current rates.
    lrs: Vec<f64>,
}

impl PlateauMemory {
    fn new(rules: Rules, base_lrs: &[f64]) -> Self {
        let best = Extended(rules.improvement.worst());
        Self { rules, seen: Seen { best, num_bad: 0, cooldown_counter: 0, lrs: base_lrs.to_vec() } }
    }

    fn reduce(&mut self) {
        for (lr, min_lr) in self.seen.lrs.iter_mut().zip(&self.rules.min_lrs) {
            let reduced = (*lr * self.rules.factor).max(*min_lr);
            if *lr - reduced > self.rules.eps {
                *lr = reduced;
            }
        }
    }
}

impl Memory for PlateauMemory {
    fn rate(&self, group: usize) -> f64 {
        self.seen.lrs.get(group).copied().unwrap_or_default()
    }

    fn mode(&self) -> Mode {
        self.rules.improvement.mode
    }

    fn report(&mut self, metric: f64) {
        if self.rules.improvement.is_better(metric, self.seen.best.0) {
            self.seen.best = Extended(metric);
            self.seen.num_bad = 0;
        } else {
            self.seen.num_bad = self.seen.num_bad.saturating_add(1);
        }
        if self.seen.cooldown_counter > 0 {
            self.seen.cooldown_counter -= 1;
            self.seen.num_bad = 0;
        }
        if self.seen.num_bad > self.rules.patience {
            self.reduce();
            self.seen.cooldown_counter = self.rules.cooldown;
            self.seen.num_bad = 0;
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
        let mut rates = reported(schedule, 1.0, metrics);
        rates.truncate(metrics.len());
        rates
    }

    #[test]
    fn it_fires_after_more_bad_reports_than_patience() {
        let schedule = Schedule::plateau().factor(0.5).patience(1u64);
        assert_eq!(follow(schedule, &[3.0, 3.0, 3.0, 3.0, 3.0, 3.0]), [1.0, 1.0, 1.0, 0.5, 0.5, 0.25]);
    }

    #[test]
    fn in_cooldown_bad_reports_do_not_count() {
        let schedule = Schedule::plateau().factor(0.5).patience(0u64).cooldown(2u64);
        assert_eq!(follow(schedule, &[3.0; 7]), [1.0, 1.0, 0.5, 0.5, 0.5, 0.25, 0.25]);
    }

    #[test]
    fn a_metric_that_is_not_a_number_is_no_improvement() {
        let schedule = Schedule::plateau().factor(0.5).patience(0u64);
        assert_eq!(follow(schedule, &[f64::NAN, 3.0, 2.0]), [1.0, 0.5, 0.5]);
    }

    #[test]
    fn it_stops_at_the_lowest_rate() {
        let schedule = Schedule::plateau().factor(0.1).patience(0u64).min_lr(0.05);
        assert_eq!(follow(schedule, &[3.0; 5]), [1.0, 1.0, 0.1, 0.05, 0.05]);
    }

    #[test]
    fn after_a_warm_up_it_hears_only_what_follows() {
        let schedule = Schedule::warmup(3, Schedule::plateau().factor(0.5).patience(0u64)).start_lr(1.0);
        assert_eq!(follow(schedule, &[1.0, 1.0, 1.0, 3.0, 3.0, 3.0]), [1.0, 1.0, 1.0, 1.0, 1.0, 0.5]);
    }

    #[test]
    fn without_a_scheduler_it_gives_the_rate_it_starts_from() {
        assert_eq!(rates(Schedule::plateau(), [0, u64::MAX]), [1.0, 1.0]);
    }

    #[test]
    fn a_list_that_does_not_match_the_groups_is_refused() {
        let message = refusal(Schedule::plateau().min_lr([0.1, 0.2]));
        assert!(message.contains("min_lr is a list of 2; there must be one for each parameter group"), "{message}");
    }
}
