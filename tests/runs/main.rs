//! A run has one result, however it is interrupted and resumed.

#[path = "../common/mod.rs"]
mod common;
#[path = "../common_data/mod.rs"]
mod common_data;
#[path = "../common_parquet/mod.rs"]
mod common_parquet;
#[path = "../common_signals/mod.rs"]
mod common_signals;

mod accumulate;
mod components;
mod determinism;
mod examples;
mod fashion;
mod gpt;
mod image_models;
mod intervals;
mod notebook;
mod own_optimizer;
mod own_parts;
mod precision;
mod ranks;
mod resume_choices;
mod resume_data;
mod resume_equivalence;
mod sinks;
