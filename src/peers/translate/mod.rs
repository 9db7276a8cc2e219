//! From another trainer's words to Rekindle's: its schedule as one of [`crate::schedule`], its optimizer as one of our
//! rules with our names of settings and states.
//!
//! These are pure functions of a [`Peer`](super::Peer): no files and no configuration. A thing that we cannot say, or
//! that the file does not hold, is a [`Refusal`] that names it.

mod optimizer;
mod optimizers;
mod refusal;
mod schedule;
mod schedules;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

pub use optimizer::{RuleGroup, RuleParameter, UpdateRule, optimizer};
pub use refusal::Refusal;
pub use schedule::{RateSchedule, schedule};
