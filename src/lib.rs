//! Rekindle: training for Candle that survives being killed.
#![deny(missing_docs)]

pub mod checkpoint;
pub mod rng;
pub mod state;
