//! `[checkpoint.keep]`: which checkpoints of a run stay.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::every::{self, Interval};
use super::figure::{Metric, NO_ACCURACY, word};
use crate::checkpoint::keep::{self, Best, Decision};
use crate::checkpoint::{Folder, Retention};
use crate::loss::Loss;
use crate::train::TrainError;

/// Rules for keeping checkpoints. The newest and pinned ones are always kept; without any rule all are.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct KeepConfig {
    /// Number of newest checkpoints to keep.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub last: Option<usize>,
    /// Number of best checkpoints by `metric` to keep, among those saved just after it was measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub best: Option<usize>,
    /// The metric of `best`: by default the validation loss if there are validation rows, otherwise the training loss.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metric: Option<Metric>,
    /// Every checkpoint at a multiple of this many steps or epochs; these are never deleted.
    #[serde(default, deserialize_with = "every::of_kept", skip_serializing_if = "Option::is_none")]
    pub every: Option<Interval>,
}

impl KeepConfig {
    /// Whether there are no rules.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The rules in the configuration that a checkpoint holds; none where there are none. Where `best` goes by a metric
    /// that is not registered in this program, the rules are without it, and the metric is named.
    pub(crate) fn of(config: &Value) -> (Self, Option<String>) {
        let mut table = config["checkpoint"]["keep"].clone();
        if let Ok(rules) = Self::deserialize(&table) {
            return (rules, None);
        }
        let unknown = table["metric"].as_str().filter(|name| Metric::named(name).is_none()).map(str::to_owned);
        if let Some(table) = table.as_object_mut() {
            table.retain(|key, _| !["metric", "best"].contains(&key.as_str()));
        }
        (Self::deserialize(table).unwrap_or_default(), unknown)
    }

    /// Returns the metric of `best`, in a run with or without validation rows.
    pub(crate) fn metric(&self, validates: bool) -> Metric {
        let usual = if validates { Metric::ValidationLoss } else { Metric::TrainingLoss };
        self.metric.unwrap_or(usual)
    }

    /// The rules in steps, for a run with or without validation rows.
    pub(crate) fn rules(
        &self,
        validates: bool,
        loss: &dyn Loss,
        steps_per_epoch: u64,
    ) -> Result<Retention, TrainError> {
        let refuse = |metric: Metric, rule: &str| wrong("metric", word(&metric), rule);
        match self.metric {
            Some(metric) if metric.is_of_validation() && !validates => {
                refuse(metric, "there are no validation rows; set `data.validation` to a share of the rows")
            }
            Some(metric @ Metric::ValidationAccuracy) if !loss.has_accuracy() => refuse(metric, NO_ACCURACY),
            _ => self.in_steps(validates, steps_per_epoch),
        }
    }

    fn in_steps(&self, validates: bool, steps_per_epoch: u64) -> Result<Retention, TrainError> {
        for (field, count) in [("last", self.last), ("best", self.best)] {
            if count == Some(0) {
                return wrong(field, "0".to_owned(), "must be at least 1; the newest checkpoint is always kept");
            }
        }
        let metric = self.metric(validates);
        if self.metric.is_some() && self.best.is_none() {
            return wrong("metric", word(&metric), "is the metric of `best`, and there is no `best`");
        }
        let every = self.every.and_then(|every| every.in_steps(steps_per_epoch));
        match self.every {
            Some(minutes @ Interval::Minutes(_)) => {
                let rule = "steps by the clock are random; give steps or epochs";
                return wrong("every", minutes.to_string(), rule);
            }
            Some(Interval::Auto) => return wrong("every", "auto".to_owned(), "give steps or epochs"),
            _ => {}
        }
        let more_is_better = metric.more_is_better();
        let best = self.best.map(|count| Best { count, metric: word(&metric), more_is_better });
        Ok(Retention { last: self.last, best, every })
    }
}

fn wrong<T>(field: &str, value: String, rule: &str) -> Result<T, TrainError> {
    Err(TrainError::Field { field: format!("checkpoint.keep.{field}"), value, rule: rule.to_owned() })
}

impl KeepConfig {
    /// The rules in steps, and what they say of each checkpoint in the `folder` of a run that has come to step `at`.
    /// Where nothing was validated, the best go by the training loss, as they did when the run was trained.
    pub(crate) fn decide(
        &self,
        folder: &Folder,
        at: u64,
        steps_per_epoch: u64,
    ) -> Result<(Retention, Vec<Decision>), TrainError> {
        let keep = self.in_steps(true, steps_per_epoch)?;
        let decisions = keep::decide(folder, &keep, Some(at))?;
        if self.best.is_none() || self.metric.is_some() || decisions.iter().any(|decision| decision.metric.is_some()) {
            return Ok((keep, decisions));
        }
        let keep = self.in_steps(false, steps_per_epoch)?;
        let decisions = keep::decide(folder, &keep, Some(at))?;
        Ok((keep, decisions))
    }
}
