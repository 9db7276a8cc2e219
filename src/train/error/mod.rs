//! Errors of starting, continuing or finishing a run.

mod ranks;
pub(super) mod remedies;

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

pub use ranks::RanksError;

use self::remedies::{config_remedy, last_good, open_remedy, processor, prune_remedy, read_remedy, write_remedy};
use super::config::edits::Edits;
use crate::backtrace::from_candle;
use crate::checkpoint::CheckpointError;
use crate::data::DataError;
use crate::device::DeviceError;
use crate::loss::LossError;
use crate::memory::{DeviceFull, TooLarge};
use crate::model::ModelError;
use crate::optim::OptimError;
use crate::schedule::ScheduleError;
use crate::{shell, store};

/// Errors of starting, continuing or finishing a run.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TrainError {
    /// A configuration cannot be read.
    #[error("cannot read the configuration {}: {source}; {}", path.display(), config_remedy(path, *place, source))]
    ReadConfig {
        /// The file.
        path: PathBuf,
        /// The file system's answer about the path.
        place: ConfigPlace,
        /// The cause.
        source: io::Error,
    },
    /// The path to resume cannot be read.
    #[error("cannot read {}: {source}{}", path.display(), read_remedy(source))]
    Read {
        /// The path.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// A file or folder of the run cannot be written.
    #[error("{}: cannot {operation}: {source}{}", path.display(), write_remedy(path, source))]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// The operation.
        operation: &'static str,
        /// The cause.
        source: io::Error,
    },
    /// The lock of a run to prune cannot be taken.
    #[error("{}: cannot {operation}: {source}; {}", path.display(), prune_remedy(source))]
    Prune {
        /// The file or folder.
        path: PathBuf,
        /// The operation.
        operation: &'static str,
        /// The cause.
        source: io::Error,
    },
    /// A configuration is invalid.
    #[error("{origin}: {}{reason}", if field.is_empty() { String::new() } else { format!("{field}: ") })]
    Config {
        /// File and line, or another origin.
        origin: String,
        /// The field, as a dotted name.
        field: String,
        /// The fault.
        reason: String,
    },
    /// A configuration without the length of the run.
    #[error("`train.epochs` or `train.steps` is missing")]
    NoLength,
    /// A field of the configuration has an invalid value.
    #[error("{field} = {value}: {rule}")]
    Field {
        /// The field, as a dotted name.
        field: String,
        /// Its value.
        value: String,
        /// The valid values.
        rule: String,
    },
    /// A `--set` is invalid.
    #[error("--set {text}: {reason}")]
    Setting {
        /// Its text.
        text: String,
        /// The fault.
        reason: String,
    },
    /// The device cannot be opened.
    #[error("device `{device}` cannot be opened: {source}; {}", processor(*begun))]
    Device {
        /// The device.
        device: String,
        /// Whether the run has begun, perhaps elsewhere.
        begun: bool,
        /// The cause.
        source: Box<DeviceError>,
    },
    /// The optimizer's configuration, or an update.
    #[error(transparent)]
    Optim(#[from] OptimError),
    /// A component failed after an update.
    #[error("component `{name}` failed after the update of step {step}: {error}")]
    Component {
        /// The component.
        name: String,
        /// The number of the update.
        step: u64,
        /// The failure.
        error: crate::state::StateError,
    },
    /// Several processes cannot compute the run together.
    #[error(transparent)]
    Ranks(#[from] RanksError),
    /// The schedule.
    #[error("schedule: {0}")]
    Schedule(Box<ScheduleError>),
    /// The schedule of something other than the learning rate.
    #[error("{field}: {source}")]
    OtherSchedule {
        /// The field of the configuration.
        field: &'static str,
        /// The fault.
        source: Box<ScheduleError>,
    },
    /// The parts of a checkpoint have different steps.
    #[error(
        "{}: part `{part}` is at step {step}, but the checkpoint is not: the program that saved it mixed two states",
        path.display()
    )]
    StepsDisagree {
        /// The checkpoint.
        path: PathBuf,
        /// The differing part.
        part: &'static str,
        /// Its step.
        step: u64,
    },
    /// The data.
    #[error(transparent)]
    Data(Box<DataError>),
    /// The model does not fit the data.
    #[error(transparent)]
    Model(ModelError),
    /// It does not fit in memory.
    #[error(transparent)]
    TooLarge(#[from] Box<TooLarge>),
    /// The memory of the device is used up.
    #[error(transparent)]
    DeviceFull(Box<DeviceFull>),
    /// A checkpoint.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The newest checkpoint is damaged, and no older one may take its place.
    #[error("{error}; without `--strict` the newest valid one is used, {}", valid.display())]
    Strict {
        /// The damage.
        error: Box<CheckpointError>,
        /// The newest valid checkpoint.
        valid: PathBuf,
    },
    /// The tensor library.
    #[error(transparent)]
    Tensor(candle_core::Error),
    /// The folder for a new run already has one.
    #[error(
        "{} already holds a run: continue it with `train --resume {}`, or choose another folder with --out",
        path.display(),
        shell::path(path)
    )]
    HoldsARun {
        /// The folder.
        path: PathBuf,
    },
    /// Another process trains in the run directory.
    #[error("{} is in use by {holder}; wait for it to end, or stop it", path.display())]
    InUse {
        /// The run directory.
        path: PathBuf,
        /// The process that holds its lock.
        holder: String,
    },
    /// Another process has taken over the run.
    #[error(
        "{} was taken over by {holder}, because this process did not renew its lease in time; nothing more is saved \
         there",
        path.display()
    )]
    TakenOver {
        /// The URL of the run.
        path: PathBuf,
        /// The process that has taken it over.
        holder: String,
    },
    /// The directory of a run was moved.
    #[error(
        "{} was moved, removed or replaced during the run; nothing is saved until it is back in its place",
        path.display()
    )]
    Displaced {
        /// Its original path.
        path: PathBuf,
    },
    /// The lock of a run was removed, and another process has made a new one.
    #[error(
        "the file `lock` of {} was removed during the run, and {holder} has trained there since; nothing more \
         is saved there",
        path.display()
    )]
    LockLost {
        /// The run directory.
        path: PathBuf,
        /// The process that made the new one.
        holder: String,
    },
    /// An object store cannot be used.
    #[error("{}: {source}{}", path.display(), store::remedy(source))]
    Store {
        /// The URL.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// A file of a run, or one that is needed to find a run, cannot be opened.
    #[error("cannot open {}: {source}{}", path.display(), open_remedy(path, source))]
    Unopened {
        /// The file, or its URL.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// A user has set values in the `config.toml` of a run that the run does not have.
    #[error("{0}")]
    Edited(Box<Edits>),
    /// The `config.toml` of a run was edited and is invalid.
    #[error("{error}; correct the file, or delete it, and the next resume writes {} again", path.display())]
    BadRunConfig {
        /// The fault.
        error: Box<TrainError>,
        /// The file.
        path: PathBuf,
    },
    /// The folder for a new run has another file in the place of a run's file.
    #[error(
        "{} exists and does not belong to a run, so it is not overwritten; choose another folder with --out",
        path.display()
    )]
    Occupied {
        /// The existing file.
        path: PathBuf,
    },
    /// A folder that cannot contain a run.
    #[error("{} {reason}; choose another folder with --out", path.display())]
    NoPlace {
        /// The folder.
        path: PathBuf,
        /// The reason.
        reason: &'static str,
    },
    /// A folder for a run that was probably meant to be a URL.
    #[error("{} is a folder called `{}:`; an object store is {url}, and the folder is ./{}", path.display(),
        url.split(':').next().unwrap_or_default(), path.display())]
    OneSlash {
        /// The path.
        path: PathBuf,
        /// The URL with both slashes.
        url: String,
    },
    /// There is nothing to resume at the path.
    #[error("{}: {reason}", path.display())]
    NothingToResume {
        /// The path.
        path: PathBuf,
        /// The reason.
        reason: String,
    },
    /// A setting was changed that cannot change within a run.
    #[error("{what} cannot change within a run: it is {saved} in the checkpoint and {asked} now{remedy}")]
    Refused {
        /// The setting.
        what: String,
        /// Its value in the checkpoint.
        saved: String,
        /// Its value now.
        asked: String,
        /// The remedy; may be empty.
        remedy: String,
    },
    /// The run has diverged; no later state was saved.
    #[error(
        "the {what} is not finite at step {step}, where the rate is {rates:?}; {}",
        last_good(last_checkpoint.as_deref())
    )]
    NotFinite {
        /// The value that is not finite: loss or gradient.
        what: String,
        /// The update that was not made.
        step: u64,
        /// The rate of each group.
        rates: Vec<f64>,
        /// The newest valid checkpoint before this step.
        last_checkpoint: Option<PathBuf>,
    },
}

/// The file system's answer about the path of a configuration that cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConfigPlace {
    /// A folder.
    Folder,
    /// A file with a name of data.
    Data,
    /// Another file, or nothing.
    Other,
}

from_candle!(TrainError => Tensor);

impl From<ScheduleError> for TrainError {
    fn from(error: ScheduleError) -> Self {
        Self::Schedule(Box::new(error))
    }
}

impl From<ModelError> for TrainError {
    fn from(error: ModelError) -> Self {
        match error {
            ModelError::Field { field, value, rule } => Self::Field { field: format!("model.{field}"), value, rule },
            ModelError::Device(error) => error.into(),
            error => Self::Model(error),
        }
    }
}

impl From<LossError> for TrainError {
    fn from(error: LossError) -> Self {
        match error {
            LossError::Field { field, value, rule } => Self::Field { field: format!("loss.{field}"), value, rule },
            error @ LossError::Unfit { .. } => {
                let (field, rule) = ("loss".to_owned(), error.to_string());
                Self::Field { field, value: "the one that is given".to_owned(), rule }
            }
        }
    }
}

impl From<Edits> for TrainError {
    fn from(edits: Edits) -> Self {
        Self::Edited(Box::new(edits))
    }
}

impl From<DataError> for TrainError {
    fn from(error: DataError) -> Self {
        match error {
            DataError::Setting { field, value, rule } => Self::Field { field: format!("data.{field}"), value, rule },
            error => Self::Data(Box::new(error)),
        }
    }
}

impl TrainError {
    /// Whether the request was wrong, as opposed to a failure of the run.
    pub fn is_input_error(&self) -> bool {
        if let Self::Ranks(error) = self {
            return error.is_input_error();
        }
        !matches!(
            self,
            Self::NotFinite { .. }
                | Self::TakenOver { .. }
                | Self::Displaced { .. }
                | Self::LockLost { .. }
                | Self::Tensor(_)
                | Self::DeviceFull(_)
                | Self::Component { .. }
                | Self::Optim(OptimError::Tensor(_))
        )
    }

    /// For `map_err`: a failed write to `path`.
    pub(crate) fn write(path: &Path, operation: &'static str) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Write { path, operation, source }
    }
}
