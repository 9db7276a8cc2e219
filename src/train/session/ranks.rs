//! Requirements on the configuration of a run in several processes, and the data of each.

use crate::data::{Data, Share};
use crate::distributed::Communicator;
use crate::train::TrainError;
use crate::train::config::Config;

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
    if world <= pieces {
        return Ok(());
    }
    Err(TrainError::Field {
        field: "train.accumulate".to_owned(),
        value: pieces.to_string(),
        rule: format!("each of the {world} processes computes a piece of every batch; must be at least {world}"),
    })
}

/// Returns the data of a process, which gathers only the rows that this one needs.
pub(super) fn shared(data: Data, communicator: &dyn Communicator, config: &Config) -> Result<Data, TrainError> {
    let (rank, world) = (communicator.rank(), communicator.world());
    if world == 1 {
        return Ok(data);
    }
    Ok(data.shared(Share { pieces: config.train.accumulate.unwrap_or(1), rank, world })?)
}
