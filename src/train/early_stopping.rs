//! The end of a run before its last step, by a metric: its memory, and the reason for the end.

use serde::{Deserialize, Serialize};

use super::TrainError;
use super::config::EarlyStoppingConfig;
use super::config::figure::Metric;
use super::config::{NO_ACCURACY, word};
use crate::figures;
use crate::figures::counted;
use crate::state::{State, StateError, Stateful};

/// Follows a metric. The end is a function of the settings and of this memory, so that a resume with more patience
/// continues.
#[derive(Debug)]
pub(super) struct EarlyStopping {
    config: EarlyStoppingConfig,
    metric: Metric,
    memory: Memory,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Memory {
    /// The metric that the values are of.
    metric: String,
    /// The best value so far, and the number of updates after which it was measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    best: Option<(f64, u64)>,
    /// Measurements in a row without an improvement.
    waited: u64,
}

impl EarlyStopping {
    /// Starts without a measurement, in a run with or without validation rows.
    pub fn new(config: &EarlyStoppingConfig, validates: bool) -> Self {
        let metric = config.metric(validates);
        let memory = Memory { metric: word(&metric), ..Memory::default() };
        Self { config: config.clone(), metric, memory }
    }

    /// Returns the metric that it follows.
    pub fn metric(&self) -> Metric {
        self.metric
    }

    /// Refuses a metric that the run never measures.
    ///
    /// # Errors
    /// The metric, and the reason.
    pub fn require_measured(&self, validates: bool, has_accuracy: bool) -> Result<(), TrainError> {
        let rule = match self.metric {
            metric if metric.is_of_validation() && !validates => {
                "there are no validation rows; set `data.validation` to a share of the rows"
            }
            Metric::ValidationAccuracy if !has_accuracy => NO_ACCURACY,
            _ => return Ok(()),
        };
        let field = "early_stopping.metric".to_owned();
        Err(TrainError::Field { field, value: word(&self.metric), rule: rule.to_owned() })
    }

    /// Takes in a value that was measured after `step` updates. One that is not a number is no improvement.
    pub fn report(&mut self, value: f64, step: u64) {
        let gained = |best: f64| if self.metric.more_is_better() { value - best } else { best - value };
        let is_better = match self.memory.best {
            None => value.is_finite(),
            Some((best, _)) => gained(best) > self.config.min_delta,
        };
        if is_better {
            (self.memory.best, self.memory.waited) = (Some((value, step)), 0);
        } else {
            self.memory.waited += 1;
        }
    }

    /// Returns why the run ends here, if it does.
    pub fn reason(&self) -> Option<String> {
        let (name, Memory { best, waited, .. }) = (word(&self.metric), &self.memory);
        if let (Some(target), Some((best, step))) = (self.config.target, *best) {
            let is_reached = if self.metric.more_is_better() { best >= target } else { best <= target };
            if is_reached {
                let (best, target) = (figures::loss(best), figures::loss(target));
                return Some(format!("{name} is {best} after step {step}, and its target was {target}"));
            }
        }
        self.config.patience.filter(|patience| waited >= patience).map(|_| {
            let waited = counted(*waited, "measurement");
            let best = best.map_or("it was never a number".to_owned(), |(best, step)| {
                format!("the best is {} after step {step}", figures::loss(best))
            });
            format!("{name} has not improved in {waited}; {best}")
        })
    }
}

impl Stateful for EarlyStopping {
    fn save(&self) -> Result<State, StateError> {
        Ok(State::from_json(serde_json::to_value(&self.memory)?))
    }

    fn check(&self, state: &State) -> Result<(), StateError> {
        Memory::deserialize(&state.json)?;
        state.expect_tensors([])
    }

    /// Values of another metric say nothing about this one.
    fn load(&mut self, state: &State) -> Result<(), StateError> {
        let saved = Memory::deserialize(&state.json)?;
        if saved.metric == self.memory.metric {
            self.memory = saved;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn following(metric: Metric, patience: Option<u64>, min_delta: f64, target: Option<f64>) -> EarlyStopping {
        let config = EarlyStoppingConfig { metric: Some(metric), patience, min_delta, target };
        EarlyStopping::new(&config, true)
    }

    /// Returns the number of values after which it ends.
    fn ends(mut stopping: EarlyStopping, values: &[f64]) -> Option<usize> {
        values.iter().position(|&value| {
            stopping.report(value, 1);
            stopping.reason().is_some()
        })
    }

    #[test]
    fn patience_counts_measurements_without_an_improvement_in_the_direction_of_the_metric() {
        let loss = |patience, min_delta| following(Metric::ValidationLoss, Some(patience), min_delta, None);
        assert_eq!(ends(loss(2, 0.0), &[1.0, 0.9, 0.95, 0.91]), Some(3));
        assert_eq!(ends(loss(2, 0.0), &[1.0, 0.9, 0.95, 0.89, 0.89]), None);
        assert_eq!(ends(loss(2, 0.1), &[1.0, 0.95, 0.91]), Some(2));
        assert_eq!(ends(loss(2, 0.1), &[1.0, f64::NAN, 0.8, f64::NAN, f64::NAN]), Some(4));
        assert_eq!(ends(loss(1, 0.0), &[f64::NAN]), Some(0));
        let accuracy = || following(Metric::ValidationAccuracy, Some(2), 0.0, None);
        assert_eq!(ends(accuracy(), &[0.5, 0.6, 0.7, 0.8]), None);
        assert_eq!(ends(accuracy(), &[0.5, 0.4, 0.3]), Some(2));
    }

    #[test]
    fn a_target_ends_the_run_in_the_direction_of_the_metric() {
        assert_eq!(ends(following(Metric::ValidationLoss, None, 0.0, Some(0.5)), &[0.6, 0.51, 0.5]), Some(2));
        assert_eq!(ends(following(Metric::ValidationAccuracy, None, 0.0, Some(0.5)), &[0.4, 0.51]), Some(1));
        let mut stopping = following(Metric::ValidationLoss, None, 0.0, Some(0.5));
        stopping.report(0.25, 7);
        let reason = stopping.reason().unwrap();
        assert_eq!(reason, "validation_loss is 0.2500 after step 7, and its target was 0.5000");
    }

    #[test]
    fn its_memory_is_saved_and_a_resume_with_more_patience_continues() {
        let mut stopping = following(Metric::ValidationLoss, Some(1), 0.0, None);
        [1.0, 2.0].into_iter().for_each(|value| stopping.report(value, 3));
        assert!(stopping.reason().is_some());
        let mut patient = following(Metric::ValidationLoss, Some(2), 0.0, None);
        patient.load(&stopping.save().unwrap()).unwrap();
        assert_eq!((patient.reason(), &patient.memory), (None, &stopping.memory));
        let mut other = following(Metric::ValidationAccuracy, Some(1), 0.0, None);
        other.load(&stopping.save().unwrap()).unwrap();
        assert_eq!(other.reason(), None);
    }
}
