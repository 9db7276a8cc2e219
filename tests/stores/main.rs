//! Runs and checkpoints in an object store.

#[path = "../common/mod.rs"]
mod common;

mod bucket;
mod checkpoints;
mod object_store;
mod streamed_formats;
mod streaming;
