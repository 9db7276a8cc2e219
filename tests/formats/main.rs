//! Every kind of data that a run reads: its rows, its order, and its errors.

#[path = "../common/mod.rs"]
mod common;
#[path = "../common_data/mod.rs"]
mod common_data;
#[path = "../common_forge/mod.rs"]
mod common_forge;
#[path = "../common_parquet/mod.rs"]
mod common_parquet;
#[path = "../common_signals/mod.rs"]
mod common_signals;

mod docs;
mod errors;
mod hard_inputs;
mod idx;
mod images;
mod order;
mod parquet;
mod reading;
mod tables;
mod text;
