//! Schedules: their forms, their numbers, and their memory.

#[path = "../common/mod.rs"]
mod common;

mod custom;
mod docs;
mod expr;
mod faces;
mod lessons;
mod like;
mod metric;
mod momentum_and_decay;
mod parity;
mod properties;
mod state;
