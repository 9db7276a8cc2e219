use serde::{Deserialize, Serialize};

use super::*;

kind! {
    /// Multiplies the rate by `factor` when a metric improved by less than `threshold` of its last value.
    ///
    /// The improvement is over the report before, not over the best one: `(last - metric) / last`, 0 if the last metric
    /// is 0. The first report changes nothing. `patience` small improvements are tolerated after each reduction and at
    /// the start. NaN counts as no improvement. Lower metrics are better. Only reports count, not `t`.
    ///
    /// Source: SpeechBrain's `NewBobScheduler` (`annealing_factor`, `improvement_threshold`, `patient`), after the
    /// "newbob" of QuickNet.
    newbob => Newbob {
        /// The factor of a reduction; 0.5 by default.
        factor: f64 where SHRINK = 0.5,
        /// The smallest improvement that counts, as a share of the last metric; 0.0025 by default.
        threshold: f64 where NOT_NEGATIVE = 0.0025,
        /// The number of small improvements that are tolerated before a reduction; 0 by default.
        patience: u64 = 0,
    }
}

impl Kind for Newbob {
    fn plan(&self, context: &Context) -> Planned {
        let rules = self.clone();
        context.remembered(move |base_lrs| {
            let seen = Seen { last: None, tolerated: rules.patience, lrs: base_lrs.to_vec() };
            Box::new(NewbobMemory { rules: rules.clone(), seen })
        })
    }
}

#[derive(Debug)]
struct NewbobMemory {
    rules: Newbob,
    seen: Seen,
}

/// State that changes with each report, and is saved.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Seen {
    /// The last metric; `None` before the first report.
    last: Option<Extended>,
    /// The number of small improvements that are still tolerated.
    tolerated: u64,
    /// The current rates.
    lrs: Vec<f64>,
}

impl Memory for NewbobMemory {
    fn rate(&self, group: usize) -> f64 {
        self.seen.lrs.get(group).copied().unwrap_or_default()
    }

    fn mode(&self) -> Mode {
        Mode::Min
    }

    fn report(&mut self, metric: f64) {
        // A metric that is not a number is worse than any: the next one improves on it.
        let metric = if metric.is_nan() { f64::INFINITY } else { metric };
        let Some(Extended(last)) = self.seen.last.replace(Extended(metric)) else { return };
        let improvement = match last {
            0.0 => 0.0,
            f64::INFINITY if metric < f64::INFINITY => 1.0,
            last => (last - metric) / last,
        };
        if improvement >= self.rules.threshold {
            return;
        }
        match self.seen.tolerated.checked_sub(1) {
            Some(left) => self.seen.tolerated = left,
            None => {
                self.seen.lrs.iter_mut().for_each(|lr| *lr *= self.rules.factor);
                self.seen.tolerated = self.rules.patience;
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
    fn followed(schedule: Newbob, metrics: &[f64]) -> Vec<f64> {
        reported(schedule, 1.0, metrics).split_off(1)
    }

    #[test]
    fn a_small_improvement_over_the_last_metric_halves_the_rate() {
        let metrics = [10.0, 9.0, 8.999, 8.0, 9.0, 8.5];
        assert_eq!(followed(Schedule::newbob(), &metrics), [1.0, 1.0, 0.5, 0.5, 0.25, 0.25]);
    }

    #[test]
    fn patience_tolerates_small_improvements_before_each_reduction() {
        let schedule = Schedule::newbob().patience(1u64);
        assert_eq!(followed(schedule, &[1.0; 6]), [1.0, 1.0, 0.5, 0.5, 0.25, 0.25]);
    }

    #[test]
    fn what_is_not_a_number_is_no_improvement_and_the_next_number_is_one() {
        assert_eq!(followed(Schedule::newbob(), &[1.0, f64::NAN, f64::NAN, 2.0]), [1.0, 0.5, 0.25, 0.25]);
    }
}
