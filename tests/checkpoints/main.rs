//! Checkpoints: format, saves, retention, and detection of damage.

#[path = "../common/mod.rs"]
mod common;
#[path = "../common_forge/mod.rs"]
mod common_forge;
#[path = "../common_signals/mod.rs"]
mod common_signals;

mod background;
mod crash;
mod damage;
mod docs;
mod format;
mod keep;
mod lessons;
mod old_versions;
mod save;
