//! `[early_stopping]`: when a run ends before its last step, by a metric.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::figure::Metric;
use super::run_config::Config;
use crate::train::TrainError;

/// When the run ends before its last step, by a metric, which has its own direction: a loss improves as it falls, an
/// accuracy as it grows. The memory is saved with the run. At least one of `patience` and `target` is given.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct EarlyStoppingConfig {
    /// The metric: by default the validation loss if there are validation rows, otherwise the training loss of an epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metric: Option<Metric>,
    /// The run ends after this many measurements in a row without an improvement.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub patience: Option<u64>,
    /// A value that is better than the best by at most this is no improvement.
    #[serde(default)]
    #[schemars(range(min = 0.0))]
    pub min_delta: f64,
    /// The run ends when the metric is at least as good as this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<f64>,
}

impl EarlyStoppingConfig {
    /// Returns the metric, in a run with or without validation rows.
    pub(in crate::train) fn metric(&self, validates: bool) -> Metric {
        let usual = if validates { Metric::ValidationLoss } else { Metric::TrainingLoss };
        self.metric.unwrap_or(usual)
    }
}

/// Checks the table of a configuration.
pub(super) fn check(config: &Config) -> Result<(), TrainError> {
    let Some(EarlyStoppingConfig { patience, min_delta, target, .. }) = &config.early_stopping else { return Ok(()) };
    let wrong = |field: &str, value: String, rule: &str| {
        let field = if field.is_empty() { "early_stopping".to_owned() } else { format!("early_stopping.{field}") };
        Err(TrainError::Field { field, value, rule: rule.to_owned() })
    };
    match (patience, target) {
        (None, None) => wrong("", "no end".to_owned(), "give `patience`, or `target`, or both"),
        (Some(0), _) => wrong("patience", "0".to_owned(), "must be at least 1"),
        _ if !(min_delta.is_finite() && *min_delta >= 0.0) => {
            wrong("min_delta", min_delta.to_string(), "must be a finite number, at least 0")
        }
        (None, Some(_)) if *min_delta > 0.0 => {
            wrong("min_delta", min_delta.to_string(), "acts on `patience` only; set that too, or remove it")
        }
        _ => Ok(()),
    }
}
