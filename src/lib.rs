//! Rekindle: training for Candle that survives being killed.
#![deny(missing_docs)]

pub mod rng;
pub mod schedule;
pub mod state;
