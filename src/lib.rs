//! Rekindle trains Candle models so that a run survives being killed: after a resume, its weights, learning rates and
//! log have the same bits as in a run that was never interrupted.
//!
//! To read the code, follow the order of its dependencies:
//!
//! 1. [`rng`]: random numbers as a function of seed, purpose, step and index. [`state`]: the trait of everything that
//!    has memory. These two are the core of the crate. [`Notice`]: messages to the user before a run.
//! 2. [`schedule`]: the learning rate as a function of the step. [`parameters`] and [`optim`]: named weights and their
//!    updates; [`distributed`]: sums over several processes. [`ops`] and [`model`]: the operations and models to train.
//!    [`loss`]: the function to minimize; [`metric`]: further results of a validation. [`data`]: the rows to train on.
//!    [`memory`]: whether something fits.
//! 3. [`checkpoint`]: a state as a directory that is complete or absent, on disk or in an object [`store`].
//! 4. [`train`]: all of these in one loop, [`train::Run`]. [`trained`]: a trained model in use. [`report`]: the results
//!    of a run. [`proof`]: a test that kills change nothing. [`mod@reference`]: every key of a configuration.
//!    [`starter`]: a first configuration for your data. [`sweep`]: many runs with other settings.
//!
//! The programs `train` and `inspect` are thin wrappers around the last of these. To write your own training loop, use
//! [`Trainer`], a loop for any model, or the others; `docs/library.md` teaches both. Items that are public for these
//! programs, the tests and the fuzz targets alone are hidden from these pages and may change at any time.
//!
//! # Features
//!
//! The default build has the first four. Your own training loop needs none of them: with `default-features = false`
//! the library lacks [`data`], [`train`] and the other modules of 4, and needs few crates beyond those of Candle.
//!
//! | feature | adds |
//! |---|---|
//! | `trainer` | the trainer's loop for your program: [`data`], [`train`] and the other modules of 4 |
//! | `charts` | charts as SVG and PNG, in [`report::chart`] |
//! | `images` | images as data: PNG, JPEG, WebP, BMP, GIF |
//! | `cli` | the programs `train` and `inspect`, [`train::Console`], and [`serve`], runs in the browser |
//! | `peers` | other trainers' checkpoints: read, continued and written back, in [`peers`]; [`proof`], which compares them too |
//! | `parquet` | tables in Parquet files |
//! | `object-store` | checkpoints and runs at `s3://`, `gs://` and `az://` |
//! | `cuda` | NVIDIA GPUs, with kernels that are compiled in the build (docs/cuda.md) |
//! | `mpi` | runs in several processes, connected by Open MPI or MPICH (docs/scaling.md) |
//! | `nccl` | with `mpi`, gradients that go from GPU to GPU (docs/scaling.md) |
//! | `cudnn`, `metal`, `mkl`, `accelerate` | those of Candle; the first one only serves code of your own |
#![deny(missing_docs)]
// Some shared code is used by some features alone. The default build reports code that nothing uses.
#![cfg_attr(not(all(feature = "charts", feature = "peers")), allow(dead_code, unused_imports))]

mod aligned;
mod atomic_file;
mod backtrace;
pub mod checkpoint;
#[cfg(feature = "cli")]
#[doc(hidden)]
pub mod command_line;
mod cpu;
#[cfg(feature = "trainer")]
#[doc(hidden)]
pub mod crc32c;
// A build without the feature checks the code that launches kernels, and never runs it.
#[cfg_attr(not(any(feature = "cuda", test)), allow(dead_code, unused_variables, unused_imports, unreachable_code))]
mod cuda;
#[cfg(feature = "trainer")]
pub mod data;
pub mod device;
pub mod distributed;
#[cfg(feature = "trainer")]
#[doc(hidden)]
pub mod duration;
mod field_names;
#[doc(hidden)]
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
#[cfg(feature = "peers")]
pub mod peers;
#[doc(hidden)]
pub mod plain;
#[cfg(feature = "peers")]
pub mod proof;
#[cfg(feature = "trainer")]
mod protobuf;
#[cfg(feature = "trainer")]
mod read_ahead;
#[cfg(feature = "trainer")]
pub mod reference;
mod registry;
mod regular;
mod remedy;
#[cfg(feature = "trainer")]
pub mod report;
pub mod rng;
pub mod schedule;
#[cfg(feature = "cli")]
pub mod serve;
#[doc(hidden)]
#[cfg(feature = "trainer")]
pub mod shell;
#[cfg(feature = "trainer")]
pub mod starter;
pub mod state;
#[cfg(feature = "cli")]
#[doc(hidden)]
pub mod stdout;
pub mod store;
#[cfg(feature = "trainer")]
pub mod sweep;
mod tagged;
mod tensor_header;
#[doc(hidden)]
pub mod threads;
#[cfg(feature = "trainer")]
pub mod train;
#[cfg(feature = "trainer")]
pub mod trained;
pub mod trainer;
#[cfg(feature = "charts")]
mod typeface;
#[cfg(feature = "cli")]
#[doc(hidden)]
pub mod watch;
#[cfg(feature = "trainer")]
mod wrapped;
#[cfg(feature = "trainer")]
mod zip;

#[doc(hidden)]
pub use cuda::kernel_launches;
#[cfg(feature = "trainer")]
pub use notice::Notice;
pub use registry::{Chosen, KindError};
pub use trainer::Trainer;

/// The programs of `docs/library.md`, which the tests compile and run.
#[cfg(doctest)]
#[doc = include_str!("../docs/library.md")]
mod library_page {}
