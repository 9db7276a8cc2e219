//! The configuration of a run: its tables, how it is read, and what may change in it.

mod averages;
pub(crate) mod changes;
pub(super) mod complete;
mod dotted;
mod early_stopping;
pub(super) mod edits;
pub(super) mod every;
pub(super) mod figure;
pub(super) mod hooks;
pub(super) mod keep;
pub(crate) mod keys;
pub(super) mod load;
pub(super) mod log;
mod missing;
mod moment;
pub(crate) mod paths;
mod run_config;
mod schedules;
mod shaping;
mod spelling;
mod time_budget;
mod validation;
mod wording;
pub(super) mod written_config;

pub use averages::{BatchNormStatistics, EmaConfig, SwaConfig};
pub use early_stopping::EarlyStoppingConfig;
pub(super) use figure::{NO_ACCURACY, word};
pub use hooks::{HooksConfig, TimeLimit};
pub use log::LogConfig;
pub use moment::Moment;
pub use run_config::{CheckpointConfig, Config, DistributedConfig, TrainConfig, UnusedWeights};
pub(crate) use schedules::SCHEDULES;
pub use shaping::{FreezeConfig, GradientNoise};
pub use time_budget::TimeBudget;
pub use validation::ValidationConfig;
