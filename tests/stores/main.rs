//! Runs and checkpoints in an object store.

#[path = "../common/mod.rs"]
mod common;
#[path = "../common_signals/mod.rs"]
mod common_signals;

mod checkpoints;
mod object_store;
