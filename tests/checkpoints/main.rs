//! Checkpoints: their format, how they are saved and kept, and how damage is found.

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
