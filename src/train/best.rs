//! The best checkpoint of a run, by a figure that was measured right before it was saved.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde_json::Value;

use super::config::figure::Metric;
use super::config::keep::KeepConfig;
use super::config::word;
use super::{TrainError, find};
use crate::checkpoint::keep::{Reason, Verdict};
use crate::checkpoint::{Checkpoint, Folder, dir_name};
use crate::figures;

/// A checkpoint whose state was measured.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct BestCheckpoint {
    /// Its directory.
    pub path: PathBuf,
    /// Its step.
    pub step: u64,
    /// The metric that the best go by.
    pub metric: Metric,
    /// Its value there.
    pub value: f64,
}

/// As `step-0000000049 (validation_loss 0.7126)`.
impl fmt::Display for BestCheckpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({} {})", dir_name(self.step), word(&self.metric), figures::loss(self.value))
    }
}

impl BestCheckpoint {
    /// Those that were measured, the best first, of equal ones the earlier. They go by the metric of `rules`, else by
    /// the validation loss where it was measured, else by the training loss.
    pub(super) fn ranked(verdicts: &[Verdict], rules: &KeepConfig) -> Vec<Self> {
        let usual = [Metric::ValidationLoss, Metric::TrainingLoss];
        let metrics = rules.metric.as_ref().map_or(&usual[..], std::slice::from_ref);
        let ranked = metrics.iter().map(|&metric| Self::ranked_by(verdicts, metric));
        ranked.into_iter().find(|ranked| !ranked.is_empty()).unwrap_or_default()
    }

    fn ranked_by(verdicts: &[Verdict], metric: Metric) -> Vec<Self> {
        let name = word(&metric);
        let measured = |verdict: &Verdict| {
            let value = verdict.metrics.get(&name)?.as_f64().filter(|value| value.is_finite())?;
            let is_whole = verdict.stays != Some(Reason::Damaged);
            is_whole.then(|| Self { path: verdict.path.clone(), step: verdict.step, metric, value })
        };
        let mut ranked: Vec<Self> = verdicts.iter().filter_map(measured).collect();
        let sign = if metric.more_is_better() { -1.0 } else { 1.0 };
        ranked.sort_by(|a, b| (sign * a.value).total_cmp(&(sign * b.value)).then(a.step.cmp(&b.step)));
        ranked
    }
}

/// The checkpoints of a run or in a folder, and why each of them stays.
#[derive(Clone, Debug)]
pub struct Kept {
    /// The rules of the run.
    pub rules: KeepConfig,
    /// Each checkpoint, oldest first.
    pub verdicts: Vec<Verdict>,
    /// Those that were measured, the best first.
    pub best: Vec<BestCheckpoint>,
    /// The metric that the best go by, where this program does not know it: then there are no `best`, and `rules` are
    /// without them.
    pub unknown_metric: Option<String>,
}

impl Kept {
    /// Those in `folder`, by the configuration of a checkpoint of step `at`. Nothing is changed.
    ///
    /// # Errors
    /// When the folder cannot be listed, or the rules make no sense.
    pub fn look(folder: &Folder, at: u64, config: &Value, steps_per_epoch: Option<u64>) -> Result<Self, TrainError> {
        let (rules, unknown_metric) = KeepConfig::of(config);
        let (_, verdicts) = rules.judge(folder, at, steps_per_epoch.unwrap_or(1))?;
        let best = match unknown_metric {
            Some(_) => Vec::new(),
            None => BestCheckpoint::ranked(&verdicts, &rules),
        };
        Ok(Self { rules, verdicts, best, unknown_metric })
    }
}

/// The best checkpoint of the run at `path` or in a folder of checkpoints that is valid; a message for each that is
/// damaged, and one that says which it is.
///
/// # Errors
/// When there is none, none was measured, or none is valid.
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
    // How good a damaged one was is not known, so each is named.
    let damaged =
        kept.verdicts.iter().filter(|verdict| verdict.stays == Some(Reason::Damaged) && verdict.copy.is_none());
    let faults = damaged.filter_map(|verdict| Checkpoint::read(&verdict.path).err());
    let mut messages: Vec<String> = faults.map(|error| format!("passed over a damaged checkpoint: {error}")).collect();
    for best in &kept.best {
        match Checkpoint::read(&best.path) {
            Ok(checkpoint) => {
                messages.push(format!("the best of {} measured checkpoints: {best}", kept.best.len()));
                return Ok((checkpoint, messages));
            }
            Err(error) if error.is_unread() => return Err(error.into()),
            Err(error) => messages.push(format!("passed over a damaged checkpoint: {error}")),
        }
    }
    let metric = kept.rules.metric.map(|metric| format!(" by {}", word(&metric))).unwrap_or_default();
    Err(refuse(format!(
        "holds no checkpoint that was measured{metric} when it was saved; leave `--best` out, or set `checkpoint.keep.best`, \
         by which each validation is followed by a save"
    )))
}
