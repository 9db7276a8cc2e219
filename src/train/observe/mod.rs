//! A run from outside: what a terminal and other processes see of it, and how it is asked to stop.

mod bar;
pub(super) mod console;
pub(super) mod control;
mod heartbeat;
mod pauses;
pub(super) mod progress;
pub(super) mod signals;
