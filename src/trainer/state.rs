//! The state of a run: how it is restored and saved.

use std::time::Instant;

use serde_json::Value;

use super::error::TrainerError;
use super::hooks::SaveEnd;
use super::settings::Trainer;
use super::steps::Loop;
use super::updates::Updates;
use crate::checkpoint::{Checkpoint, CheckpointError, Folder, Newest, Saved, Snapshot, WrittenBy};
use crate::schedule::Scheduler;
use crate::state::Stateful;

/// Names of the parts that every run has.
const MODEL: &str = "model";
const OPTIMIZER: &str = "optimizer";
const SCHEDULER: &str = "schedulers.lr";

impl<B> Trainer<'_, B> {
    /// Restores the newest valid checkpoint of `folder`, if it has one, and returns its step.
    pub(super) fn restore(
        &mut self,
        updates: &mut dyn Updates,
        scheduler: &mut Scheduler,
        folder: &Folder,
        here: &WrittenBy,
    ) -> Result<Option<u64>, TrainerError> {
        for path in folder.sweep()? {
            tracing::info!("removed the remains of a killed save: {}", path.display());
        }
        let Some(Newest { checkpoint, damaged }) = folder.newest()? else { return Ok(None) };
        damaged.iter().for_each(|damaged| tracing::warn!("a checkpoint is skipped: {damaged}"));
        for difference in checkpoint.manifest().written_by.differences(here) {
            tracing::warn!("the same bits are not promised: {difference}");
        }
        self.require_longer_than(&checkpoint)?;
        let own: [(&str, &mut dyn Stateful); 3] =
            [(MODEL, &mut self.parameters), (OPTIMIZER, updates), (SCHEDULER, &mut *scheduler)];
        let mut parts = Vec::from(own);
        parts.extend(self.parts.iter_mut().map(|(name, part)| (name.as_str(), &mut **part as &mut dyn Stateful)));
        checkpoint.restore(&mut parts)?;
        let (step, t) = (checkpoint.step(), scheduler.t());
        if t != step {
            let reason = format!("has the step {step}, and its schedule {t}: it was saved by another program");
            return Err(TrainerError::Checkpointed { path: checkpoint.path().to_owned(), reason });
        }
        Ok(Some(step))
    }

    /// Refuses a run that is shorter than its finished part.
    fn require_longer_than(&self, checkpoint: &Checkpoint) -> Result<(), TrainerError> {
        let (done, steps) = (checkpoint.step(), self.steps);
        if done <= steps {
            return Ok(());
        }
        let reason =
            format!("has {done} updates already, and the run {steps} in all; give `Trainer::steps` at least that");
        Err(TrainerError::Checkpointed { path: checkpoint.path().to_owned(), reason })
    }
}

impl<B> Loop<'_, B> {
    /// Saves if it is due. Training waits for a copy of the state, and for the end of the save before.
    pub(super) fn save_when_due(&mut self) -> Result<(), TrainerError> {
        if let Some(ended) = self.saver.finished() {
            self.tell_saved(ended)?;
        }
        let step = self.scheduler.t();
        let is_multiple = self.settings.save_every.is_some_and(|every| step.is_multiple_of(every));
        // Each is asked, so that no request is left for a later step.
        let asked = self.settings.requests.save.iter_mut().filter_map(|save| save().then_some(())).count();
        if is_multiple || asked > 0 || self.last_save.elapsed() >= self.settings.save_after {
            self.begin_save()?;
        }
        Ok(())
    }

    fn begin_save(&mut self) -> Result<(), TrainerError> {
        self.await_save()?;
        let snapshot = self.saver.snapshot_at(self.scheduler.t());
        let snapshot = self.filled(snapshot)?;
        let (log, path) = self.log.handle()?;
        // No checkpoint is on the disk before the lines of its steps.
        self.saver.begin(snapshot, move |snapshot| {
            snapshot.require_finite(MODEL)?;
            log.sync_data().map_err(|error| CheckpointError::Io { operation: "flush", path, error })
        });
        (self.saving, self.last_save) = (self.scheduler.t(), Instant::now());
        Ok(())
    }

    /// Adds every part to `snapshot`, and what shows where the run stands.
    fn filled(&self, snapshot: Snapshot) -> Result<Snapshot, CheckpointError> {
        let metrics: Value = self.metrics.iter().map(|(name, value)| (name.as_str(), *value)).collect();
        let snapshot = snapshot
            .field("epoch", self.scheduler.t() / self.steps_per_epoch)?
            .field("steps_per_epoch", self.steps_per_epoch)?
            .field("total_steps", self.settings.steps)?
            .field("metrics", metrics)?
            .part(MODEL, &self.settings.parameters)?
            .part(OPTIMIZER, &*self.updates)?
            .part(SCHEDULER, &self.scheduler)?;
        let parts = &self.settings.parts;
        parts.iter().try_fold(snapshot, |snapshot, (name, part)| snapshot.part(name, &**part))
    }

    /// Waits for the save in flight.
    fn await_save(&mut self) -> Result<(), TrainerError> {
        self.saver.wait().map_or(Ok(()), |ended| self.tell_saved(ended))
    }

    /// Tells the hooks how a save has ended. If it has failed, the next one tries again: the state is still in memory.
    fn tell_saved(&mut self, ended: Result<Saved, CheckpointError>) -> Result<(), TrainerError> {
        let step = self.saving;
        let end = SaveEnd { step, result: ended.as_ref().map(|saved| saved.path.as_path()) };
        self.settings.hooks.save.iter_mut().for_each(|hook| hook(&end));
        self.failed = match ended {
            Ok(_) => {
                self.saved = Some(step);
                None
            }
            Err(CheckpointError::NotFinite { tensor, .. }) => {
                return Err(TrainerError::NotFinite { what: format!("the parameter `{tensor}`"), step });
            }
            Err(error) => {
                tracing::warn!("step {step} is not saved: {error}");
                Some(error)
            }
        };
        Ok(())
    }

    /// Saves the state unless there is a checkpoint of it, and returns once it is durable.
    pub(super) fn save_now(&mut self) -> Result<(), TrainerError> {
        self.await_save()?;
        if self.saved != Some(self.scheduler.t()) {
            self.begin_save()?;
            self.await_save()?;
        }
        self.failed.take().map_or(Ok(()), |error| Err(error.into()))
    }
}
