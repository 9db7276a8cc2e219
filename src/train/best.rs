//! The best checkpoint of a run, by a metric measured just before its save.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde_json::Value;

use super::config::figure::Metric;
use super::config::keep::KeepConfig;
use super::config::word;
use super::{TrainError, find};
use crate::checkpoint::keep::{Decision, Reason};
use crate::checkpoint::{Checkpoint, Folder, dir_name};
use crate::figures;
use crate::figures::counted;

/// A checkpoint with a metric.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct BestCheckpoint {
    /// Its directory.
    pub path: PathBuf,
    /// Its step.
    pub step: u64,
    /// The metric.
    pub metric: Metric,
    /// Its value.
    pub value: f64,
}

/// For example `step-0000000049 (validation_loss 0.7126)`.
impl fmt::Display for BestCheckpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({} {})", dir_name(self.step), word(&self.metric), figures::loss(self.value))
    }
}

impl BestCheckpoint {
    /// Returns the checkpoints with a metric, the best first; of equal ones the earlier. The metric is that of `rules`,
    /// otherwise the validation loss if it was measured, otherwise the training loss.
    pub(super) fn ranked(decisions: &[Decision], rules: &KeepConfig) -> Vec<Self> {
        let usual = [Metric::ValidationLoss, Metric::TrainingLoss];
        let metrics = rules.metric.as_ref().map_or(&usual[..], std::slice::from_ref);
        let ranked = metrics.iter().map(|&metric| Self::ranked_by(decisions, metric));
        ranked.into_iter().find(|ranked| !ranked.is_empty()).unwrap_or_default()
    }

    fn ranked_by(decisions: &[Decision], metric: Metric) -> Vec<Self> {
        let name = word(&metric);
        let measured = |decision: &Decision| {
            let value = decision.metrics.get(&name)?.as_f64().filter(|value| value.is_finite())?;
            let is_whole = decision.stays != Some(Reason::Damaged);
            is_whole.then(|| Self { path: decision.path.clone(), step: decision.step, metric, value })
        };
        let mut ranked: Vec<Self> = decisions.iter().filter_map(measured).collect();
        let sign = if metric.more_is_better() { -1.0 } else { 1.0 };
        ranked.sort_by(|a, b| (sign * a.value).total_cmp(&(sign * b.value)).then(a.step.cmp(&b.step)));
        ranked
    }
}

/// The checkpoints of a run or in a folder, with the decisions on them.
#[derive(Clone, Debug)]
pub struct Kept {
    /// The retention rules of the run.
    pub rules: KeepConfig,
    /// Each checkpoint, oldest first.
    pub decisions: Vec<Decision>,
    /// The checkpoints with a metric, the best first.
    pub best: Vec<BestCheckpoint>,
    /// The metric that the best go by, where this program does not know it: then there are no `best`, and `rules` are
    /// without them.
    pub unknown_metric: Option<String>,
}

impl Kept {
    /// Decides on the checkpoints in `folder`, with the configuration of a checkpoint of step `at`. Nothing is deleted.
    ///
    /// # Errors
    /// The folder cannot be listed, or the rules are invalid.
    pub fn look(folder: &Folder, at: u64, config: &Value, steps_per_epoch: Option<u64>) -> Result<Self, TrainError> {
        let (rules, unknown_metric) = KeepConfig::of(config);
        let (_, decisions) = rules.decide(folder, at, steps_per_epoch.unwrap_or(1))?;
        let best = match unknown_metric {
            Some(_) => Vec::new(),
            None => BestCheckpoint::ranked(&decisions, &rules),
        };
        Ok(Self { rules, decisions, best, unknown_metric })
    }
}

/// Returns the best valid checkpoint of the run at `path` or in a folder of checkpoints, a message for each damaged
/// one, and a message that names the best.
///
/// # Errors
/// There is no checkpoint, none has a metric, none is valid, or one cannot be read and may be the best.
pub fn best_at(path: &Path) -> Result<(Checkpoint, Vec<String>), TrainError> {
    let refuse = |reason: String| TrainError::NothingToResume { path: path.to_owned(), reason };
    let Some(folder) = find::folder_of(path)? else {
        return Err(refuse("is one checkpoint; `--best` takes a run directory or a folder of checkpoints".to_owned()));
    };
    let folder = Folder::new(folder);
    let newest = folder.newest_outline()?.checkpoint;
    let field = |name| newest.field(name).cloned().unwrap_or_default();
    let kept = Kept::look(&folder, newest.step(), &field("config"), field("steps_per_epoch").as_u64())?;
    if let Some(metric) = kept.unknown_metric {
        return Err(refuse(format!(
            "has its best checkpoint by `{metric}`, which the program that trained it registers and this one does not \
             know; give one checkpoint, and leave `--best` out"
        )));
    }
    // One that cannot be read may be the best.
    let mut unread = kept.decisions.iter().filter(|decision| decision.stays == Some(Reason::Unread));
    if let Some(error) = unread.find_map(|decision| Checkpoint::read(&decision.path).err()) {
        return Err(refuse(format!(
            "its best checkpoint is unknown, because one cannot be read: {error}; to use another anyway, give its path, \
             and leave `--best` out"
        )));
    }
    // The metric of a damaged one is unknown, so all damaged ones are reported.
    let damaged =
        kept.decisions.iter().filter(|decision| decision.stays == Some(Reason::Damaged) && decision.copy.is_none());
    let faults = damaged.filter_map(|decision| Checkpoint::read(&decision.path).err());
    let mut messages: Vec<String> =
        faults.map(|error| format!("warning: skipped a damaged checkpoint: {error}")).collect();
    for best in &kept.best {
        match Checkpoint::read(&best.path) {
            Ok(checkpoint) => {
                messages.push(format!("the best of {} with a metric: {best}", counted(kept.best.len(), "checkpoint")));
                return Ok((checkpoint, messages));
            }
            Err(error) if error.is_unread() => return Err(error.into()),
            Err(error) => messages.push(format!("warning: skipped a damaged checkpoint: {error}")),
        }
    }
    let metric = kept.rules.metric.map(|metric| format!(" by {}", word(&metric))).unwrap_or_default();
    Err(refuse(format!(
        "holds no checkpoint with a metric{metric}; omit `--best`, or set `checkpoint.keep.best`, \
         which saves after each validation"
    )))
}
