//! The way of numbers from the device of one process to that of another, such as NCCL between GPUs.

use candle_core::{DType, Device, Tensor};
use thiserror::Error;

use super::CommunicatorError;

/// Moves numbers between the devices of the processes, without the memory of their hosts. It only moves them: the sums
/// are computed by the processes, so their order is the same as without it.
pub trait DeviceLink {
    /// The device of this process.
    fn device(&self) -> &Device;

    /// Sends `parts[r]`, a contiguous vector of type `dtype` on the device, to process `r`, itself included; `None` sends
    /// nothing. Returns what they send to this one as one vector, in the order of their numbers: `sizes[r]` numbers from
    /// process `r`. The processes call it together, and agree on the sizes. Returns when all has come; `None` if nothing
    /// comes.
    ///
    /// # Errors
    /// Another process cannot be reached, the wait was given up, or the device fails.
    fn exchange(
        &self,
        parts: &[Option<Tensor>],
        sizes: &[usize],
        dtype: DType,
    ) -> Result<Option<Tensor>, CommunicatorError>;
}

/// Why the devices of the processes cannot be connected.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The request is wrong; all processes know it.
    #[error("{0}")]
    Refused(String),
    /// It fails in this process; the others learn of it.
    #[error(transparent)]
    Failed(CommunicatorError),
    /// Another process cannot be reached, or has failed.
    #[error(transparent)]
    Lost(CommunicatorError),
}

#[cfg(test)]
pub(super) mod in_memory {
    //! Processes that are threads, whose devices are all the processor.

    use std::sync::mpsc::{Receiver, Sender, channel};

    use super::*;

    pub struct Linked {
        to: Vec<Sender<Option<Tensor>>>,
        from: Vec<Receiver<Option<Tensor>>>,
    }

    pub fn linked(world: usize) -> Vec<Linked> {
        let mut all: Vec<Linked> = (0..world).map(|_| Linked { to: Vec::new(), from: Vec::new() }).collect();
        for from in 0..world {
            for to in 0..world {
                let (sender, receiver) = channel();
                all[from].to.push(sender);
                all[to].from.push(receiver);
            }
        }
        all
    }

    impl DeviceLink for Linked {
        fn device(&self) -> &Device {
            &Device::Cpu
        }

        fn exchange(
            &self,
            parts: &[Option<Tensor>],
            sizes: &[usize],
            dtype: DType,
        ) -> Result<Option<Tensor>, CommunicatorError> {
            for (to, part) in self.to.iter().zip(parts) {
                assert!(part.iter().all(|part| part.is_contiguous() && part.rank() == 1 && part.dtype() == dtype));
                to.send(part.clone())?;
            }
            let mut received = Vec::new();
            for (from, &size) in self.from.iter().zip(sizes) {
                let part = from.recv()?;
                assert_eq!(part.iter().map(Tensor::elem_count).sum::<usize>(), size);
                received.extend(part);
            }
            Ok(if received.is_empty() { None } else { Some(Tensor::cat(&received, 0)?) })
        }
    }
}
