//! A run from outside: what a terminal and other processes see of it, and how it is asked to stop.

#[cfg(feature = "cli")]
mod bar;
#[cfg(feature = "cli")]
pub(super) mod console;
pub(super) mod control;
#[cfg(feature = "cli")]
mod heartbeat;
#[cfg(feature = "cli")]
mod pauses;
pub(super) mod progress;
pub(super) mod signals;
