//! The end of a run, and of a step: validations, saves for a stop, and the reasons to stop.

use std::time::{Duration, Instant};

use super::Run;
use crate::train::TrainError;
use crate::train::metrics::Evaluation;
use crate::train::observe::control::{Requests, TIME_IS_UP};
use crate::train::record::StepRecord;
use crate::train::sink::{Outcome, Sink};

impl Run {
    /// All processes have come to the last step of this run, or of this process: none has to be left behind.
    pub(super) fn end_together(&mut self) {
        self.has_ended_together = true;
        self.control.needs_others(true);
    }

    /// Saves the state before the batch that failed, so that no update is lost.
    pub(super) fn save_before(&mut self, error: TrainError, sink: &mut dyn Sink) -> TrainError {
        if let Err(unsaved) = self.finish(Outcome::Finished, sink) {
            sink.message(&format!("warning: step {} is not saved: {unsaved}", self.session.step()));
        }
        error
    }

    /// Returns how the run ends after this step, which is not its last one. Several processes agree on it.
    pub(super) fn end_after_step(&self, asked: Requests) -> Option<Outcome> {
        let early = self.session.ends_early().map(|reason| Outcome::EndedEarly { reason });
        let stop = if self.session.world() == 1 { self.control.stop_requested() } else { asked.stop };
        early.or_else(|| stop.map(stopped)).or_else(|| self.is_far_enough().then_some(Outcome::StepReached))
    }

    /// Whether the run has come to the step up to which it was to train. All processes know it.
    pub(super) fn is_far_enough(&self) -> bool {
        let until = self.until.and_then(|until| until.steps_from_start(&self.session.data().epochs()));
        until.is_some_and(|until| self.session.step() >= until)
    }

    /// Limits the time of this process as the configuration says, if it keeps the run.
    pub(super) fn limit_time(&self) {
        let time = self.session.config().train.max_time.filter(|_| self.keeper.is_some());
        time.iter().for_each(|time| self.control.limit_time(time.0));
    }

    /// Reserves time for a step as long as the one that `began` then, and for a save as long as the last one, both twice.
    pub(super) fn reserve_time(&self, began: Instant) {
        let save = self.keeper.as_ref().map_or(Duration::ZERO, |keeper| keeper.save_times().1);
        self.control.reserve((began.elapsed() + save).saturating_mul(2));
    }

    /// Makes the validation after the update of `record`; `None` if the run was asked to stop meanwhile. The validation
    /// is then still pending, also in a save that was requested meanwhile.
    pub(super) fn validate(
        &mut self,
        record: &StepRecord,
        sink: &mut dyn Sink,
    ) -> Result<Option<Evaluation>, TrainError> {
        if self.keeper.is_none() || self.session.is_sharded() {
            sink.validating(record.done());
            let found = self.session.validate(&|| false);
            return found.map_err(|error| self.save_before_validation(record, error, sink));
        }
        let control = self.control.clone();
        sink.validating(record.done());
        match self.session.validate(&|| control.is_pressing()) {
            Ok(None) => self.session.postpone_validation(record.clone()),
            // The wait for the others was given up.
            Err(TrainError::Ranks(_)) if control.stop_requested().is_some() => {
                self.session.postpone_validation(record.clone());
                return Ok(None);
            }
            found => return found.map_err(|error| self.save_before_validation(record, error, sink)),
        }
        if control.stop_requested().is_some() {
            return Ok(None);
        }
        self.save_alone_when_due(sink)?;
        sink.validating(record.done());
        // A requested save does not interrupt it again.
        self.session.validate(&|| control.stop_requested().is_some() && control.is_pressing())
    }

    /// Saves the state with the validation pending, if it failed because of data or of another process.
    fn save_before_validation(&mut self, record: &StepRecord, error: TrainError, sink: &mut dyn Sink) -> TrainError {
        if !matches!(error, TrainError::Data(_) | TrainError::Ranks(_)) {
            return error;
        }
        self.session.postpone_validation(record.clone());
        self.save_before(error, sink)
    }

    /// Saves the state for a signal, or because the time is up.
    pub(super) fn finish_stopped(&mut self, sink: &mut dyn Sink) -> Result<Outcome, TrainError> {
        let signal = self.control.stop_requested().unwrap_or_default();
        self.finish(stopped(signal), sink)
    }

    /// Saves the state if the newest checkpoint is older.
    pub(super) fn finish(&mut self, outcome: Outcome, sink: &mut dyn Sink) -> Result<Outcome, TrainError> {
        if let Some(keeper) = self.keeper.as_ref().filter(|_| !self.has_ended_together) {
            keeper.hurry();
        }
        self.share_last_save(&outcome, sink)?;
        match &mut self.keeper {
            Some(keeper) => {
                if self.has_ended_together {
                    let saved = keeper.await_save(&self.session, sink);
                    // If this one fails, the others would wait for it.
                    self.has_ended_together = saved.is_ok() || !self.session.is_sharded();
                    saved?;
                    let is_behind = keeper.is_behind(&self.session);
                    self.session.collect_states(is_behind)?;
                }
                keeper.finish(&self.session, &outcome, sink)?;
            }
            None if self.has_ended_together => self.session.collect_states(false)?,
            None => {}
        }
        self.session.release_states();
        Ok(outcome)
    }
}

/// Returns the outcome of a request to stop.
fn stopped(signal: usize) -> Outcome {
    if signal == TIME_IS_UP { Outcome::TimeIsUp } else { Outcome::Stopped { signal } }
}
