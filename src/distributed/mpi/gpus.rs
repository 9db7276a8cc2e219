//! The connection between the GPUs of the processes: made by NCCL, and watched by the signs of life over MPI.

use candle_core::{DType, Device, Tensor};

use super::Shared;
use crate::distributed::nccl::Nccl;
use crate::distributed::{CommunicatorError, ConnectError, DeviceLink};

impl Shared {
    /// Connects the GPUs of the processes, if they compute on GPUs.
    pub(super) fn connect_gpus(&self, device: &Device) -> Result<(), ConnectError> {
        let Device::Cuda(gpu) = device else { return Ok(()) };
        match Nccl::connect(self, gpu, &|| self.reason_to_give_up()) {
            Ok(connected) => {
                // It is connected once.
                let _ = self.gpus.set(connected);
                Ok(())
            }
            Err(error) => {
                // The others wait for this process, in a call that does not end.
                if let (ConnectError::Failed(_), Some(heartbeat)) = (&error, &self.heartbeat) {
                    heartbeat.fail(self.rank);
                }
                Err(error)
            }
        }
    }
}

impl DeviceLink for Shared {
    fn device(&self) -> &Device {
        self.gpus.get().map_or(&Device::Cpu, Nccl::device)
    }

    fn exchange(
        &self,
        parts: &[Option<Tensor>],
        sizes: &[usize],
        dtype: DType,
    ) -> Result<Option<Tensor>, CommunicatorError> {
        let gpus = self.gpus.get().ok_or("the GPUs of the processes are not connected")?;
        gpus.exchange(parts, sizes, dtype, &|| self.reason_to_give_up())
    }
}
