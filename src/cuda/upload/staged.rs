//! Uploads through two buffers of pinned memory in turn: one is filled while the device reads the other.

use std::fmt::Debug;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use candle_core::{DType, Device, Result, Shape, Storage, Tensor};

use super::{Arrival, Upload};
use crate::parameters::bytes_of;

/// Buffers of pinned memory.
const BUFFERS: usize = 2;

/// Two streams of a device, one that computes and one that copies to the device.
pub(super) trait Streams: Debug + Send + Sync + 'static {
    /// A buffer of pinned memory.
    type Pinned: Debug + Send;
    /// Memory on the device.
    type Memory: Send;
    /// A point in the stream for uploads.
    type Event: Debug + Send;

    /// Whether tensors of this type can arrive.
    fn takes(dtype: DType) -> bool;

    /// Pinned memory of `bytes` bytes.
    fn pinned(&self, bytes: usize) -> Result<Self::Pinned>;

    /// Fills the beginning of a buffer at once.
    fn fill(&self, pinned: &mut Self::Pinned, bytes: &[u8]) -> Result<()>;

    /// Memory of `bytes` bytes, for the stream for uploads.
    fn allocate(&self, bytes: usize) -> Result<Self::Memory>;

    /// Puts a copy of the beginning of `pinned` to the bytes `range` of `memory` on the stream for uploads.
    fn copy(&self, pinned: &Self::Pinned, memory: &mut Self::Memory, range: Range<usize>) -> Result<()>;

    /// The end of what is on the stream for uploads so far.
    fn event(&self) -> Result<Self::Event>;

    /// Waits for `event` on this thread.
    fn wait(&self, event: &Self::Event) -> Result<()>;

    /// Lets the stream of training wait for `event`.
    fn let_training_wait(&self, event: &Self::Event) -> Result<()>;

    /// Passes memory to the stream of training.
    fn arrive(&self, memory: Self::Memory, dtype: DType, shape: Shape) -> Result<Tensor>;

    /// The device.
    fn device(&self) -> Device;
}

/// Uploads to the device of `streams`.
#[derive(Debug)]
pub(super) struct Staged<S: Streams> {
    streams: Arc<S>,
    staging: Mutex<Staging<S>>,
    piece: usize,
    smallest: usize,
}

#[derive(Debug)]
struct Staging<S: Streams> {
    /// The buffer that was used last is the last one. They are made when they are first needed.
    buffers: Vec<Buffer<S>>,
}

#[derive(Debug)]
struct Buffer<S: Streams> {
    pinned: S::Pinned,
    /// When the device has read it.
    read: S::Event,
}

impl<S: Streams> Staged<S> {
    /// Uploads tensors of at least `smallest` bytes in pieces of `piece` bytes; smaller ones go the plain way.
    pub fn new(streams: S, piece: usize, smallest: usize) -> Self {
        let staging = Mutex::new(Staging { buffers: Vec::new() });
        Self { streams: Arc::new(streams), staging, piece, smallest }
    }

    /// Puts the copies of `bytes` on the stream for uploads; returns the memory that they go to.
    fn copy(&self, bytes: &[u8]) -> Result<(S::Memory, S::Event)> {
        let mut memory = self.streams.allocate(bytes.len())?;
        let mut staging = self.staging.lock().unwrap_or_else(PoisonError::into_inner);
        for start in (0..bytes.len()).step_by(self.piece) {
            let range = start..bytes.len().min(start + self.piece);
            let mut pinned = staging.next(&*self.streams, self.piece)?;
            self.streams.fill(&mut pinned, &bytes[range.clone()])?;
            self.streams.copy(&pinned, &mut memory, range)?;
            staging.buffers.push(Buffer { pinned, read: self.streams.event()? });
        }
        Ok((memory, self.streams.event()?))
    }
}

impl<S: Streams> Staging<S> {
    /// Takes the buffer that was used longest ago, once the device has read it.
    fn next(&mut self, streams: &S, piece: usize) -> Result<S::Pinned> {
        if self.buffers.len() < BUFFERS {
            return streams.pinned(piece);
        }
        let Buffer { pinned, read } = self.buffers.remove(0);
        streams.wait(&read)?;
        Ok(pinned)
    }
}

impl<S: Streams> Drop for Staged<S> {
    /// The device may still read a buffer, for a tensor that nobody waits for.
    fn drop(&mut self) {
        let staging = self.staging.get_mut().unwrap_or_else(PoisonError::into_inner);
        for buffer in &staging.buffers {
            let _ = self.streams.wait(&buffer.read);
        }
    }
}

impl<S: Streams> Upload for Staged<S> {
    fn begin(&self, tensor: &Tensor) -> Result<Arrival> {
        let streams = Arc::clone(&self.streams);
        let (dtype, shape) = (tensor.dtype(), tensor.shape().clone());
        let size = shape.elem_count() * dtype.size_in_bytes();
        let (storage, layout) = tensor.storage_and_layout();
        let (Storage::Cpu(storage), Some((start, end))) = (&*storage, layout.contiguous_offsets()) else {
            return Ok(plain(tensor, streams.device()));
        };
        if size < self.smallest || !S::takes(dtype) {
            return Ok(plain(tensor, streams.device()));
        }
        let all = bytes_of(storage).map_err(candle_core::Error::wrap)?;
        let (memory, copied) = self.copy(&all[start * dtype.size_in_bytes()..end * dtype.size_in_bytes()])?;
        Ok(Box::new(move || {
            streams.let_training_wait(&copied)?;
            streams.arrive(memory, dtype, shape)
        }))
    }
}

/// Copies in the stream of training, when the tensor arrives.
fn plain(tensor: &Tensor, device: Device) -> Arrival {
    let tensor = tensor.clone();
    Box::new(move || tensor.to_device(&device))
}
