//! Saves of a shared optimizer's state by its owners. Each process writes its states; the first one also writes those that
//! lie too close to the states of others, which lend it the bytes ([`crate::checkpoint`]).

use std::sync::Arc;

use super::Session;
use crate::checkpoint::{Layout, Owned, Snapshot};
use crate::distributed::shards;
use crate::parameters::host_dtype;
use crate::train::TrainError;

/// The states of all processes in the file of a checkpoint, and the bytes that were lent to this one.
#[derive(Clone)]
pub(super) struct LentStates {
    layout: Arc<Layout>,
    bytes: Arc<Vec<Vec<u8>>>,
}

/// The part of a checkpoint.
const PART: &str = "optimizer";

impl Session {
    /// Lets each process save its own states from now on, until [`Session::release_states`]. All processes call it at the
    /// same step. Returns false if the states are in one process, or there are none.
    pub(in crate::train) fn lend_states(&mut self) -> Result<bool, TrainError> {
        if !self.is_sharded() {
            return Ok(false);
        }
        let (owners, names) = (self.owners(), self.optimizer.state_names());
        let forms = self.optimizer.forms().into_iter().zip(names);
        let owned = forms.map(|((shape, dtype, _, number), name)| Owned {
            name,
            dtype: host_dtype(dtype),
            shape: shape.into_dims(),
            rank: owners[number],
        });
        let owned: Vec<Owned> = owned.collect();
        if owned.is_empty() {
            return Ok(false);
        }
        let layout = Layout::of(PART, owned)?;
        let (lent, rank) = (layout.lent(), self.communicator.rank());
        let own = lent.iter().filter(|lent| lent.rank == rank);
        let own = own.map(|lent| self.optimizer.numbers(&lent.tensor, lent.bytes.clone()));
        let own = own.collect::<candle_core::Result<Vec<_>>>()?;
        let sizes = lent.iter().map(|lent| (lent.rank, (lent.bytes.end - lent.bytes.start) as usize));
        let bytes = shards::lend(&*self.communicator, &own, &sizes.collect::<Vec<_>>());
        let bytes = bytes.map_err(|error| self.disconnected(error))?;
        self.lent = Some(LentStates { layout: Arc::new(layout), bytes: Arc::new(bytes) });
        self.optimizer.leave_out(true);
        Ok(true)
    }

    /// Ends that.
    pub(super) fn end_lending(&mut self) {
        self.lent = None;
        self.optimizer.leave_out(false);
    }

    /// Says in `snapshot` who has which state, if each process saves its own.
    pub(super) fn with_owners(&self, snapshot: Snapshot) -> Snapshot {
        match &self.lent {
            Some(LentStates { layout, bytes }) => snapshot.owned(PART, Arc::clone(layout), Arc::clone(bytes)),
            None => snapshot,
        }
    }
}
