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

/// A number that a schedule of a run drives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Driven {
    /// The learning rate.
    #[default]
    Lr,
    /// The momentum, or the first beta.
    Momentum,
    /// The second beta.
    Beta2,
    /// The weight decay.
    WeightDecay,
    /// The decay of `[ema]`.
    EmaDecay,
}

impl Driven {
    /// Returns the part of a checkpoint, and the key of a configuration.
    fn names(self) -> (&'static str, &'static str) {
        match self {
            Self::Lr => ("schedulers.lr", "schedule"),
            Self::Momentum => ("schedulers.momentum", "momentum_schedule"),
            Self::Beta2 => ("schedulers.beta2", "beta2_schedule"),
            Self::WeightDecay => ("schedulers.weight_decay", "weight_decay_schedule"),
            Self::EmaDecay => ("schedulers.ema_decay", "ema_decay_schedule"),
        }
    }

    fn part(self) -> &'static str {
        self.names().0
    }

    fn missing(self, run: &str) -> PlanError {
        match self {
            Self::Lr => PlanError::NoSchedule(run.to_owned()),
            _ => PlanError::NotDriven { run: run.to_owned(), key: self.names().1 },
        }
    }
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
    /// The run has no schedule of this number.
    #[error("{run} has no `{key}`, so this stays as it is in the configuration")]
    NotDriven {
        /// The run.
        run: String,
        /// The key of the schedule.
        key: &'static str,
    },
}

impl LrPlan {
    /// Reads the input: a run directory, a folder of checkpoints, one checkpoint, a configuration, or a schedule
    /// as text, JSON or TOML.
    ///
    /// # Errors
    /// The error says how the input was read, and the fault.
    pub fn read(written: &str) -> Result<Self, PlanError> {
        Self::read_of(written, Driven::Lr)
    }

    /// The same for another number that a schedule drives. A schedule alone is evaluated as it is.
    ///
    /// # Errors
    /// As [`LrPlan::read`]; the run has no such schedule.
    pub fn read_of(written: &str, driven: Driven) -> Result<Self, PlanError> {
        let path = Path::new(written);
        if path.is_dir() {
            return Self::of_checkpoint(&resume::newest_at(path)?.0, driven);
        }
        if is_config(path) {
            let session = Session::made_for(Purpose::Look, from_file(path, &[])?)?;
            let scheduler = session.scheduler_of(driven.part()).ok_or_else(|| driven.missing(written))?;
            let run = Some(session.length());
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

    fn of_checkpoint(checkpoint: &Checkpoint, driven: Driven) -> Result<Self, PlanError> {
        let missing = || driven.missing(&checkpoint.path().display().to_string());
        let state = checkpoint.state(driven.part()).ok_or_else(missing)?;
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
