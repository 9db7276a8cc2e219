//! Deleting the checkpoints of a run that no rule keeps, when a person asks for it.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::config::figure::{Metric, word};
use super::config::keep::KeepConfig;
use super::run_dir::directory::RunDirectory;
use super::run_dir::place;
use super::{TrainError, find};
use crate::checkpoint::fs::LocalDisk;
use crate::checkpoint::keep::{self, Decision};
use crate::checkpoint::{Folder, Retention};

/// The message about rules that use a metric of another program.
const UNKNOWN: &str = "is registered by the program that trained the run and unknown here, so its best checkpoints are \
                       too; prune there, or give the rules";

/// Refuses a metric that no checkpoint has: none would be among the best, and most would be deleted.
fn refuse_unmeasured(metric: Option<Metric>, decisions: &[Decision]) -> Result<(), TrainError> {
    let is_measured = decisions.iter().any(|decision| decision.metric.is_some());
    match metric.filter(|_| !is_measured) {
        Some(metric) => {
            let (field, rule) = ("checkpoint.keep.metric".to_owned(), UNMEASURED.to_owned());
            Err(TrainError::Field { field, value: word(&metric), rule })
        }
        None => Ok(()),
    }
}

/// The message about a metric that the run has not computed.
const UNMEASURED: &str = "no checkpoint of this run has it; `inspect RUN` shows those that it has";

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
        let (newest, _) = find::newest_at(run)?;
        if !place::is_run(run)? {
            let reason = "is not a run directory; delete checkpoints outside a run yourself".to_owned();
            return Err(TrainError::NothingToResume { path: run.to_owned(), reason });
        }
        let held = RunDirectory::open(run).map_err(|error| match error {
            TrainError::Write { path, operation, source } => TrainError::Prune { path, operation, source },
            error => error,
        })?;
        let own = || match newest.field("config").map(KeepConfig::of).unwrap_or_default() {
            (_, Some(value)) => {
                let (field, rule) = ("checkpoint.keep.metric".to_owned(), UNKNOWN.to_owned());
                Err(TrainError::Field { field, value, rule })
            }
            (rules, None) => Ok(rules),
        };
        let rules = rules.map_or_else(own, Ok)?;
        let folder = held.folder();
        let steps_per_epoch = newest.field("steps_per_epoch").and_then(Value::as_u64).unwrap_or(1);
        let (keep, decisions) = rules.decide(&folder, newest.step(), steps_per_epoch)?;
        refuse_unmeasured(rules.metric, &decisions)?;
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
