//! Reports about runs, for people and for programs.

pub mod chart;
mod check;
mod course;
pub mod diff;
mod kept;
mod layers;
mod measured;
pub mod pictures;
mod plan;
mod runs;
mod standing;
mod standing_text;
mod statistics;
pub mod terminal;

pub use check::{Check, ClassCheck, DataCheck, LengthCheck, ModelCheck, NoticeCheck, ScheduleCheck};
pub use course::{Course, Due};
pub use kept::{KeptCheckpoint, KeptStanding};
pub use layers::{Layer, layers};
pub use measured::{Measured, Validation};
pub use plan::{LrPlan, PlanError};
pub use runs::{RunState, RunSummary, Runs};
pub use standing::{GroupStanding, Standing};
pub use statistics::{TensorSummary, summarize};
