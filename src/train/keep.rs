//! `[checkpoint.keep]`: retention of a run's checkpoints, during training and by `inspect prune`.

use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::config::{NO_ACCURACY, word};
use super::directory::RunDirectory;
use super::every::Interval;
use super::figure::Metric;
use super::{TrainError, place, resume};
use crate::checkpoint::fs::LocalDisk;
use crate::checkpoint::keep::{self, Best, Decision};
use crate::checkpoint::{Folder, Retention};
use crate::loss::Loss;

/// Rules for keeping checkpoints. The newest and pinned ones are always kept; without any rule all are.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
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
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub every: Option<Interval>,
}

impl KeepConfig {
    /// Whether there are no rules.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Reads the rules in a checkpoint's configuration; empty if there are none.
    pub(super) fn of(config: &Value) -> Self {
        Self::deserialize(&config["checkpoint"]["keep"]).unwrap_or_default()
    }

    /// Returns the metric of `best`, in a run with or without validation rows.
    pub(super) fn metric(&self, validates: bool) -> Metric {
        let usual = if validates { Metric::ValidationLoss } else { Metric::TrainingLoss };
        self.metric.unwrap_or(usual)
    }

    /// Returns the rules in steps, for a run with or without validation rows.
    pub(super) fn rules(
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
    /// Returns the rules in steps, and their decision on each checkpoint in the `folder` of a run at step `at`. Without
    /// validations the best are selected by the training loss, as during training.
    pub(super) fn decide(
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

/// Decisions on the checkpoints of a run, with the run's lock held.
pub struct Pruning {
    folder: Folder,
    keep: Retention,
    /// The step of the newest valid one.
    newest: u64,
    /// The decision on each checkpoint, oldest first.
    pub decisions: Vec<Decision>,
    _held: RunDirectory,
}

impl Pruning {
    /// Decides by `rules`, or by those of the run's configuration, on the checkpoints of the run directory `run`, and
    /// deletes nothing.
    ///
    /// # Errors
    /// There is no run, a process trains there, no checkpoint is valid, or the rules are invalid.
    pub fn plan(run: &Path, rules: Option<KeepConfig>) -> Result<Self, TrainError> {
        let (newest, _) = resume::newest_at(run)?;
        if !place::is_run(run)? {
            let reason = "is not a run directory; delete checkpoints outside a run yourself".to_owned();
            return Err(TrainError::NothingToResume { path: run.to_owned(), reason });
        }
        let held = RunDirectory::open(run).map_err(|error| match error {
            TrainError::Write { path, operation, source } => TrainError::Prune { path, operation, source },
            error => error,
        })?;
        let own = || newest.field("config").map(KeepConfig::of).unwrap_or_default();
        let rules = rules.unwrap_or_else(own);
        let folder = held.folder();
        let steps_per_epoch = newest.field("steps_per_epoch").and_then(Value::as_u64).unwrap_or(1);
        let (keep, decisions) = rules.decide(&folder, newest.step(), steps_per_epoch)?;
        Ok(Self { folder, keep, newest: newest.step(), decisions, _held: held })
    }

    /// Deletes the checkpoints that are not kept, and returns their directories.
    ///
    /// # Errors
    /// One cannot be deleted; those before it are deleted.
    pub fn carry_out(self) -> Result<Vec<PathBuf>, TrainError> {
        Ok(keep::prune(&LocalDisk, &self.folder, &self.keep, Some(self.newest))?)
    }
}
