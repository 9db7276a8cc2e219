//! Learning rate of a run over time, from its configuration, a checkpoint, or a schedule alone.

use std::path::Path;

use serde_json::Value;
use thiserror::Error;

use crate::checkpoint::Checkpoint;
use crate::regular;
use crate::schedule::{CliInputError, RunLength, Schedule, read_schedule};
use crate::train::{Purpose, Session, TrainError, from_file, resume};

/// A schedule and the known properties of its run.
#[derive(Clone, Debug)]
pub struct LrPlan {
    /// The schedule.
    pub schedule: Schedule,
    /// The base rate of each parameter group.
    pub base_lrs: Option<Vec<f64>>,
    /// The length of the run and of an epoch.
    pub run: Option<RunLength>,
    /// The number of the next update, if the run has begun.
    pub step: Option<u64>,
}

/// Errors of reading a plan.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum PlanError {
    /// The input was read as a schedule, and is not one.
    #[error(transparent)]
    Schedule(#[from] CliInputError),
    /// The input was read as a configuration or a run, and cannot be used as one.
    #[error(transparent)]
    Run(#[from] TrainError),
    /// The input is probably a path, and there is nothing at it.
    #[error("there is no file or folder {path}; {}", otherwise.as_ref().map_or_else(
        || "give a run, a configuration, or a schedule such as 'cosine(100)'".to_owned(),
        |error| format!("as a schedule: {error}")
    ))]
    NoFile {
        /// The input.
        path: String,
        /// The error of the input as a schedule, if it may be one.
        otherwise: Option<Box<CliInputError>>,
    },
    /// The checkpoint was saved without a schedule.
    #[error("{0} holds no schedule: its part `schedulers.lr` is missing or invalid")]
    NoSchedule(String),
}

impl LrPlan {
    /// Reads the input: a run directory, a folder of checkpoints, one checkpoint, a configuration, or a schedule
    /// as text, JSON or TOML.
    ///
    /// # Errors
    /// The error says how the input was read, and the fault.
    pub fn read(written: &str) -> Result<Self, PlanError> {
        let path = Path::new(written);
        if path.is_dir() {
            return Self::of_checkpoint(&resume::newest_at(path)?.0);
        }
        if is_config(path) {
            let session = Session::made_for(Purpose::Look, from_file(path, &[])?)?;
            let (scheduler, run) = (session.scheduler(), Some(session.length()));
            let base_lrs = Some(scheduler.base_lrs().to_vec());
            return Ok(Self { schedule: scheduler.schedule().clone(), base_lrs, run, step: None });
        }
        let schedule = read_schedule(written).map_err(|error| match error {
            CliInputError::Text(_) if is_like_a_name(written) && !path.exists() => {
                let is_path = written.contains(['/', '.']);
                let otherwise = (!is_path).then(|| Box::new(error));
                PlanError::NoFile { path: written.to_owned(), otherwise }
            }
            error => error.into(),
        })?;
        Ok(Self { schedule, base_lrs: None, run: None, step: None })
    }

    fn of_checkpoint(checkpoint: &Checkpoint) -> Result<Self, PlanError> {
        let missing = || PlanError::NoSchedule(checkpoint.path().display().to_string());
        let state = checkpoint.state("schedulers.lr").ok_or_else(missing)?;
        let read = |name: &str| state.json.get(name).cloned().unwrap_or_default();
        let number = |name| checkpoint.field(name).and_then(Value::as_u64);
        let run = number("steps_per_epoch")
            .map(|steps_per_epoch| RunLength { total_steps: number("total_steps"), steps_per_epoch });
        Ok(Self {
            schedule: serde_json::from_value(read("spec")).map_err(|_| missing())?,
            base_lrs: Some(serde_json::from_value(read("base_lrs")).map_err(|_| missing())?),
            run,
            step: Some(checkpoint.step()),
        })
    }
}

/// Whether the input has only characters of names, and so no parameters of a schedule.
fn is_like_a_name(written: &str) -> bool {
    written.chars().all(|c| c.is_alphanumeric() || "_-./~".contains(c))
}

/// Whether a file is the configuration of a run, as opposed to a schedule.
fn is_config(path: &Path) -> bool {
    let text = regular::read_to_string(path).unwrap_or_default();
    text.parse::<toml::Table>().is_ok_and(|table| table.contains_key("data") && table.contains_key("optimizer"))
}
