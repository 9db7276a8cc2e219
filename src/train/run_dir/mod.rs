//! The directory of a run, on the disk or in an object store: who may write in it, its log, and how it is recognized.
//! Nothing here trains.

pub(super) mod directory;
pub(super) mod held_disk;
pub(crate) mod lease;
pub(crate) mod log;
pub(super) mod log_order;
mod mirror;
pub(super) mod outcome;
pub(crate) mod place;
pub(crate) mod scratch;
mod segments;
mod timing;
pub(super) mod traces;
