//! Sweeps: many runs of one configuration with other settings, and the best of them.
//!
//! [`Plan`] is the file of a sweep. The values of a trial are a function of it and of the trial's number (`points.rs`),
//! and so is the end of a trial without a chance (`halving.rs`), given the metrics of earlier trials. The rest is on the
//! disk, or at a URL: [`Directory`] has a configuration and a run for each trial, and the ledger of their ends. [`Progress`] says from
//! these what each trial does next, and [`Outcome`] is what came of it.
//!
//! `train sweep` starts the processes.

mod directory;
mod error;
mod halving;
mod ledger;
mod measured;
mod outcome;
mod parameter;
#[cfg(feature = "charts")]
mod picture;
mod place;
mod plan;
mod points;
mod progress;
mod sobol;

pub use directory::{Directory, is_at};
pub use error::SweepError;
pub use halving::EarlyEnding;
pub use ledger::{End, Ended};
pub use outcome::Outcome;
pub use parameter::{Parameter, Range, Values};
pub use plan::{Plan, Search};
pub use progress::{Next, Progress};
