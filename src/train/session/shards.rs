//! The optimizer's state in a run of several processes that share it.

use super::Session;
use crate::distributed::shards::{self, Form};
use crate::train::TrainError;

impl Session {
    /// Whether the processes of the run share the optimizer's state.
    pub(in crate::train) fn is_sharded(&self) -> bool {
        self.config.distributed.shard_optimizer && self.communicator.world() > 1
    }

    /// Leaves the states of other parameters to the other processes from now on.
    pub(in crate::train) fn shard(&mut self) {
        if self.is_sharded() {
            let owners = self.owners();
            let owns: Vec<bool> = owners.into_iter().map(|owner| owner == self.communicator.rank()).collect();
            self.optimizer.keep(&owns);
        }
    }

    pub(super) fn owners(&self) -> Vec<usize> {
        let sizes: Vec<usize> = self.optimizer.parameters().iter().map(|parameter| parameter.elem_count()).collect();
        shards::owners(&sizes, self.communicator.world())
    }

    /// Gives the parameters that this process has updated to the others, and takes in theirs.
    pub(super) fn share_weights(&self) -> Result<(), TrainError> {
        if !self.is_sharded() {
            return Ok(());
        }
        let shared = shards::share(&*self.communicator, &self.optimizer.parameters(), &self.owners());
        shared.map_err(|error| self.disconnected(error))
    }

    /// Collects all states in the first process, if that one says that it is about to save. All processes call this at
    /// the same step; [`Session::release_states`] frees them again.
    pub(in crate::train) fn collect_states(&mut self, is_about_to_save: bool) -> Result<(), TrainError> {
        if !self.is_sharded() {
            return Ok(());
        }
        let words = self.gather(&[u8::from(is_about_to_save)])?;
        if words.first().is_none_or(|word| word != &[1]) {
            return Ok(());
        }
        let owners = self.owners();
        let forms = self.optimizer.forms().into_iter();
        let form =
            |(shape, dtype, device, number): (_, _, _, usize)| Form { shape, dtype, device, owner: owners[number] };
        let forms: Vec<Form> = forms.map(form).collect();
        let states = shards::collect(&*self.communicator, &self.optimizer.own_states(), &forms);
        let states = states.map_err(|error| self.disconnected(error))?;
        if self.communicator.rank() == 0 {
            self.optimizer.take_in(states)?;
        }
        Ok(())
    }

    /// Frees the states that belong to other processes, and those lent.
    pub(in crate::train) fn release_states(&mut self) {
        if self.is_sharded() {
            self.optimizer.release();
            self.end_lending();
        }
    }
}
