//! What a run left behind, for people and for programs to read.

mod standing;
mod statistics;

pub use standing::{GroupStanding, Standing};
pub use statistics::{TensorSummary, summarize};
