//! Requirements on the configuration of a run in several processes, and the data and the device of each.

use super::Session;
use crate::data::{Data, Share};
use crate::device;
use crate::distributed::{Communicator, ConnectError};
use crate::train::TrainError;
use crate::train::config::{Config, Exchange};
use crate::train::error::RanksError;

/// Refuses a run that several processes cannot compute together.
pub(super) fn check(communicator: &dyn Communicator, config: &Config) -> Result<(), TrainError> {
    let (world, pieces) = (communicator.world(), config.train.accumulate.unwrap_or(1));
    if let (true, Some(kind)) = (world > 1 && config.distributed.shard_optimizer, config.optimizer.needs_all_states()) {
        return Err(TrainError::Field {
            field: "distributed.shard_optimizer".to_owned(),
            value: "true".to_owned(),
            rule: format!("each process needs the whole state of `{kind}`; set it to false"),
        });
    }
    if let (true, Some(rule)) = (world > 1 && config.distributed.exchange == Exchange::Nccl, refused_nccl(config)) {
        let (field, value) = ("distributed.exchange".to_owned(), "nccl".to_owned());
        return Err(TrainError::Field { field, value, rule });
    }
    if world <= pieces {
        return Ok(());
    }
    Err(TrainError::Field {
        field: "train.accumulate".to_owned(),
        value: pieces.to_string(),
        rule: format!("each of the {world} processes computes a piece of every batch; must be at least {world}"),
    })
}

/// Returns why this build, or the device of the run, cannot use NCCL.
fn refused_nccl(config: &Config) -> Option<String> {
    if !cfg!(all(feature = "nccl", feature = "mpi")) {
        let built = "this program was built without it; a build with `--features nccl,mpi` can use it";
        return Some(format!("{built}, and \"host\" needs nothing else"));
    }
    let device = &config.device;
    (device::kind(device) != "cuda")
        .then(|| format!("it connects NVIDIA GPUs, and the device is `{device}`; set \"host\""))
}

impl Session {
    /// Connects the device of this process with those of the others, if gradients are to go that way. All processes call
    /// it, once all have a device.
    pub(in crate::train) fn connect(&self) -> Result<(), TrainError> {
        if self.config.distributed.exchange == Exchange::Host {
            return Ok(());
        }
        let (rank, world) = (self.communicator.rank(), self.communicator.world());
        Ok(self.communicator.connect(&self.device).map_err(|error| match error {
            ConnectError::Refused(reason) => RanksError::Devices(reason),
            ConnectError::Failed(error) => RanksError::Unconnected { rank, world, error },
            ConnectError::Lost(error) => RanksError::LostTouch { rank, world, step: self.step, error },
        })?)
    }
}

/// Returns the data of a process, which gathers only the rows that this one needs.
pub(super) fn shared(data: Data, communicator: &dyn Communicator, config: &Config) -> Result<Data, TrainError> {
    let (rank, world) = (communicator.rank(), communicator.world());
    if world == 1 {
        return Ok(data);
    }
    Ok(data.shared(Share { pieces: config.train.accumulate.unwrap_or(1), rank, world })?)
}
