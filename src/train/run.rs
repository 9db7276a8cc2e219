//! The training loop, and its run directory.

mod saving;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use super::TrainError;
use super::best::BestCheckpoint;
use super::config::Config;
use super::intervals::Saves;
use super::metrics::Evaluation;
use super::observe::control::{Control, Stake};
use super::record::StepRecord;
use super::run_dir::directory::RunDirectory;
use super::run_dir::log::Log;
use super::session::Session;
use super::sink::{Beginning, Outcome, Sink, Sinks, flush};
use crate::checkpoint::fs::{Disk, LocalDisk};
use crate::checkpoint::{self, Checkpoint, Folder, Saver};
use crate::optim::{MeasuredGradients, OptimError, StepHyperparams};
use crate::{shell, store};

/// A run in its directory, ready to train.
pub struct Run {
    session: Session,
    log: Log,
    /// Additional writers of the run's records, besides the one passed to [`Run::train`].
    sinks: Vec<Box<dyn Sink>>,
    control: Control,
    saver: Saver,
    /// Times of saves.
    saves: Saves,
    last_checkpoint: Option<PathBuf>,
    /// The step of the newest save, which may be in flight, and its start.
    saving: (u64, Instant),
    /// Whether the newest save is from before the validation of its step.
    saved_unvalidated: bool,
    /// The step of a save that a signal or the program requested, until it has finished.
    asked: Option<u64>,
    /// Whether the newest save replaces one of the same step from before its validation.
    supersedes: bool,
    /// Dropped last, because a save may still be in flight.
    directory: RunDirectory,
}

impl Run {
    /// Starts a new run in the directory `out`, and saves its initial state there.
    ///
    /// # Errors
    /// The session cannot be created, a schedule or `checkpoint.keep.best` needs a metric that is never known in this
    /// run, or the directory holds a run, is in use or cannot be written.
    pub fn start(config: Config, out: &Path, control: Control) -> Result<Self, TrainError> {
        let session = Session::new(config)?;
        session.require_figures()?;
        let directory = RunDirectory::create(out)?;
        Self::enter(session, directory, control, None)
    }

    /// Continues with `session` in `directory`. Missing files are written: configuration, log, and, without a
    /// `last_checkpoint` of its state, a checkpoint; from then on the run can be resumed after any failure.
    ///
    /// A directory with a configuration and without a checkpoint is a run at step 0. A run that continues from
    /// elsewhere is therefore saved before its configuration is written.
    pub(super) fn enter(
        session: Session,
        directory: RunDirectory,
        control: Control,
        last_checkpoint: Option<PathBuf>,
    ) -> Result<Self, TrainError> {
        let begins = session.step() == 0;
        if begins {
            directory.write_config(session.config())?;
        }
        let log = directory.open_log(session.logged())?;
        let written_by = session.written_by();
        let saver = Saver::new(directory.folder(), written_by).keeping(session.keep().clone());
        let saver = saver.on(directory.held(Arc::new(LocalDisk)));
        let saving = (session.step(), Instant::now());
        let saved_unvalidated = session.unvalidated().is_some();
        let saves = session.saves();
        let mut run = Self {
            session,
            log,
            sinks: Vec::new(),
            control,
            saver,
            saves,
            last_checkpoint,
            saving,
            saved_unvalidated,
            asked: None,
            supersedes: false,
            directory,
        };
        match run.last_checkpoint {
            None => run.save()?,
            Some(_) => run.saver.prune(run.session.step()),
        }
        if !begins {
            run.directory.write_config(run.session.config())?;
        }
        Ok(run)
    }

    /// Saves checkpoints through `disk` from now on.
    #[doc(hidden)]
    pub fn on(self, disk: Arc<dyn Disk>) -> Self {
        Self { saver: self.saver.on(self.directory.held(disk)), ..self }
    }

    /// Adds `sink` as a receiver of records.
    pub fn with_sink(mut self, sink: Box<dyn Sink>) -> Self {
        self.sinks.push(sink);
        self
    }

    /// Trains to the end, or until asked to stop. The state is saved when due and at the end.
    ///
    /// # Errors
    /// Loss, gradients or saved parameters are not finite, a device fails, a sink cannot continue its file, or the last
    /// save failed. An earlier failed save is reported to `sink`, and training continues.
    pub fn train(&mut self, sink: &mut dyn Sink) -> Result<Outcome, TrainError> {
        let mut own = std::mem::take(&mut self.sinks);
        let mut all = Sinks(vec![sink]);
        for sink in &mut own {
            all.0.push(&mut **sink);
        }
        let outcome = self.train_telling(&mut all);
        self.sinks = own;
        outcome
    }

    fn train_telling(&mut self, sink: &mut dyn Sink) -> Result<Outcome, TrainError> {
        self.put_at_stake();
        let (done, recorded, total) = (self.session.step(), self.session.logged(), self.session.total_steps());
        sink.begin(&Beginning { done, recorded, total, run: self.directory.path() })?;
        let began = Instant::now();
        // If a pending save found non-finite weights, that error comes first: it is the cause.
        let outcome = self.steps(sink).map_err(|error| self.session.explained(error));
        let outcome = outcome.or_else(|error| self.await_save(sink).and(Err(error)));
        // Errors caused by another process that has taken over the run.
        let outcome = outcome.or_else(|error| self.directory.require_held().and(Err(error)));
        flush(sink);
        sink.end();
        self.directory.record_time("end", self.session.step(), began.elapsed().as_secs_f64());
        if outcome.is_ok() {
            self.directory.put_times();
        }
        outcome
    }

    fn steps(&mut self, sink: &mut dyn Sink) -> Result<Outcome, TrainError> {
        if let Some(record) = self.session.unvalidated().cloned()
            && let Next::Stop(outcome) = self.conclude_step(record, sink)?
        {
            return Ok(outcome);
        }
        let control = self.control.clone();
        let stop = || control.stop_requested().is_some();
        let mut rates = self.session.rates();
        for step in self.session.step()..self.session.total_steps() {
            let batch = match self.session.batch(&stop) {
                Ok(Some(batch)) => batch,
                Ok(None) => return self.finish_stopped(sink),
                Err(error) => return Err(self.save_before(error, sink)),
            };
            let (loss, gradients) = self.session.gradients(&batch)?;
            self.require_finite("loss", loss, step, &rates)?;
            let (scale, skipped) = (self.session.loss_scale(), self.session.overflows(&gradients));
            if !skipped {
                self.require_finite_gradients(&gradients, step, &rates)?;
            }
            self.session.update(&gradients, &rates, loss)?;
            let epoch = step / self.session.steps_per_epoch() + 1;
            let record = StepRecord::new(step, epoch, &rates, loss, gradients.norm()).scaled(scale, skipped);
            match self.conclude_step(record, sink)? {
                Next::Step(next) => rates = next,
                Next::Stop(outcome) => return Ok(outcome),
            }
        }
        self.finish(Outcome::Finished, sink)
    }

    /// Saves the state before the batch that failed, so that no update is lost.
    fn save_before(&mut self, error: TrainError, sink: &mut dyn Sink) -> TrainError {
        if let Err(unsaved) = self.finish(Outcome::Finished, sink) {
            sink.message(&format!("step {} is not saved: {unsaved}", self.session.step()));
        }
        error
    }

    /// Finishes an update: a validation, the record, a save.
    fn conclude_step(&mut self, mut record: StepRecord, sink: &mut dyn Sink) -> Result<Next, TrainError> {
        if self.session.validation_is_due() || self.session.unvalidated().is_some() {
            record.validation = self.validate(&record, sink)?;
            if record.validation.is_none() {
                return self.finish_stopped(sink).map(Next::Stop);
            }
        }
        record.epoch_loss = self.session.end_epoch_when_due();
        record.next = self.session.rates();
        self.log.record(&record);
        sink.record(&record);
        self.save_when_due(sink)?;
        // After the last step there is nothing to stop.
        match self.control.stop_requested().filter(|_| record.done() < self.session.total_steps()) {
            Some(_) => self.finish_stopped(sink).map(Next::Stop),
            None => Ok(Next::Step(record.next)),
        }
    }

    /// Makes the validation after the update of `record`; `None` if the run was asked to stop meanwhile. The validation
    /// is then still pending, also in a save that was requested meanwhile.
    fn validate(&mut self, record: &StepRecord, sink: &mut dyn Sink) -> Result<Option<Evaluation>, TrainError> {
        let control = self.control.clone();
        sink.validating(record.done());
        match self.session.validate(&|| control.is_pressing()) {
            Ok(None) => self.session.postpone_validation(record.clone()),
            Err(error @ TrainError::Data(_)) => {
                self.session.postpone_validation(record.clone());
                return Err(self.save_before(error, sink));
            }
            found => return found,
        }
        if control.stop_requested().is_some() {
            return Ok(None);
        }
        self.save_when_due(sink)?;
        sink.validating(record.done());
        // A requested save does not interrupt it again.
        self.session.validate(&|| control.stop_requested().is_some() && control.is_pressing())
    }

    fn require_finite(&self, what: &str, value: f64, step: u64, rates: &[StepHyperparams]) -> Result<(), TrainError> {
        if value.is_finite() {
            return Ok(());
        }
        Err(self.not_finite(what, step, rates))
    }

    /// A checkpoint of this step already has the weights that led here, so it is not a good one.
    fn not_finite(&self, what: &str, step: u64, rates: &[StepHyperparams]) -> TrainError {
        let all = Folder::new(self.directory.checkpoints()).list().unwrap_or_default();
        let earlier = all.into_iter().rev().filter(|(saved_at, _)| *saved_at < step).map(|(_, path)| path);
        let last_checkpoint = earlier.into_iter().find(|path| Checkpoint::verify(path).is_ok());
        let rates = rates.iter().map(|rates| rates.lr).collect();
        TrainError::NotFinite { what: what.to_owned(), step, rates, last_checkpoint }
    }

    fn require_finite_gradients(
        &self,
        gradients: &MeasuredGradients,
        step: u64,
        rates: &[StepHyperparams],
    ) -> Result<(), TrainError> {
        match gradients.check_finite() {
            Err(OptimError::NotFinite(names)) => {
                let what = format!("gradient of `{}`", names.join("`, `"));
                self.require_finite(&what, f64::NAN, step, rates)
            }
            other => Ok(other?),
        }
    }

    /// Describes the loss if a signal ends the process at once.
    fn put_at_stake(&self) {
        let saved = self.last_checkpoint.as_deref().and_then(checkpoint::step_of).unwrap_or_default();
        let run = shell::path(self.directory.path());
        self.control.put_at_stake(Stake {
            in_order: "stopping after this step".to_owned(),
            at_once: format!("nothing after step {saved} is saved; to continue from there: train --resume {run}"),
            save: "saving after this step".to_owned(),
        });
    }

    /// Saves the state for a signal.
    fn finish_stopped(&mut self, sink: &mut dyn Sink) -> Result<Outcome, TrainError> {
        let signal = self.control.stop_requested().unwrap_or_default();
        self.finish(Outcome::Stopped { signal }, sink)
    }

    /// Saves the state if the newest checkpoint is older.
    fn finish(&mut self, outcome: Outcome, sink: &mut dyn Sink) -> Result<Outcome, TrainError> {
        self.await_save(sink)?;
        // A removed checkpoint is saved again.
        let last = self.last_checkpoint.as_deref().filter(|path| store::is_url(path) || path.exists());
        let last_step = last.and_then(checkpoint::step_of);
        let is_older = self.saved_unvalidated && self.session.unvalidated().is_none();
        if last_step != Some(self.session.step()) || is_older {
            sink.saving(self.session.step());
            self.tend(sink)?;
            self.save()?;
        }
        self.log.conclude()?;
        Ok(outcome)
    }

    /// Returns the best checkpoint with a metric. In an object store, where each must be fetched, they are read only if
    /// few are kept.
    pub fn best(&self) -> Option<BestCheckpoint> {
        let rules = &self.session.config().checkpoint.keep;
        if store::is_url(self.path()) && rules.is_empty() {
            return None;
        }
        let decided = rules.decide(&self.directory.folder(), self.session.step(), self.session.steps_per_epoch());
        let (_, decisions) = decided.ok()?;
        BestCheckpoint::ranked(&decisions, rules).into_iter().next()
    }

    /// Returns the session with the run's state.
    pub fn session(&self) -> &Session {
        &self.session
    }

    /// Returns the run directory.
    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Returns the newest checkpoint.
    pub fn last_checkpoint(&self) -> Option<&Path> {
        self.last_checkpoint.as_deref()
    }
}

/// Result of a step.
enum Next {
    /// Another one follows, with these rates.
    Step(Vec<StepHyperparams>),
    /// The run was asked to stop, and its state is saved.
    Stop(Outcome),
}
