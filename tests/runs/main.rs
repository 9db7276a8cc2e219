//! A run has one result, for any interruption and resume.

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
mod custom_loop;
mod determinism;
mod examples;
mod fashion;
mod gpt;
mod image_models;
mod intervals;
mod notebook;
mod own_optimizer;
mod own_parts;
mod resume_choices;
mod resume_data;
mod resume_equivalence;
mod sinks;
