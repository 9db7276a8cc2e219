//! Synchronized batch norms: the micro-batches of a batch are computed at the same time, and the statistics of all are
//! those of each.

use std::ops::Range;

use candle_core::Device;

use super::Session;
use crate::cpu;
use crate::distributed::{self, InStepError, Place};
use crate::ops::{self, Seen};
use crate::parameters::Parameters;
use crate::train::TrainError;
use crate::train::config::Config;

/// Refuses a run with synchronized batch norms that its model or its device does not have.
pub(super) fn check(config: &Config, device: &Device, buffers: &Parameters) -> Result<(), TrainError> {
    let rule = match () {
        () if !config.train.has_sync_batch_norm() => return Ok(()),
        () if buffers.is_empty() => "the model has no batch norm; remove it",
        () if !device.is_cpu() => {
            "only `device = \"cpu\"` has synchronized batch norms; remove it, or change the device"
        }
        () if !cpu::has_kernels() => {
            "only the kernels of the CPU have synchronized batch norms; remove it, or use these"
        }
        () => return Ok(()),
    };
    Err(TrainError::Field {
        field: "train.sync_batch_norm".to_owned(),
        value: "true".to_owned(),
        rule: rule.to_owned(),
    })
}

impl Session {
    /// Whether batch norms take the statistics of all micro-batches of a batch of `pieces`.
    pub(super) fn is_synchronized(&self, pieces: usize) -> bool {
        self.config.train.has_sync_batch_norm() && pieces > 1
    }

    /// Calls `work` for the micro-batches of this process at the same time, with synchronized batch norms. Their running
    /// statistics move once, in the process that has micro-batch 0.
    pub(super) fn in_step<T: Send>(
        &self,
        own: Range<usize>,
        work: impl Fn(usize) -> Result<T, TrainError> + Sync,
    ) -> Result<Vec<T>, TrainError> {
        let has_first = own.contains(&0);
        let compute = |number: usize, place: Place| {
            let exchange = move |numbers| place.exchange(numbers);
            let (found, seen) = ops::collect_seen(|| ops::synchronized(exchange, || work(number)));
            found.map(|found| (found, seen))
        };
        let found = distributed::in_step(&*self.communicator, own, compute).map_err(|error| match error {
            InStepError::Thread(error) => candle_core::Error::wrap(error).into(),
            InStepError::Communicator(error) => self.disconnected(error),
            InStepError::Work(error) => error,
        })?;
        let (found, mut seen): (Vec<T>, Vec<Vec<Seen>>) = found.into_iter().unzip();
        // All have seen the same statistics.
        if has_first {
            seen.swap_remove(0).into_iter().try_for_each(Seen::settle)?;
        }
        Ok(found)
    }
}
