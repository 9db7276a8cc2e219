//! Real processes: kills, two writers, and the kill test.

#[path = "../common/mod.rs"]
mod common;
#[path = "../common_programs/mod.rs"]
mod common_programs;
#[path = "../common_signals/mod.rs"]
mod common_signals;

mod kill;
mod one_writer;
mod prove;
