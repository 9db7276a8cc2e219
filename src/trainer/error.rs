//! Why a [`Trainer`](super::Trainer) cannot begin or continue.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

use crate::backtrace::{from_candle, without_backtrace};
use crate::checkpoint::CheckpointError;
use crate::optim::OptimError;
use crate::schedule::ScheduleError;

/// Any error of a function that a program gives to a [`Trainer`](super::Trainer).
pub type AnyError = Box<dyn std::error::Error + Send + Sync>;

/// The result of a function that a program gives to a [`Trainer`](super::Trainer): `?` works on every error in it.
pub type Fallible<T> = Result<T, AnyError>;

/// Errors of a [`Trainer`](super::Trainer).
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TrainerError {
    /// A setting that cannot be.
    #[error("`Trainer::{setting}`: {rule}")]
    Setting {
        /// The method that sets it.
        setting: &'static str,
        /// The fault, and the remedy.
        rule: String,
    },
    /// A function of the program failed.
    #[error("{what} of step {step}: {source}")]
    Own {
        /// The function: `the batch`, `the loss`, `the validation`.
        what: &'static str,
        /// Number of the update.
        step: u64,
        /// Its error.
        source: AnyError,
    },
    /// A value that training cannot continue with.
    #[error(
        "{what} of step {step} is not finite; the run is as it was at its newest checkpoint: change the rate, the \
         clipping or the data, and run the program again"
    )]
    NotFinite {
        /// The value: `the loss`, or the gradients of some parameters.
        what: String,
        /// Number of the update.
        step: u64,
    },
    /// The loss is not one number.
    #[error("the loss has the shape {shape:?} and must be one number; return its mean")]
    LossShape {
        /// Its shape.
        shape: Vec<usize>,
    },
    /// Another process trains in the directory.
    #[error("{} is in use by {holder}; wait until it has ended, or choose another directory", path.display())]
    InUse {
        /// The directory.
        path: PathBuf,
        /// The other process, in words.
        holder: String,
    },
    /// The directory cannot be one of a [`Trainer`](super::Trainer).
    #[error("{} {reason}", path.display())]
    Place {
        /// The directory.
        path: PathBuf,
        /// The reason, and the remedy.
        reason: &'static str,
    },
    /// The newest checkpoint cannot be continued by this program.
    #[error("{} {reason}", path.display())]
    Checkpointed {
        /// The checkpoint.
        path: PathBuf,
        /// The reason, and the remedy.
        reason: String,
    },
    /// A file cannot be read or written.
    #[error("cannot {operation} {}: {source}", path.display())]
    Io {
        /// The failed operation.
        operation: &'static str,
        /// The file.
        path: PathBuf,
        /// The error of the system.
        source: io::Error,
    },
    /// A checkpoint cannot be read or written.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The optimizer cannot be built, or cannot update.
    #[error(transparent)]
    Optimizer(#[from] OptimError),
    /// The schedule does not fit the run.
    #[error(transparent)]
    Schedule(#[from] ScheduleError),
    /// The tensor library failed.
    #[error(transparent)]
    Tensor(candle_core::Error),
}

from_candle!(TrainerError => Tensor);

impl TrainerError {
    /// The error of a function of the program.
    pub(super) fn own(what: &'static str, step: u64) -> impl FnOnce(AnyError) -> Self {
        move |source| Self::Own { what, step, source: readable(source) }
    }

    pub(super) fn io(operation: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { operation, path: path.into(), source }
    }

    pub(super) fn setting(setting: &'static str, rule: impl Into<String>) -> Self {
        Self::Setting { setting, rule: rule.into() }
    }
}

/// Takes the backtrace out of an error of Candle.
fn readable(error: AnyError) -> AnyError {
    match error.downcast::<candle_core::Error>() {
        Ok(error) => Box::new(without_backtrace(*error)),
        Err(other) => other,
    }
}
