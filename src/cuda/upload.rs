//! Uploads of batches to a GPU beside training.
//!
//! A stream for uploads copies from pinned memory while the stream of training computes. When a batch arrives, the
//! stream of training waits for an event behind the copy, so no kernel reads a batch before it is complete.
//!
//! The memory on the GPU is allocated in the stream for uploads: in that of training, the copy would have to wait for
//! all kernels before it. With its arrival the memory passes to the stream of training. It is freed there in order,
//! behind the last kernel that reads it.

#[cfg(feature = "cuda")]
mod on_cuda;
#[cfg(test)]
pub(crate) mod slow;
#[cfg(any(test, feature = "cuda"))]
mod staged;

use std::fmt::Debug;
use std::sync::Arc;

use candle_core::{Device, Result, Tensor};

/// Copies tensors to a device beside its work.
pub(crate) trait Upload: Debug + Send + Sync {
    /// Begins to copy `tensor`, which is in host memory. Any thread may call it.
    ///
    /// # Errors
    /// The device fails, or has no memory left.
    fn begin(&self, tensor: &Tensor) -> Result<Arrival>;
}

/// Hands over a tensor to the device's stream of training. Only the thread of training calls it. Dropped instead, it
/// gives the memory back.
pub(crate) type Arrival = Box<dyn FnOnce() -> Result<Tensor> + Send>;

/// The uploads to `device`; `None` where the thread of training copies, as to all devices but NVIDIA GPUs.
pub(crate) fn to(device: &Device) -> Option<Arc<dyn Upload>> {
    match device {
        #[cfg(feature = "cuda")]
        Device::Cuda(device) => on_cuda::to(device).ok(),
        _ => None,
    }
}
