//! The save after a step, which all processes of a run may write together.

use super::Run;
use crate::checkpoint::CheckpointError;
use crate::store;
use crate::train::TrainError;
use crate::train::sink::{Outcome, Sink};

/// How the processes make a save.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Shared {
    /// There is none, or the first process has, or collects, all that it writes.
    No,
    /// Each writes a share of what all have.
    Bytes,
    /// Each also writes the states of the optimizer that it has.
    States,
}

impl Run {
    /// Begins a save if one is due, after a step that all processes have made.
    pub(super) fn save_when_due(&mut self, sink: &mut dyn Sink) -> Result<(), TrainError> {
        let is_due = self.keeper.as_mut().is_some_and(|keeper| keeper.is_due(&self.session));
        let shared = match self.share_save(is_due, sink) {
            // This process can still save alone.
            Err(error @ TrainError::Ranks(_)) => return Err(self.save_before(error, sink)),
            shared => shared?,
        };
        if shared != Shared::States {
            self.session.collect_states(is_due)?;
        }
        if let Some(keeper) = &mut self.keeper {
            keeper.save_if(is_due, &self.session, sink)?;
        }
        self.session.release_states();
        Ok(())
    }

    /// Begins a save if one is due, in the first process alone, which the others do not know of.
    pub(super) fn save_alone_when_due(&mut self, sink: &mut dyn Sink) -> Result<(), TrainError> {
        let Some(keeper) = &mut self.keeper else { return Ok(()) };
        let is_due = keeper.is_due(&self.session);
        keeper.save_if(is_due, &self.session, sink)
    }

    /// All processes learn whether the first one is about to save, and each begins to write its share.
    fn share_save(&mut self, is_due: bool, sink: &mut dyn Sink) -> Result<Shared, TrainError> {
        if !self.session.shares_saves() || store::is_url(&self.path) {
            return Ok(Shared::No);
        }
        let name = match &mut self.keeper {
            Some(keeper) if is_due => keeper.stage(&self.session, sink)?,
            _ => None,
        };
        let name = self.session.tell(name.unwrap_or_default())?;
        if name.is_empty() {
            return Ok(Shared::No);
        }
        let lends = self.session.lend_states()?;
        if self.keeper.is_none()
            && let Err(error) = self.begin_share(&name)
        {
            tracing::warn!("this process does not write its share of a checkpoint: {error}");
            self.helper.decline(&self.path.join("checkpoints"), &name, self.session.place()[0]);
        }
        Ok(if lends { Shared::States } else { Shared::Bytes })
    }

    fn begin_share(&mut self, name: &str) -> Result<(), CheckpointError> {
        let snapshot = self.session.fill_shared(self.helper.snapshot_at(self.session.step()))?;
        let folder = self.path.join("checkpoints");
        self.helper.begin(snapshot, &folder, name, self.session.place());
        Ok(())
    }

    /// The last save of a run that ends in order. One for a stop is made by the first process alone: it has little time,
    /// and others may be gone.
    pub(super) fn share_last_save(&mut self, outcome: &Outcome, sink: &mut dyn Sink) -> Result<(), TrainError> {
        if self.has_ended_together && matches!(outcome, Outcome::Finished | Outcome::EndedEarly { .. }) {
            let is_behind = self.keeper.as_ref().is_some_and(|keeper| keeper.is_behind(&self.session));
            match self.share_save(is_behind, sink) {
                // This process saves alone.
                Err(TrainError::Ranks(_)) => {}
                Err(error) => return Err(error),
                Ok(Shared::States) => {
                    if let Some(keeper) = &mut self.keeper {
                        keeper.save_if(true, &self.session, sink)?;
                    }
                    self.session.release_states();
                }
                Ok(Shared::Bytes | Shared::No) => {}
            }
        }
        // The process may end after this.
        self.helper.wait();
        Ok(())
    }
}
