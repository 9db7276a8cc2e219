//! Errors of a run in several processes.

use thiserror::Error;

use crate::distributed::CommunicatorError;

/// Why several processes cannot begin a run, or continue it, together. They are counted from 0.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum RanksError {
    /// The processes cannot exchange their gradients, their losses or what they begin with.
    #[error(
        "process {rank} of {world} (counted from 0) has lost touch with the others at step {step}: {error}; start all of \
         them again with `train --resume`, and they continue from the newest checkpoint"
    )]
    LostTouch {
        /// The number of this process.
        rank: usize,
        /// How many there are.
        world: usize,
        /// The number of the update.
        step: u64,
        /// The failure.
        error: CommunicatorError,
    },
    /// Another process cannot begin.
    #[error("process {rank} of {world} (counted from 0): {message}")]
    Other {
        /// The number of the process.
        rank: usize,
        /// How many there are.
        world: usize,
        /// Its error.
        message: String,
        /// Whether the request was wrong, as opposed to a failure of the run.
        is_input_error: bool,
    },
    /// The devices of the processes cannot be connected as they are.
    #[error("{0}")]
    Devices(String),
    /// The device of this process cannot be connected with the others.
    #[error(
        "process {rank} of {world} (counted from 0) cannot connect its GPU with those of the others: {error}; with \
         distributed.exchange = \"host\", the gradients go through the hosts"
    )]
    Unconnected {
        /// The number of this process.
        rank: usize,
        /// How many there are.
        world: usize,
        /// The failure.
        error: CommunicatorError,
    },
    /// A process would compute another run.
    #[error(
        "process {rank} of {world} (counted from 0) has {key} = {own}, and process 0 has {first}; all must have the same \
         configuration, data and build"
    )]
    Differ {
        /// The number of the process.
        rank: usize,
        /// How many there are.
        world: usize,
        /// The difference: a setting, or a property of the data, the build or the processor.
        key: String,
        /// Its value there.
        own: String,
        /// Its value in process 0.
        first: String,
    },
    /// A process was asked to resume a run, and process 0 to start one. Who shows it names the process.
    #[error("this process was asked to resume a run, and process 0 to start one; give all of them the same arguments")]
    Request,
}

impl RanksError {
    /// Whether the request was wrong, as opposed to a failure of the run.
    pub(super) fn is_input_error(&self) -> bool {
        match self {
            Self::LostTouch { .. } | Self::Unconnected { .. } => false,
            Self::Other { is_input_error, .. } => *is_input_error,
            Self::Devices(_) | Self::Differ { .. } | Self::Request => true,
        }
    }
}
