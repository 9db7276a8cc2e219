//! Reports about runs, for people and for programs.

mod brief;
pub mod chart;
mod check;
mod course;
pub mod diff;
pub(crate) mod follow;
mod kept;
mod layers;
pub(crate) mod log;
mod measured;
pub mod page;
mod path_text;
#[doc(hidden)]
pub mod pictures;
mod plan;
mod planned;
mod plot;
mod rests;
pub(crate) mod run_status;
pub(crate) mod run_status_text;
mod runs;
mod statistics;
#[doc(hidden)]
pub mod terminal;

pub use brief::brief;
pub use check::{Check, ClassCheck, DataCheck, LengthCheck, ModelCheck, NoticeCheck, OptimizerCheck, ScheduleCheck};
pub use course::{Course, Due};
pub use follow::{Change, Follower, LogLine};
pub use kept::{KeptCheckpoint, KeptStatus};
#[cfg(feature = "peers")]
pub(crate) use layers::text as layers_text;
pub use layers::{Layer, layers};
pub(crate) use log::open as open_log;
pub use log::{LeftOut, LogError, LogFormat, export_log, export_log_to};
pub use measured::{Measured, Validation};
pub use plan::{Driven, LrPlan, PlanError};
pub use planned::{Planned, PlannedSaves};
pub use plot::{Plot, PlotAxis};
pub use rests::Rest;
pub use run_status::{GroupStatus, RunStatus};
pub use runs::{RunState, RunSummary, Runs};
pub use statistics::{TensorSummary, summarize};
