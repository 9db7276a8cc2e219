//! Rekindle trains Candle models so that a run survives being killed: after a resume, its weights, learning rates and
//! log have the same bits as in a run that was never interrupted.
//!
//! To read the code, follow the order of its dependencies:
//!
//! 1. [`rng`]: random numbers as a function of seed, purpose, step and index. [`state`]: the trait of everything that
//!    has memory. These two are the core of the crate. [`Notice`]: messages to the user before a run.
//! 2. [`schedule`]: the learning rate as a function of the step. [`parameters`] and [`optim`]: named weights and
//!    their updates; [`distributed`]: sums over several processes. [`ops`] and [`model`]: what is trained. [`data`]: what it is trained on.
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
//!
//! # Features
//! The default build has all of the first four. A loop of your own needs none: `default-features = false` leaves
//! everything but [`data`], [`train`] and what is listed with it in 4, and compiles few crates that Candle does not.
//!
//! | feature | what it adds |
//! |---|---|
//! | `trainer` | [`train`]'s loop in a program of yours: [`data`], [`train`], [`trained`], [`report`], [`proof`], [`starter`], [`mod@reference`] |
//! | `charts` | charts as SVG and PNG, in [`report::chart`] |
//! | `images` | PNG and JPEG images as data |
//! | `cli` | the programs `train` and `inspect`, and [`train::Console`] |
//! | `parquet` | tables in Parquet files |
//! | `object-store` | checkpoints and runs at `s3://`, `gs://` and `az://` |
//! | `cuda`, `cudnn`, `metal`, `mkl`, `accelerate` | those of Candle |
#![deny(missing_docs)]
// Some of what the chapters share is for the trainer alone. The default build says what nobody uses.
#![cfg_attr(not(feature = "trainer"), allow(dead_code, unused_imports))]

mod aligned;
mod atomic_file;
mod backtrace;
pub mod checkpoint;
mod cpu;
#[cfg(feature = "trainer")]
pub mod data;
pub mod distributed;
mod field_names;
#[doc(hidden)]
#[cfg(feature = "trainer")]
pub mod figures;
#[doc(hidden)]
pub mod free_name;
mod hashed;
mod host;
pub mod loss;
pub mod memory;
pub mod metric;
pub mod model;
#[doc(hidden)]
pub mod nearest;
#[cfg(feature = "trainer")]
mod notice;
pub mod ops;
pub mod optim;
pub mod parameters;
#[cfg(feature = "trainer")]
pub mod proof;
#[cfg(feature = "trainer")]
pub mod reference;
mod registry;
mod regular;
mod remedy;
#[cfg(feature = "trainer")]
pub mod report;
pub mod rng;
pub mod schedule;
#[doc(hidden)]
#[cfg(feature = "trainer")]
pub mod shell;
#[cfg(feature = "trainer")]
pub mod starter;
pub mod state;
pub mod store;
mod tagged;
mod tensor_header;
#[doc(hidden)]
pub mod threads;
#[cfg(feature = "trainer")]
pub mod train;
#[cfg(feature = "trainer")]
pub mod trained;

#[cfg(feature = "trainer")]
pub use notice::Notice;
pub use registry::{Chosen, KindError};
