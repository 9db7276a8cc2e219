//! Rekindle: training for Candle that survives being killed.
#![deny(missing_docs)]

pub mod checkpoint;
pub mod data;
pub mod model;
pub mod ops;
pub mod optim;
pub mod parameters;
pub mod report;
pub mod rng;
pub mod schedule;
pub mod state;
pub mod train;
