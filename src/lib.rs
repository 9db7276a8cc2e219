//! Rekindle trains Candle models so that a run survives being killed: after a resume, its weights, learning rates and
//! log have the same bits as in a run that was never interrupted.
//!
//! To read the code, follow the order of its dependencies:
//!
//! 1. [`rng`]: random numbers as a function of seed, purpose, step and index. [`state`]: the trait of everything that
//!    has memory. These two are the core of the crate. [`Notice`]: messages to the user before a run.
//! 2. [`schedule`]: the learning rate as a function of the step. [`parameters`] and [`optim`]: named weights and
//!    their updates. [`ops`] and [`model`]: models. [`data`]: training data. [`loss`]: the function to minimize;
//!    [`metric`]: further metrics of a validation. [`memory`]: whether something fits in memory.
//! 3. [`checkpoint`]: a state as a directory that is either complete or absent, on disk or in an object [`store`].
//! 4. [`train`]: the training loop, [`train::Run`]. [`trained`]: inference with a trained model. [`report`]: charts
//!    and summaries of runs. [`proof`]: the kill test. [`mod@reference`]: every key of a configuration.
//!    [`starter`]: a first configuration for data.
//!
//! The programs `train` and `inspect` are thin wrappers around the last group. To write your own training loop, use the
//! others; the repository's `examples/custom_loop.rs` shows how.
#![deny(missing_docs)]

mod backtrace;
pub mod checkpoint;
mod cpu;
pub mod data;
mod field_names;
pub mod figures;
pub mod loss;
pub mod memory;
pub mod metric;
pub mod model;
mod notice;
pub mod ops;
pub mod optim;
pub mod parameters;
pub mod proof;
pub mod reference;
mod registry;
mod regular;
mod remedy;
pub mod report;
pub mod rng;
pub mod schedule;
pub mod shell;
pub mod starter;
pub mod state;
pub mod store;
mod tagged;
pub mod threads;
pub mod train;
pub mod trained;

pub use notice::Notice;
pub use registry::{Chosen, KindError};
