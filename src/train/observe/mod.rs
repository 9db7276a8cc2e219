//! A run from outside: what a terminal and other processes see of it, and how it is asked to stop.

#[cfg(feature = "cli")]
mod bar;
#[cfg(feature = "cli")]
pub(super) mod console;
pub(super) mod control;
#[cfg(feature = "cli")]
mod heartbeat;
pub(super) mod hooks;
pub(super) mod json_lines;
#[cfg(feature = "cli")]
mod lines;
#[cfg(feature = "cli")]
mod pauses;
pub(super) mod progress;
#[cfg(feature = "cli")]
mod remaining;
pub(super) mod signals;
mod tensorboard;

use std::path::Path;

use super::session::Session;
use super::sink::Sink;

/// Returns the sinks that the configuration asks for, for the run at `run`. Each has its line here.
pub(super) fn configured_sinks(session: &Session, run: &Path) -> Vec<Box<dyn Sink>> {
    [tensorboard::TensorBoard::configured(session, run)].into_iter().flatten().collect()
}
