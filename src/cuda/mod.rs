//! Kernels for NVIDIA GPUs: how they are launched, and where their results lie; copies to and from a GPU.
//!
//! The kernels themselves are CUDA C++ in `kernels/`. A build with the feature `cuda` compiles them to PTX
//! (`build.rs`). The tests compile the same sources for the processor ([`host`]), and run every operation through the
//! code that launches it on a GPU.

#[cfg(feature = "cuda")]
mod device;
mod groups;
#[cfg(test)]
pub(crate) mod host;
mod launch;
mod place;
mod sums;
mod tables;
pub(crate) mod transfer;
pub(crate) mod upload;

pub(crate) use groups::Group;
pub(crate) use launch::Launch;
pub use launch::kernel_launches;
pub(crate) use place::{Output, Place};
pub(crate) use sums::{PART_ROWS, column_sums, mean_of_parts, total_of_parts, wide};
pub(crate) use tables::Tables;
