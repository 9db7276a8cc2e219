//! Deleting the checkpoints of a run that no rule keeps, when a person asks for it.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::config::keep::KeepConfig;
use super::run_dir::directory::RunDirectory;
use super::run_dir::place;
use super::{TrainError, find};
use crate::checkpoint::fs::LocalDisk;
use crate::checkpoint::keep::{self, Verdict};
use crate::checkpoint::{Folder, Keep};

/// Said where the rules of a run go by a metric of another program.
const UNKNOWN: &str = "is registered by the program that trained the run and unknown here, so its best checkpoints are \
                       too; prune there, or give the rules";

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
        let (newest, _) = find::newest_at(run)?;
        if !place::is_run(run)? {
            let reason = "is no run directory; checkpoints outside of one are yours to delete".to_owned();
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
        let (keep, verdicts) = rules.judge(&folder, newest.step(), steps_per_epoch)?;
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
