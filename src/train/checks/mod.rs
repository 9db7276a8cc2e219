//! Checks before the first step: whether a run fits in memory, and settings that are probably mistakes.

pub(super) mod idle;
pub(super) mod kernels;
pub(super) mod memory;
pub(super) mod outlook;
pub(super) mod targets;
pub(super) mod unusual;
