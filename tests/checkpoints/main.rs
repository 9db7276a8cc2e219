//! Checkpoints: format, saves, retention, and detection of damage.

#[path = "../common/mod.rs"]
mod common;

mod background;
mod crash;
mod damage;
mod docs;
mod format;
mod keep;
mod lessons;
mod old_versions;
mod save;
