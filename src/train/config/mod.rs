//! The configuration of a run: its tables, how it is read, and what may change in it.

pub(crate) mod changes;
pub(super) mod complete;
mod dotted;
pub(super) mod edits;
pub(super) mod every;
pub(super) mod figure;
pub(super) mod hooks;
pub(super) mod keep;
pub(crate) mod keys;
pub(super) mod load;
pub(super) mod log;
mod missing;
pub(crate) mod paths;
mod run_config;
mod spelling;
mod wording;
pub(super) mod written_config;

pub(super) use figure::{NO_ACCURACY, word};
pub use hooks::{HooksConfig, TimeLimit};
pub use log::LogConfig;
pub use run_config::{CheckpointConfig, Config, DistributedConfig, TrainConfig, UnusedWeights, ValidationConfig};
