//! What a run left behind, for people and for programs to read.

pub mod chart;
mod check;
pub mod diff;
mod kept;
pub mod pictures;
mod plan;
mod standing;
mod standing_text;
mod statistics;
pub mod terminal;

pub use check::{Check, ClassCheck, DataCheck, LengthCheck, ModelCheck, NoticeCheck, ScheduleCheck};
pub use kept::{KeptCheckpoint, KeptStanding};
pub use plan::{LrPlan, PlanError};
pub use standing::{GroupStanding, Standing};
pub use statistics::{TensorSummary, summarize};
