//! Checkpoints of a run that are kept, and why.

use std::fmt;
use std::path::PathBuf;

use serde::Serialize;
use serde_json::Value;

use crate::checkpoint::keep::{Decision, Reason};
use crate::figures::counted;
use crate::train::{BestCheckpoint, Kept};

/// Retention of a run's checkpoints.
#[derive(Debug, Default, Serialize)]
pub struct KeptStatus {
    /// The rules of its configuration, as it has them.
    pub rules: Value,
    /// The metric that the best go by, where only the program that trained the run knows it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unknown_metric: Option<String>,
    /// The best of the checkpoints with a metric.
    pub best: Option<BestCheckpoint>,
    /// All checkpoints, oldest first.
    pub checkpoints: Vec<KeptCheckpoint>,
}

/// Retention of one checkpoint.
#[derive(Debug, Serialize)]
pub struct KeptCheckpoint {
    /// Its directory.
    #[serde(serialize_with = "crate::report::path_text::path_text")]
    pub path: PathBuf,
    /// Its step.
    pub step: u64,
    /// The metrics measured just before the save.
    pub metrics: Value,
    /// The reason to keep it; `None` if the next save deletes it.
    pub stays: Option<Reason>,
}

impl KeptStatus {
    /// Of a run with this configuration.
    pub(super) fn new(kept: Kept, config: &Value) -> Self {
        let checkpoint = |Decision { path, step, metrics, stays, .. }| KeptCheckpoint { path, step, metrics, stays };
        Self {
            rules: config["checkpoint"]["keep"].as_object().cloned().unwrap_or_default().into(),
            unknown_metric: kept.unknown_metric,
            best: kept.best.into_iter().next(),
            checkpoints: kept.decisions.into_iter().map(checkpoint).collect(),
        }
    }
}

/// One line if all are kept, otherwise one line per checkpoint.
impl fmt::Display for KeptStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rules = self.rules.as_object().into_iter().flatten();
        let rules: Vec<String> = rules.map(|(name, value)| format!("{name}={value}")).collect();
        let count = self.checkpoints.len();
        if let Some(best) = &self.best {
            writeln!(f, "best        {best}")?;
        }
        if let Some(metric) = &self.unknown_metric {
            writeln!(f, "best        unknown here: {metric} is registered by the program that trained the run")?;
        }
        if rules.is_empty() {
            return writeln!(f, "kept        all checkpoints, {count} by now: {}", Reason::NoRule);
        }
        writeln!(f, "kept        {}, by {}", counted(count, "checkpoint"), rules.join(" "))?;
        for KeptCheckpoint { path, metrics, stays, .. } in &self.checkpoints {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let metrics = metrics.as_object().into_iter().flatten();
            let metrics: String = metrics.map(|(name, value)| format!("  {name} {value}")).collect();
            let why = match stays {
                None | Some(Reason::NoRule) if self.unknown_metric.is_some() => {
                    "stays if it is one of the best".to_owned()
                }
                None => "deleted by the next save".to_owned(),
                Some(reason) => reason.to_string(),
            };
            writeln!(f, "            {name}  {why}{metrics}")?;
        }
        Ok(())
    }
}
