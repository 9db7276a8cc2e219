//! Rekindle: training for Candle that survives being killed.
#![deny(missing_docs)]

pub mod data;
pub mod model;
pub mod ops;
pub mod optim;
pub mod parameters;
pub mod rng;
pub mod state;
