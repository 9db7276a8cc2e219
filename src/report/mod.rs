//! What a run left behind, for people and for programs to read.

pub mod chart;
mod standing;
mod statistics;

pub use standing::{GroupStanding, Standing};
pub use statistics::{TensorSummary, summarize};
