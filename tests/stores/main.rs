//! Runs and checkpoints in an object store.

#[path = "../common/mod.rs"]
mod common;

mod checkpoints;
mod object_store;
