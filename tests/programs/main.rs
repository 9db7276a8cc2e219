//! The programs `train` and `inspect` as a user runs them.

#[path = "../common/mod.rs"]
mod common;

mod bad_checkpoint;
mod bad_config;
mod bad_disk;
mod browser;
mod chart;
mod check_gpu;
mod clear_messages;
mod configuration;
mod device;
mod documents;
mod eval;
mod find_lr;
mod first_configuration;
mod hooks;
mod inspect_diff;
mod inspect_log;
mod inspect_lr;
mod inspect_report;
mod inspect_runs;
mod inspect_serve;
mod inspect_verify;
mod objectives;
mod old_mistakes;
mod on_terminal;
mod out_of_memory;
mod persons_files;
mod plan;
mod predict;
mod refusals;
mod sample;
mod serve_in_browser;
mod server;
mod shells;
mod sweep;
mod targets;
mod training_output;
mod typed_wrong;
mod watch;
