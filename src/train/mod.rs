//! Runs: the configuration, the run directory, the training loop, and resuming.
//!
//! Read [`Run`] first: its loop shows a step. [`Session`] holds the state, [`resume`] finds the point to continue from,
//! and [`Config`] is the input of a run.
//!
//! The files of this folder are the loop. `session/` is the state and a step, `run/` the saves, `config/` the
//! configuration, `run_dir/` the run directory, `checks/` the checks before the first step, `observe/` progress, signals
//! and messages.

mod agenda;
mod averaged;
mod averaging;
mod best;
mod builder;
mod checks;
mod component;
pub(crate) mod config;
mod continued;
mod early_stopping;
mod error;
mod examples;
mod find;
mod find_lr;
mod forecast;
#[doc(hidden)]
pub mod fuzzing;
mod given;
mod intervals;
pub mod joining;
mod metrics;
mod observe;
mod prune;
mod record;
pub(crate) mod recurring;
pub mod resume;
mod run;
pub(crate) mod run_dir;
mod schedulers;
mod session;
mod sink;

pub use agenda::Agenda;
pub(crate) use averaged::apply_averaged;
pub use averaging::CheckpointAverage;
pub use best::{BestCheckpoint, Kept, best_at};
pub use builder::SessionBuilder;
pub(crate) use checks::memory::Purpose;
pub use component::{Component, Configured, Statistics, Update, Weights, register_component};
pub(crate) use component::{Makers, apply_lent};
pub(crate) use config::SCHEDULES;
pub use config::edits::Edits;
pub use config::every::Interval;
pub use config::figure::Metric;
pub use config::keep::KeepConfig;
pub(crate) use config::load::from_checkpoint;
#[cfg(feature = "peers")]
pub(crate) use config::load::from_file_filled;
pub use config::load::{Setting, from_file};
pub(crate) use config::paths::base_of;
#[doc(hidden)]
pub use config::paths::relative as relative_path;
pub use config::{
    BatchNormStatistics, CheckpointConfig, Config, DistributedConfig, EarlyStoppingConfig, EmaConfig, Exchange,
    FreezeConfig, GradientNoise, HooksConfig, LogConfig, Moment, SwaConfig, TimeBudget, TimeLimit, TrainConfig,
    ValidationConfig,
};
pub use error::{ConfigPlace, RanksError, TrainError};
pub use examples::{Example, Image};
pub use find_lr::{RangePoint, RangeTest, RangeTestOptions, find_lr};
pub use forecast::Forecast;
pub use metrics::{Evaluation, TestFigures};
pub(crate) use metrics::{Judge, evaluate};
#[cfg(feature = "cli")]
pub use observe::console::Console;
pub use observe::control::{Answer, Control, Stake};
pub use observe::json_lines::{JsonLines, Records};
pub use observe::progress::{Phase, Progress};
#[doc(hidden)]
pub use observe::signals::{file_size_limit_is_an_error, is_default};
pub use prune::Pruning;
pub use record::StepRecord;
pub use run::Run;
#[cfg(feature = "peers")]
pub(crate) use run::adopt;
pub use run_dir::directory::RunDirectory;
#[doc(hidden)]
pub use run_dir::log_order::Order as LogOrder;
pub use run_dir::outcome::{Ending, RunEnd};
#[doc(hidden)]
pub use run_dir::traces::Traces;
pub use session::Session;
#[cfg(feature = "peers")]
pub(crate) use session::Taken;
pub(crate) use session::{data_part, recalled, refuse_other_content, room};
pub use sink::{Beginning, Outcome, Sink, Sinks, StepTensors, Validated};
