//! One run in several processes: each computes some micro-batches of every batch, and all make the same update.
//!
//! A [`Communicator`] connects them. It only moves bytes. The sums are computed here, in one order for any number of
//! processes: a [`GradientSum`] adds the gradients of micro-batches along a binary tree over their numbers, so 1, 2, 3
//! or 4 processes make the same bits. A library's own all-reduce would choose an order by the number of processes and
//! the length of a vector.
//!
//! Your own training loop does what [`train::Session`](crate::train::Session) does: it makes a [`GradientSum`] for
//! each batch, adds the gradients of the micro-batches that are its own, and measures the gradients of the whole batch.

mod by_messages;
mod in_step;
mod launcher;
mod line;
mod link;
mod message;
#[cfg(feature = "mpi")]
mod mpi;
#[cfg(all(feature = "nccl", feature = "mpi"))]
mod nccl;
mod on_device;
#[cfg(any(test, all(feature = "nccl", feature = "mpi")))]
mod seats;
pub(crate) mod shards;
mod shared_memory;
mod single;
mod sum;
mod tree;

use std::error::Error;
use std::ops::Range;
use std::sync::Arc;

use candle_core::{Device, Tensor};

pub use in_step::{InStepError, Place, in_step};
pub use launcher::Launched;
pub use link::{ConnectError, DeviceLink};
pub use message::Message;
#[cfg(feature = "mpi")]
pub use mpi::Mpi;
pub use shared_memory::{Exchanged, Rooms, SharedMemory};
pub use single::SingleProcess;
pub use sum::{GradientSum, SumError};

/// Numbers that are exchanged at a time, so that the memory beside the gradients stays small.
const AT_ONCE: usize = 1 << 22;

/// Why a [`Communicator`] failed: another process has ended, for example. It is said in a message after the rank and
/// the step.
pub type CommunicatorError = Box<dyn Error + Send + Sync>;

/// The connection between the processes of a run. Each process calls the same methods in the same order, and waits in
/// each call for the others.
pub trait Communicator {
    /// The number of this process, from 0.
    fn rank(&self) -> usize;

    /// How many processes there are, at least 1.
    fn world(&self) -> usize;

    /// Sends a part of `parts` to each process, itself included: the first `sizes[0]` bytes to process 0, and so on.
    /// Returns what they send to this one, in the order of their numbers: `received_sizes[r]` bytes from process `r`.
    /// The processes agree on the sizes.
    ///
    /// # Errors
    /// Another process cannot be reached, or the wait was given up.
    fn all_to_all(
        &self,
        parts: Message,
        sizes: &[usize],
        received_sizes: &[usize],
    ) -> Result<Message, CommunicatorError>;

    /// Sends `own` to every process, itself included. Returns what they send, in the order of their numbers: `sizes[r]`
    /// bytes from process `r`. The sizes are the same in all processes.
    ///
    /// # Errors
    /// Another process cannot be reached, or the wait was given up.
    fn all_gather(&self, own: Message, sizes: &[usize]) -> Result<Message, CommunicatorError>;

    /// The number of this process among those on its machine, from 0. It chooses the GPU of the process.
    fn local_rank(&self) -> usize {
        0
    }

    /// Connects the devices of the processes, if this connection can, so that there is a [`Communicator::link`]. Each
    /// process calls it with its device, once, before the first step.
    ///
    /// # Errors
    /// As [`ConnectError`].
    fn connect(&self, _device: &Device) -> Result<(), ConnectError> {
        Ok(())
    }

    /// The way from device to device, if there is one. Gradients then do not pass through the memory of the host.
    fn link(&self) -> Option<&dyn DeviceLink> {
        None
    }

    /// The memory that the processes share, if all are on one host and have it. Gradients are then added there, and not
    /// sent.
    fn memory(&self) -> Option<&dyn SharedMemory> {
        None
    }
}

impl<C: Communicator + ?Sized> Communicator for Arc<C> {
    fn rank(&self) -> usize {
        (**self).rank()
    }

    fn world(&self) -> usize {
        (**self).world()
    }

    fn all_to_all(
        &self,
        parts: Message,
        sizes: &[usize],
        received_sizes: &[usize],
    ) -> Result<Message, CommunicatorError> {
        (**self).all_to_all(parts, sizes, received_sizes)
    }

    fn all_gather(&self, own: Message, sizes: &[usize]) -> Result<Message, CommunicatorError> {
        (**self).all_gather(own, sizes)
    }

    fn local_rank(&self) -> usize {
        (**self).local_rank()
    }

    fn connect(&self, device: &Device) -> Result<(), ConnectError> {
        (**self).connect(device)
    }

    fn link(&self) -> Option<&dyn DeviceLink> {
        (**self).link()
    }

    fn memory(&self) -> Option<&dyn SharedMemory> {
        (**self).memory()
    }
}

/// Returns the way from device to device, if all of `tensors` are on its device.
fn link_of<'c, 'a>(
    communicator: &'c dyn Communicator,
    mut tensors: impl Iterator<Item = &'a Tensor>,
) -> Option<&'c dyn DeviceLink> {
    communicator.link().filter(|link| tensors.all(|tensor| tensor.device().same_device(link.device())))
}

/// Returns what each process has given, in the order of their numbers; each may give a different number of bytes.
pub(crate) fn gather(communicator: &dyn Communicator, own: &[u8]) -> Result<Vec<Vec<u8>>, CommunicatorError> {
    let world = communicator.world();
    if world == 1 {
        return Ok(vec![own.to_vec()]);
    }
    let len = Message::of(&(own.len() as u64).to_ne_bytes());
    let sizes = communicator.all_gather(len, &vec![size_of::<u64>(); world])?;
    let sizes: Vec<usize> = sizes.numbers::<u64>().iter().map(|&size| size as usize).collect();
    let all = communicator.all_gather(Message::of(own), &sizes)?;
    let mut rest = all.bytes();
    let parts = sizes.iter().map(|&size| {
        let (part, after) = rest.split_at(size);
        rest = after;
        part.to_vec()
    });
    Ok(parts.collect())
}

/// Returns which of the `count` micro-batches of a batch process `rank` of `world` computes: neighbours, in the order of
/// the processes. None where there are fewer micro-batches than processes, in some of them.
pub(crate) fn share(count: usize, rank: usize, world: usize) -> Range<usize> {
    count * rank / world..count * (rank + 1) / world
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_micro_batch_is_computed_once_and_in_order_of_rank() {
        for (count, world) in [(1, 1), (5, 1), (4, 2), (5, 2), (5, 3), (1, 3), (8, 3)] {
            let shares = || (0..world).map(|rank| share(count, rank, world));
            assert!(shares().flatten().eq(0..count), "{count} micro-batches in {world} processes");
            assert!(shares().all(|share| share.len() <= count.div_ceil(world)));
        }
    }
}
