//! Every kind of data that a run reads: its rows, its order, and its errors.

#[path = "../common/mod.rs"]
mod common;

mod docs;
mod documents;
mod errors;
mod hard_inputs;
mod idx;
mod images;
mod order;
mod packed;
mod parquet;
mod parts;
mod pictures;
mod reading;
mod tables;
mod tensors;
mod text;
