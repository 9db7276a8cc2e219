//! The saves of a run: their times, their results, and the messages about them.

use std::time::Instant;

use super::Run;
use crate::checkpoint::Outcome::Replaced;
use crate::checkpoint::{CheckpointError, Saved};
use crate::train::TrainError;
use crate::train::sink::{Sink, flush};

impl Run {
    /// Begins a save when it is due; training waits until the one before it has finished.
    pub(super) fn save_when_due(&mut self, sink: &mut dyn Sink) -> Result<(), TrainError> {
        let ended = self.saver.finished();
        self.take_note(ended, sink)?;
        self.directory.require_held()?;
        let is_due = self.saves.are_due(self.session.step(), self.session.measured(), self.saving.1);
        let is_asked = self.control.take_save_request();
        if is_asked || is_due {
            sink.saving(self.session.step());
            self.await_save(sink)?;
            self.tend(sink)?;
            self.asked = is_asked.then(|| self.session.step());
            if let Err(error) = self.begin_save() {
                not_saved(self.session.step(), &error, sink);
            }
            flush(sink);
        }
        Ok(())
    }

    /// Restores files that have disappeared from the run directory, and reports it.
    ///
    /// # Errors
    /// Another process has trained there since.
    pub(super) fn tend(&mut self, sink: &mut dyn Sink) -> Result<(), TrainError> {
        match self.directory.require_in_place() {
            Ok(told) => told.iter().for_each(|told| sink.message(told)),
            Err(error @ TrainError::LockLost { .. }) => return Err(error),
            // The following save reports it.
            Err(_) => return Ok(()),
        }
        if let Some(told) = self.log.restore() {
            sink.message(&told);
        }
        Ok(())
    }

    /// Copies the state, and begins to write the copy.
    fn begin_save(&mut self) -> Result<(), TrainError> {
        let (step, began) = (self.session.step(), Instant::now());
        self.supersedes = self.saved_unvalidated && self.saving.0 == step;
        self.saving = (step, began);
        self.saved_unvalidated = self.session.unvalidated().is_some();
        self.directory.require_in_place()?;
        let log = self.log.written()?;
        let snapshot = self.session.fill(self.saver.snapshot_at(step), self.directory.path())?;
        self.saver.begin(snapshot, move |snapshot| {
            snapshot.require_finite("model")?;
            log.sync()
        });
        self.saves.cost = began.elapsed();
        self.directory.record_time("copied", step, self.saves.cost.as_secs_f64());
        Ok(())
    }

    pub(super) fn await_save(&mut self, sink: &mut dyn Sink) -> Result<(), TrainError> {
        let ended = self.saver.wait();
        self.take_note(ended, sink)
    }

    /// Handles the result of a save. A failed one does not end the run: the state is still in memory, older checkpoints
    /// are unchanged, and the next save tries again.
    fn take_note(
        &mut self,
        ended: Option<Result<Saved, CheckpointError>>,
        sink: &mut dyn Sink,
    ) -> Result<(), TrainError> {
        match ended.map(|ended| self.saved(ended)) {
            Some(Err(error @ TrainError::NotFinite { .. })) => return Err(error),
            Some(Err(error)) => {
                self.asked = None;
                self.directory.require_held()?;
                not_saved(self.saving.0, &error, sink);
            }
            Some(Ok(())) => {
                if let Some(step) = self.asked.take() {
                    sink.message(&format!("saved step {step}"));
                }
            }
            None => {}
        }
        Ok(())
    }

    fn saved(&mut self, ended: Result<Saved, CheckpointError>) -> Result<(), TrainError> {
        let (step, began) = self.saving;
        self.saves.cost += self.saver.took();
        match ended {
            Ok(saved) => {
                if let (true, Replaced { aside }) = (self.supersedes, saved.outcome) {
                    // The new one contains everything that the one from before the validation did. A failure to remove
                    // it is harmless.
                    let _ = std::fs::remove_dir_all(aside);
                }
                self.last_checkpoint = Some(saved.path);
                self.put_at_stake();
            }
            Err(CheckpointError::NotFinite { tensor, .. }) => {
                return Err(self.not_finite(&format!("parameter `{tensor}`"), step, &self.session.rates()));
            }
            Err(error) => return Err(error.into()),
        }
        self.directory.record_time("saved", step, began.elapsed().as_secs_f64());
        Ok(())
    }

    /// Saves the state, and returns once it is durable.
    pub(super) fn save(&mut self) -> Result<(), TrainError> {
        self.begin_save()?;
        match self.saver.wait() {
            Some(ended) => self.saved(ended),
            None => Ok(()),
        }
    }
}

fn not_saved(step: u64, error: &TrainError, sink: &mut dyn Sink) {
    sink.message(&format!("step {step} is not saved: {error}; training continues"));
}
