//! Runs: the configuration, the run directory, the loop, and how a run is taken up again.
//!
//! Read [`Run`] first: its loop is the story of a step. [`Session`] is what has memory in it, [`resume`] finds where
//! to go on, [`Config`] is what a run is computed from.

mod bar;
mod best;
mod builder;
pub(crate) mod changes;
mod complete;
mod component;
mod config;
mod console;
mod control;
mod directory;
mod error;
mod every;
mod figure;
mod find_lr;
#[doc(hidden)]
pub mod fuzzing;
mod heartbeat;
mod held_disk;
mod intervals;
mod keep;
mod lease;
mod load;
pub(crate) mod log;
mod log_order;
mod memory;
mod metrics;
mod mirror;
mod missing;
mod outlook;
pub(crate) mod paths;
mod pauses;
mod place;
mod progress;
mod record;
pub mod resume;
mod run;
mod schedulers;
mod scratch;
mod segments;
mod session;
mod signals;
mod sink;
mod spelling;
mod timing;
mod unusual;
mod wording;
mod written_config;

pub use best::{BestCheckpoint, Kept, best_at};
pub use builder::SessionBuilder;
pub(crate) use component::apply_lent;
pub use component::{Component, Configured, Update, register_component};
pub use config::{CheckpointConfig, Config, TrainConfig, ValidationConfig};
pub use console::Console;
pub use control::{Answer, Control, Stake};
pub use directory::RunDirectory;
pub use error::TrainError;
pub use every::Every;
pub use figure::Metric;
pub use find_lr::{RangePoint, RangeTest, RangeTestOptions, find_lr};
pub use keep::{KeepConfig, Pruning};
pub use load::{Setting, from_file};
pub(crate) use load::{base_of, from_checkpoint};
#[doc(hidden)]
pub use log_order::Order as LogOrder;
pub(crate) use memory::Purpose;
pub use metrics::Evaluation;
pub(crate) use metrics::evaluate;
#[doc(hidden)]
pub use paths::relative as relative_path;
pub use progress::{Phase, Progress};
pub use record::StepRecord;
pub use run::Run;
pub use session::Session;
pub(crate) use session::{data_part, recalled, refuse_other_content, room};
#[doc(hidden)]
pub use signals::file_size_limit_is_an_error;
pub use sink::{Beginning, Outcome, Sink, Sinks};
pub use written_config::Edits;
