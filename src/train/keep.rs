//! `[checkpoint.keep]`: which checkpoints of a run stay.

use serde::{Deserialize, Serialize};

use super::TrainError;
use super::config::{Metric, word};
use super::every::Every;
use super::metrics::Objective;
use crate::checkpoint::Keep;
use crate::checkpoint::keep::Best;

/// Which checkpoints stay: the newest, pinned ones, and those that any of these wants. Without any of them, all.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeepConfig {
    /// So many of the newest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<usize>,
    /// So many of the best by `metric`, among those saved right after it was measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub best: Option<usize>,
    /// What `best` goes by: the validation loss where there are validation rows, else the training loss.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metric: Option<Metric>,
    /// One every so many steps or epochs, for ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub every: Option<Every>,
}

impl KeepConfig {
    /// Whether nothing is said.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The rules in steps, for a run with or without validation rows.
    pub(super) fn rules(
        &self,
        validates: bool,
        objective: Objective,
        steps_per_epoch: u64,
    ) -> Result<Keep, TrainError> {
        let wrong = |field: &str, value: String, rule: &str| {
            Err(TrainError::Field { field: format!("checkpoint.keep.{field}"), value, rule: rule.to_owned() })
        };
        for (field, count) in [("last", self.last), ("best", self.best)] {
            if count == Some(0) {
                return wrong(field, "0".to_owned(), "must be at least 1; the newest checkpoint always stays");
            }
        }
        let usual = if validates { Metric::ValidationLoss } else { Metric::TrainingLoss };
        let metric = self.metric.unwrap_or(usual);
        match self.metric {
            Some(_) if self.best.is_none() => {
                return wrong("metric", word(&metric), "says what `best` goes by, and there is no `best`");
            }
            Some(Metric::ValidationLoss | Metric::ValidationAccuracy) if !validates => {
                let rule = "there are no validation rows; set `data.validation` to a share of the rows";
                return wrong("metric", word(&metric), rule);
            }
            Some(Metric::ValidationAccuracy) if !objective.has_classes() => {
                return wrong("metric", word(&metric), "the data has values, not classes");
            }
            _ => {}
        }
        let every = match self.every {
            None => None,
            Some(Every::Steps(steps)) => Some(steps),
            Some(Every::Epochs(epochs)) => Some(epochs.saturating_mul(steps_per_epoch)),
            Some(minutes @ Every::Minutes(_)) => {
                let rule = "which step the clock meets is chance; give steps or epochs";
                return wrong("every", minutes.to_string(), rule);
            }
        };
        let more_is_better = metric == Metric::ValidationAccuracy;
        let best = self.best.map(|count| Best { count, metric: word(&metric), more_is_better });
        Ok(Keep { last: self.last, best, every })
    }
}
