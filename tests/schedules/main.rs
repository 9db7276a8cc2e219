//! Schedules: their forms, their numbers, and their memory.

#[path = "../common/mod.rs"]
mod common;
#[path = "../common_signals/mod.rs"]
mod common_signals;

mod custom;
mod docs;
mod expr;
mod faces;
mod lessons;
mod metric;
mod momentum_and_decay;
mod parity;
mod properties;
mod state;
