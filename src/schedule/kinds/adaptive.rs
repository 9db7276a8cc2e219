use serde::{Deserialize, Serialize};

use super::*;

kind! {
    /// Multiplies the rate by `factor` with each report after `patience` in a row that were not better by `tol`.
    ///
    /// A report is bad if the metric is above `best - tol`; the best one is the lowest of all, even if it was bad. Bad
    /// report number `patience + 1` in a row reduces the rate, and the count begins again. No reduction is made at or
    /// below `min_lr`, where scikit-learn ends the training. NaN counts as bad. Only reports count, not `t`.
    ///
    /// Source: scikit-learn's `MLPClassifier` and `MLPRegressor` with `learning_rate="adaptive"` (`n_iter_no_change`,
    /// `tol`).
    adaptive => Adaptive {
        /// The number of bad reports in a row that are tolerated; 10 by default.
        patience: u64 = 10,
        /// The improvement that makes a report good; 1e-4 by default.
        tol: f64 where NOT_NEGATIVE = 1e-4,
        /// The factor of a reduction; 0.2 by default.
        factor: f64 where SHRINK = 0.2,
        /// The rate at which it is not reduced further; 1e-6 by default.
        min_lr: f64 where NOT_NEGATIVE = 1e-6,
    }
}

impl Kind for Adaptive {
    fn plan(&self, context: &Context) -> Planned {
        let rules = self.clone();
        context.remembered(move |base_lrs| {
            let seen = Seen { best: Extended(f64::INFINITY), num_bad: 0, lrs: base_lrs.to_vec() };
            Box::new(AdaptiveMemory { rules: rules.clone(), seen })
        })
    }
}

#[derive(Debug)]
struct AdaptiveMemory {
    rules: Adaptive,
    seen: Seen,
}

/// State that changes with each report, and is saved.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Seen {
    /// The lowest metric so far.
    best: Extended,
    /// Number of bad reports in a row.
    num_bad: u64,
    /// The current rates.
    lrs: Vec<f64>,
}

impl Memory for AdaptiveMemory {
    fn rate(&self, group: usize) -> f64 {
        self.seen.lrs.get(group).copied().unwrap_or_default()
    }

    fn mode(&self) -> Mode {
        Mode::Min
    }

    fn report(&mut self, metric: f64) {
        let is_good = metric <= self.seen.best.0 - self.rules.tol;
        self.seen.num_bad = if is_good { 0 } else { self.seen.num_bad.saturating_add(1) };
        if metric < self.seen.best.0 {
            self.seen.best = Extended(metric);
        }
        if self.seen.num_bad > self.rules.patience {
            self.seen.num_bad = 0;
            for lr in self.seen.lrs.iter_mut().filter(|lr| **lr > self.rules.min_lr) {
                *lr *= self.rules.factor;
            }
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

    /// Returns the rate after each of these metrics.
    fn followed(schedule: Adaptive, metrics: &[f64]) -> Vec<f64> {
        reported(schedule, 1.0, metrics).split_off(1)
    }

    #[test]
    fn after_more_bad_reports_than_patience_the_rate_is_divided() {
        let schedule = Schedule::adaptive().patience(1u64).factor(0.5);
        assert_eq!(followed(schedule, &[1.0; 7]), [1.0, 1.0, 0.5, 0.5, 0.25, 0.25, 0.125]);
    }

    /// Each report is the lowest, but none is better by `tol`.
    #[test]
    fn a_small_improvement_is_the_best_and_still_bad() {
        let schedule = Schedule::adaptive().patience(1u64).tol(0.5).factor(0.5);
        assert_eq!(followed(schedule, &[1.0, 0.75, 0.5, 0.25]), [1.0, 1.0, 0.5, 0.5]);
    }

    #[test]
    fn at_the_lowest_rate_it_stays() {
        let schedule = Schedule::adaptive().patience(0u64).factor(0.5).min_lr(0.5);
        assert_eq!(followed(schedule, &[1.0, f64::NAN, 1.0]), [1.0, 0.5, 0.5]);
    }
}
