//! Rekindle trains Candle models so that a run survives being killed: resumed, its weights, its learning rates and
//! its log are the same bits as in a run that was never interrupted.
//!
//! To read the code, follow the arrows of its dependencies upwards:
//!
//! 1. [`rng`]: randomness as a function of seed, purpose, step and index. [`state`]: the trait of everything that
//!    has memory. Nothing else in the crate is as important as these two. [`Notice`]: what a person is told before a run.
//! 2. [`schedule`]: the learning rate as a function of the step. [`parameters`] and [`optim`]: named weights and
//!    their updates. [`ops`] and [`model`]: what is trained. [`data`]: what it is trained on.
//!    [`loss`]: what is minimized; [`metric`]: what else a validation computes.
//!    [`memory`]: whether something fits.
//! 3. [`checkpoint`]: a state as a directory that is whole or not there, on the disk or in an object [`store`].
//! 4. [`train`]: all of them in one loop, which is [`train::Run`]. [`trained`]: what a run has learned, at work.
//!    [`report`]: what a run left behind. [`proof`]: that kills change nothing. [`mod@reference`]: every key of a configuration.
//!    [`starter`]: a first configuration for data.
//!
//! The programs `train` and `inspect` are thin faces of the last three. What only they, the tests and the fuzz targets of
//! this repository use is public and hidden from these pages, and no promise. A loop of your own uses the others; the
//! repository's `examples/custom_loop.rs` is one.
#![deny(missing_docs)]

mod backtrace;
pub mod checkpoint;
mod cpu;
pub mod data;
mod field_names;
#[doc(hidden)]
pub mod figures;
mod kinded;
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
#[doc(hidden)]
pub mod shell;
pub mod starter;
pub mod state;
pub mod store;
#[doc(hidden)]
pub mod threads;
pub mod train;
pub mod trained;

pub use notice::Notice;
pub use registry::{Chosen, KindError};
