//! A run has one result, for any interruption and resume.

#[path = "../common/mod.rs"]
mod common;

mod accumulate;
mod averaged_weights;
mod averages;
mod components;
mod determinism;
mod device_full;
mod early_ends;
mod examples;
mod fashion;
mod fine_tuning;
mod gpt;
mod half_precision;
mod image_models;
mod intervals;
mod lessons;
mod loaders;
mod matrix;
mod notebook;
mod objectives;
mod own_loops;
mod own_optimizer;
mod own_parts;
mod pictures;
mod precision;
mod ranks;
mod resume_choices;
mod resume_data;
mod resume_equivalence;
mod shaped_gradients;
mod shared_saves;
mod sinks;
mod synchronized;
mod tensorboard;
mod tensorboard_images;
