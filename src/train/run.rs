//! The training loop.

#[cfg(feature = "peers")]
mod adopted;
mod ending;
mod hooked;
mod keeper;
mod pace;
mod recording;
mod sharing;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

#[cfg(feature = "peers")]
pub(crate) use adopted::adopt;
use keeper::{Keeper, not_finite};

use super::best::BestCheckpoint;
use super::config::Config;
use super::config::every::Interval;
use super::given::Given;
use super::joining;
use super::observe;
use super::observe::control::{Control, Requests, Stake};
use super::record::StepRecord;
use super::run_dir::directory::RunDirectory;
use super::run_dir::outcome::RunEnd;
use super::session::Session;
use super::sink::{Beginning, Outcome, Sink, Sinks, flush};
use super::{RanksError, TrainError};
use crate::checkpoint::Helper;
use crate::checkpoint::fs::Disk;
use crate::optim::{MeasuredGradients, OptimError, StepHyperparams};
use crate::store;

/// A run, ready to train: in its directory, or as one of the other processes of a run, which write nothing.
pub struct Run {
    session: Session,
    /// Additional writers of the run's records, besides the one passed to [`Run::train`].
    sinks: Vec<Box<dyn Sink>>,
    control: Control,
    path: PathBuf,
    /// The first process of a run has it.
    keeper: Option<Keeper>,
    /// The shares of saves that another one writes.
    helper: Helper,
    /// Whether it has ended in all of its processes at the same step.
    has_ended_together: bool,
    /// The step up to which it trains; to its end if `None`.
    until: Option<Interval>,
}

impl Run {
    /// Starts a new run in the directory `out`, and saves its initial state there.
    ///
    /// # Errors
    /// The session cannot be created, a schedule or `checkpoint.keep.best` needs a metric that is never known in this
    /// run, or the directory holds a run, is in use or cannot be written.
    pub fn start(config: Config, out: &Path, control: Control) -> Result<Self, TrainError> {
        joining::start_first(config, Given::default(), out, control)
    }

    /// Continues with `session` in `directory`. Missing files are written: configuration, log, and, without a
    /// `last_checkpoint` of its state, a checkpoint; from then on the run can be resumed after any failure.
    pub(super) fn enter(
        session: Session,
        directory: RunDirectory,
        control: Control,
        last_checkpoint: Option<PathBuf>,
    ) -> Result<Self, TrainError> {
        let path = directory.path().to_owned();
        let keeper = Keeper::enter(&session, directory, control.clone(), last_checkpoint)?;
        // Without an end after it, the process was killed. Before there is a run, a file would be in the way of one.
        keeper.directory.record_time("begin", session.step(), 0.0);
        let sinks = observe::configured_sinks(&session, &path);
        Ok(Self {
            session,
            sinks,
            control,
            path,
            keeper: Some(keeper),
            helper: Helper::default(),
            has_ended_together: false,
            until: None,
        })
    }

    /// Computes the run in `path` that another process keeps.
    pub(super) fn follow(session: Session, path: PathBuf, control: Control) -> Self {
        Self {
            session,
            sinks: Vec::new(),
            control,
            path,
            keeper: None,
            helper: Helper::default(),
            has_ended_together: false,
            until: None,
        }
    }

    /// Saves checkpoints through `disk` from now on.
    #[doc(hidden)]
    pub fn on(self, disk: Arc<dyn Disk>) -> Self {
        let keeper = self.keeper.map(|keeper| {
            let held = keeper.directory.held(disk);
            keeper.on(held)
        });
        Self { keeper, ..self }
    }

    /// Adds `sink` as a receiver of records.
    pub fn with_sink(mut self, sink: Box<dyn Sink>) -> Self {
        self.sinks.push(sink);
        self
    }

    /// Makes the run save and stop when it has come to this many steps or epochs, counted from its beginning. The schedules
    /// are those of the whole run, which a resume continues. An interval by the clock has no effect.
    pub fn until(self, until: Interval) -> Self {
        Self { until: Some(until), ..self }
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
        match &self.keeper {
            Some(keeper) => keeper.put_at_stake(),
            None => self.control.put_at_stake(Stake::default()),
        }
        self.session.shard();
        self.control.needs_others(self.session.is_sharded());
        let (done, recorded, total) = (self.session.step(), self.session.logged(), self.session.total_steps());
        let (wait, time) = self.keeper.as_ref().map_or(Default::default(), Keeper::save_times);
        let agenda = self.session.agenda(wait, time);
        sink.begin(&Beginning { done, recorded, total, run: &self.path, agenda: &agenda })?;
        // A sink that cannot write says so before the first step.
        flush(sink);
        let began = Instant::now();
        // If a pending save found non-finite weights, that error comes first: it is the cause.
        let outcome = self.steps(sink).map_err(|error| self.session.explained(error));
        let Some(keeper) = &mut self.keeper else { return outcome };
        let session = &self.session;
        let outcome = outcome.or_else(|error| keeper.await_save(session, sink).and(Err(error)));
        // Errors caused by another process that has taken over the run.
        let outcome = outcome.or_else(|error| keeper.directory.require_held().and(Err(error)));
        flush(sink);
        sink.end();
        keeper.directory.record_time("end", session.step(), began.elapsed().as_secs_f64());
        if outcome.is_ok() {
            keeper.directory.put_times();
            self.control.put_at_stake(Stake {
                in_order: "the run has ended".to_owned(),
                at_once: "everything is saved".to_owned(),
                save: String::new(),
            });
        }
        // A store that has just failed would only take more time.
        let is_unsaved = matches!(outcome, Err(TrainError::Checkpoint(_) | TrainError::Write { .. }));
        let end = RunEnd::now(&outcome, session.step());
        let has_parted = session.world() > 1 && !self.has_ended_together;
        let end = if has_parted { end.parted() } else { end };
        if !(is_unsaved && store::is_url(&self.path)) {
            keeper.directory.write_outcome(&end);
        }
        sink.ended(&end);
        outcome
    }

    fn steps(&mut self, sink: &mut dyn Sink) -> Result<Outcome, TrainError> {
        if let Some(record) = self.session.unvalidated().cloned()
            && let Next::Stop(outcome) = self.conclude_step(record, None, Requests::default(), sink)?
        {
            return Ok(outcome);
        }
        // A resume does not change that, unless it changes the settings.
        let is_last = self.session.step() >= self.session.total_steps();
        if let Some(reason) = self.session.ends_early().filter(|_| !is_last) {
            self.end_together();
            return self.finish(Outcome::EndedEarly { reason }, sink);
        }
        if self.is_far_enough() && !is_last {
            self.end_together();
            return self.finish(Outcome::StepReached, sink);
        }
        self.limit_time();
        let (control, keeps) = (self.control.clone(), self.keeper.is_some());
        // Another process only stops when all do.
        let stop = || keeps && control.stop_requested().is_some();
        // Without the moments of the others there is nothing that this one could save.
        let is_sharded = self.session.is_sharded();
        let stop_now = || stop() && !is_sharded;
        let mut rates = self.session.rates();
        for step in self.session.step()..self.session.total_steps() {
            let began = Instant::now();
            let batch = match self.session.batch(&stop_now) {
                Ok(Some(batch)) => batch,
                Ok(None) => return self.finish_stopped(sink),
                Err(error) => return Err(self.save_before(error, sink)),
            };
            let (loss, gradients, asked) = match self.session.gradients(&batch, &self.control) {
                Ok(found) => found,
                // The wait for the others was given up.
                Err(TrainError::Ranks(RanksError::LostTouch { .. })) if stop_now() => return self.finish_stopped(sink),
                Err(error @ TrainError::Ranks(RanksError::LostTouch { .. })) => {
                    return Err(self.save_before(error, sink));
                }
                Err(error) => return Err(error),
            };
            let (scale, skipped) = (self.session.loss_scale(), self.session.overflows(&gradients));
            let are_finite = self.require_finite("loss", loss, step, &rates).and_then(|()| match skipped {
                true => Ok(()),
                false => self.require_finite_gradients(&gradients, step, &rates),
            });
            // All processes have the same numbers.
            self.has_ended_together = are_finite.is_err();
            are_finite?;
            let ema_decay = self.session.ema_decay();
            self.session.update(&gradients, &rates, loss)?;
            let epoch = self.session.epoch_of(step) + 1;
            let record = StepRecord::new(step, epoch, &rates, loss, gradients.norm()).scaled(scale, skipped);
            let record = record.with_ema_decay(ema_decay);
            match self.conclude_step(record, Some(&gradients), asked, sink)? {
                Next::Step(next) => {
                    rates = next;
                    self.reserve_time(began);
                }
                Next::Stop(outcome) => return Ok(outcome),
            }
        }
        self.end_together();
        self.finish(Outcome::Finished, sink)
    }

    /// Finishes an update: a validation, the record, a save.
    fn conclude_step(
        &mut self,
        mut record: StepRecord,
        gradients: Option<&MeasuredGradients>,
        asked: Requests,
        sink: &mut dyn Sink,
    ) -> Result<Next, TrainError> {
        if self.session.validation_is_due() || self.session.unvalidated().is_some() {
            record.validation = self.validate(&record, sink)?;
            if record.validation.is_none() {
                return self.finish_stopped(sink).map(Next::Stop);
            }
        }
        record.epoch_loss = self.session.end_epoch_when_due();
        // After the last step there is nothing to stop.
        let is_last = record.done() >= self.session.total_steps();
        if is_last || self.session.ends_early().is_some() {
            self.session.prepare_evaluation(&|| false)?;
            record.test = self.session.test()?;
        }
        record.next = self.session.rates();
        self.record(&record, gradients, sink);
        if let Some(asked) = asked.save.filter(|_| self.keeper.is_some()) {
            self.control.save_for(asked);
        }
        self.save_when_due(sink)?;
        match self.end_after_step(asked).filter(|_| !is_last) {
            Some(outcome) => {
                self.end_together();
                self.finish(outcome, sink).map(Next::Stop)
            }
            None => Ok(Next::Step(record.next)),
        }
    }

    fn require_finite(&self, what: &str, value: f64, step: u64, rates: &[StepHyperparams]) -> Result<(), TrainError> {
        if value.is_finite() {
            return Ok(());
        }
        Err(self.not_finite(what, step, rates))
    }

    fn not_finite(&self, what: &str, step: u64, rates: &[StepHyperparams]) -> TrainError {
        let what = match self.session.loss_scale() {
            Some(_) => format!("{what} (f16 ends at 65504; `--set precision=bf16` has the range of f32)"),
            None => what.to_owned(),
        };
        match &self.keeper {
            Some(keeper) => keeper.not_finite(&what, step, rates),
            None => not_finite(&what, step, rates, None),
        }
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

    /// Returns the best checkpoint with a metric. In an object store, where each must be fetched, they are read only if
    /// few are kept.
    pub fn best(&self) -> Option<BestCheckpoint> {
        let rules = &self.session.config().checkpoint.keep;
        if store::is_url(self.path()) && rules.is_empty() {
            return None;
        }
        let folder = self.keeper.as_ref()?.directory.folder();
        let decided = rules.decide(&folder, self.session.step(), self.session.steps_per_epoch());
        let (_, decisions) = decided.ok()?;
        BestCheckpoint::ranked(&decisions, rules).into_iter().next()
    }

    /// Whether the run has ended in all of its processes at the same step: it is finished, all have agreed to stop, or a
    /// number is not finite. Otherwise others may wait for this one.
    pub fn has_ended_together(&self) -> bool {
        self.has_ended_together
    }

    /// Returns the session with the run's state.
    pub fn session(&self) -> &Session {
        &self.session
    }

    /// Returns the run directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the newest checkpoint.
    pub fn last_checkpoint(&self) -> Option<&Path> {
        self.keeper.as_ref()?.last_checkpoint.as_deref()
    }
}

/// Result of a step.
enum Next {
    /// Another one follows, with these rates.
    Step(Vec<StepHyperparams>),
    /// The run was asked to stop, and its state is saved.
    Stop(Outcome),
}
