//! A training loop for any Candle model, whose runs survive being killed: [`Trainer`].
//!
//! It needs neither a configuration file nor a feature. The loop of the program `train`, in the module `train`, is for
//! the models and the data that a configuration can name.
//!
//! Read [`Trainer`] for what can be set; `steps.rs` is the loop, `state.rs` how its state is restored and saved.

mod error;
mod hooks;
mod log;
mod place;
mod settings;
mod state;
mod steps;
#[cfg(test)]
mod tests;
mod updates;

pub use error::{AnyError, Fallible, TrainerError};
pub use hooks::{RunEnd, SaveEnd, StepEnd};
pub use settings::Trainer;
pub use updates::Updates;
