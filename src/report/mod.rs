//! What a run left behind, for people and for programs to read.

pub mod chart;
pub mod diff;
mod kept;
pub mod pictures;
mod plan;
mod standing;
mod standing_text;
mod statistics;
pub mod terminal;

pub use kept::{KeptCheckpoint, KeptStanding};
pub use plan::{LrPlan, PlanError};
pub use standing::{GroupStanding, Standing};
pub use statistics::{TensorSummary, summarize};
