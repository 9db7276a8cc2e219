//! Saving and restoring a session.

use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::Session;
use super::begun::Begun;
use super::found::with_found;
use super::recalled::{held, recalled, refuse_other_content, room};
use crate::checkpoint::{Checkpoint, CheckpointError, Snapshot};
use crate::data::Epochs;
use crate::figures::counted;
use crate::model::with_parameter_budget;
use crate::train::checks::memory::Purpose;
use crate::train::checks::outlook;
use crate::train::config::Config;
use crate::train::config::changes::changes;
use crate::train::given::Given;
use crate::train::metrics::Measured;
use crate::train::record::StepRecord;
use crate::train::{Setting, TrainError};

impl Session {
    /// Restores the run of `config` at the state of `checkpoint`. The configuration may differ from the one in the
    /// checkpoint where a run can change; differences are added to the history.
    ///
    /// # Errors
    /// As [`Session::new`]; a setting was changed that cannot change within a run; or the checkpoint does not fit.
    pub fn resume(config: Config, checkpoint: &Checkpoint) -> Result<Self, TrainError> {
        Self::resume_with(config, checkpoint, &[], Given::default())
    }

    /// The same, if the user has given these settings, and the others are from the checkpoint.
    pub(in crate::train) fn resume_with(
        config: Config,
        checkpoint: &Checkpoint,
        settings: &[Setting],
        given: Given,
    ) -> Result<Self, TrainError> {
        let config = with_found(config, checkpoint);
        // Checked first: a forbidden change would be a less helpful error further down.
        let begun = Begun::with_all_but(&changes(&config, checkpoint)?);
        // The checkpoint has the weights; the file of initial weights may be missing.
        let mut without_start = config;
        let start = (without_start.train.initial_weights.take(), without_start.train.initial_adapter.take());
        let (recalled, purpose) = (recalled(checkpoint, settings), Purpose::Resume { held: held(checkpoint) });
        let mut session = with_parameter_budget(room(checkpoint), || {
            Self::with_data(purpose, without_start, Some(recalled), &begun, given)
        })?;
        (session.config.train.initial_weights, session.config.train.initial_adapter) = start;
        let changes = changes(&session.config, checkpoint)?;
        refuse_other_content(&session.config, &session.data, checkpoint.field("data"))?;
        session.restore(checkpoint).map_err(|error| session.explained(error))?;
        session.step = checkpoint.step();
        session.first_step = session.step;
        session.freeze();
        let measured = checkpoint.field("metrics").map(Measured::deserialize);
        session.measured = measured.and_then(Result::ok).unwrap_or_default();
        session.unvalidated = unvalidated(checkpoint)?;
        let has_other_batches = changes.iter().any(|change| change["key"] == "data.batch_size");
        if has_other_batches && session.unvalidated.is_none() && session.data.epoch_began(session.step) == session.step
        {
            // With larger batches, an epoch that drops its last rows can end at once; its mean was not reported.
            session.epoch_mean.take();
        }
        session.check_steps(checkpoint.path())?;
        let saved_history = checkpoint.field("history").and_then(Value::as_array);
        session.history = saved_history.cloned().unwrap_or_default();
        session.resumed.extend(outlook::jump(checkpoint, session.schedulers.lr(), session.length()));
        if !changes.is_empty() {
            session.history.push(json!({"step": session.step, "changes": changes}));
        }
        Ok(session)
    }

    /// Refuses a checkpoint whose parts have different steps, and a run that is shorter than its finished part.
    pub(super) fn check_steps(&self, path: &Path) -> Result<(), TrainError> {
        let schedulers = self.schedulers.all().map(|(part, scheduler)| (part, scheduler.t()));
        // The mean of a finished epoch is kept until the validation at its end is made.
        let mean = self.data.epoch_began(self.logged()).saturating_add(self.epoch_mean.updates());
        let unvalidated = self.unvalidated.iter().map(|line| ("unvalidated", line.step.saturating_add(1)));
        let updates = self.optimizer.updates().saturating_add(self.optimizer.skipped());
        let parts = [("optimizer", updates), ("epoch_mean", mean)];
        let mut steps = schedulers.chain(parts).chain(unvalidated);
        if let Some((part, step)) = steps.find(|(_, step)| *step != self.step) {
            return Err(TrainError::StepsDisagree { path: path.to_owned(), part, step });
        }
        if self.total_steps() < self.step {
            let (field, value) = ("train".to_owned(), format!("{} in all", counted(self.total_steps(), "step")));
            let rule = format!("{} has {} already; resume an older checkpoint for that", path.display(), self.step);
            return Err(TrainError::Field { field, value, rule });
        }
        Ok(())
    }

    /// Returns the state after the updates made so far, for a run in `folder`.
    ///
    /// # Errors
    /// A tensor cannot be read from its device.
    pub fn snapshot(&self, folder: &Path) -> Result<Snapshot, CheckpointError> {
        self.fill(Snapshot::at(self.step), folder)
    }

    /// Like [`Session::snapshot`], into an empty snapshot of this step.
    pub(in crate::train) fn fill(&self, snapshot: Snapshot, folder: &Path) -> Result<Snapshot, CheckpointError> {
        let config = value("config", &self.config.relative_to(folder).complete())?;
        let fingerprint = value("data", &self.data.fingerprint())?;
        let snapshot = snapshot
            .field("epoch", self.data.epoch_of(self.step))?
            .field("samples", self.data.samples_before(self.step))?
            .field("steps_per_epoch", self.data.steps_per_epoch())?
            .field("total_steps", self.total_steps())?
            .field("seed", self.config.seed)?
            .field("config", config)?
            .field("data", fingerprint)?
            .field("schema", value("schema", &self.data.schema())?)?
            .field("history", self.history.clone())?
            .field("metrics", value("metrics", &self.measured)?)?;
        // Only after a change of the batch size it does not follow from the number of updates in an epoch.
        let began = self.data.epoch_began(self.step);
        let snapshot = match began == self.step - self.step % self.data.steps_per_epoch() {
            true => snapshot,
            false => snapshot.field("epoch_began", began)?,
        };
        let epochs = self.data.epochs();
        let snapshot = match epochs.are_even() {
            true => snapshot,
            false => snapshot.field(Epochs::FIELD, value(Epochs::FIELD, &epochs.points())?)?,
        };
        let snapshot = match &self.unvalidated {
            Some(record) => snapshot.field("unvalidated", value("unvalidated", record)?)?,
            None => snapshot,
        };
        self.save_parts(snapshot)
    }
}

/// Returns a field as JSON.
fn value(field: &str, value: &impl Serialize) -> Result<Value, CheckpointError> {
    let failed = |error: serde_json::Error| CheckpointError::Unsaved { part: field.to_owned(), error: error.into() };
    serde_json::to_value(value).map_err(failed)
}

/// Returns the log line of the last update of a checkpoint that was saved before its validation.
fn unvalidated(checkpoint: &Checkpoint) -> Result<Option<StepRecord>, TrainError> {
    let wrong = |error: serde_json::Error| TrainError::NothingToResume {
        path: checkpoint.path().to_owned(),
        reason: format!("its field `unvalidated` is not a log line: {error}; resume an older checkpoint"),
    };
    checkpoint.field("unvalidated").map(StepRecord::deserialize).transpose().map_err(wrong)
}
