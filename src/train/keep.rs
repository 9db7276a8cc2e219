//! `[checkpoint.keep]`: which checkpoints of a run stay, while it trains and when a person prunes it.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::config::{Metric, word};
use super::directory::RunDirectory;
use super::every::Every;
use super::metrics::Objective;
use super::{TrainError, place, resume};
use crate::checkpoint::fs::LocalDisk;
use crate::checkpoint::keep::{self, Best, Verdict};
use crate::checkpoint::{Folder, Keep};

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
        let refuse = |metric: Metric, rule: &str| wrong("metric", word(&metric), rule);
        match self.metric {
            Some(metric @ (Metric::ValidationLoss | Metric::ValidationAccuracy)) if !validates => {
                refuse(metric, "there are no validation rows; set `data.validation` to a share of the rows")
            }
            Some(metric @ Metric::ValidationAccuracy) if !objective.has_classes() => {
                refuse(metric, "the data has values, not classes")
            }
            _ => self.in_steps(validates, steps_per_epoch),
        }
    }

    fn in_steps(&self, validates: bool, steps_per_epoch: u64) -> Result<Keep, TrainError> {
        for (field, count) in [("last", self.last), ("best", self.best)] {
            if count == Some(0) {
                return wrong(field, "0".to_owned(), "must be at least 1; the newest checkpoint always stays");
            }
        }
        let usual = if validates { Metric::ValidationLoss } else { Metric::TrainingLoss };
        let metric = self.metric.unwrap_or(usual);
        if self.metric.is_some() && self.best.is_none() {
            return wrong("metric", word(&metric), "says what `best` goes by, and there is no `best`");
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

fn wrong<T>(field: &str, value: String, rule: &str) -> Result<T, TrainError> {
    Err(TrainError::Field { field: format!("checkpoint.keep.{field}"), value, rule: rule.to_owned() })
}

/// What rules say of the checkpoints of a run, and the run held so that nothing else writes there.
pub struct Pruning {
    folder: Folder,
    keep: Keep,
    /// The step of the newest that is valid.
    newest: u64,
    /// Each checkpoint, oldest first, and why it stays, if it does.
    pub verdicts: Vec<Verdict>,
    _held: RunDirectory,
}

impl Pruning {
    /// Looks at the run directory `run` by `rules`, or by those of its own configuration, and deletes nothing.
    ///
    /// # Errors
    /// When there is no run, a process trains there, no checkpoint is valid, or the rules make no sense.
    pub fn plan(run: &Path, rules: Option<KeepConfig>) -> Result<Self, TrainError> {
        let (newest, _) = resume::newest_at(run)?;
        if !place::is_run(run)? {
            let reason = "is no run directory; checkpoints outside of one are yours to delete".to_owned();
            return Err(TrainError::NothingToResume { path: run.to_owned(), reason });
        }
        let held = RunDirectory::open(run).map_err(|error| match error {
            TrainError::Write { path, operation, source } => TrainError::Prune { path, operation, source },
            error => error,
        })?;
        let own = || newest.field("config").map(|config| KeepConfig::deserialize(&config["checkpoint"]["keep"]));
        let rules = rules.or_else(|| own()?.ok()).unwrap_or_default();
        let folder = held.folder();
        let steps_per_epoch = newest.field("steps_per_epoch").and_then(Value::as_u64).unwrap_or(1);
        let is_validated = |verdict: &Verdict| verdict.metric.is_some();
        let by_validation = rules.in_steps(true, steps_per_epoch)?;
        let verdicts = keep::judge(&folder, &by_validation, Some(newest.step()))?;
        // Where nothing was validated, the best go by the training loss, as they did when the run was trained.
        let (keep, verdicts) = if rules.metric.is_some() || verdicts.iter().any(is_validated) {
            (by_validation, verdicts)
        } else {
            let keep = rules.in_steps(false, steps_per_epoch)?;
            let verdicts = keep::judge(&folder, &keep, Some(newest.step()))?;
            (keep, verdicts)
        };
        Ok(Self { folder, keep, newest: newest.step(), verdicts, _held: held })
    }

    /// Deletes what does not stay, and says which directories those were.
    ///
    /// # Errors
    /// When one cannot be deleted; those before it are gone.
    pub fn carry_out(self) -> Result<Vec<PathBuf>, TrainError> {
        Ok(keep::prune(&LocalDisk, &self.folder, &self.keep, Some(self.newest))?)
    }
}
