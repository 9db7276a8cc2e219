//! The keeper of a run: its directory, its log, and its saves with their times, results and messages.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::pace::Pace;
use crate::checkpoint::Outcome::Replaced;
use crate::checkpoint::fs::{Disk, LocalDisk};
use crate::checkpoint::{self, Checkpoint, CheckpointError, Folder, Saved, Saver, Staging};
use crate::optim::StepHyperparams;
use crate::train::TrainError;
use crate::train::intervals::Saves;
use crate::train::observe::control::{Control, Stake};
use crate::train::run_dir::directory::RunDirectory;
use crate::train::run_dir::log::Log;
use crate::train::session::Session;
use crate::train::sink::{Outcome, Sink, flush};
use crate::{shell, store};

/// The possessions of the first process of a run: the run directory, and all that is written there.
pub(super) struct Keeper {
    pub log: Log,
    saver: Saver,
    /// Times of saves.
    saves: Saves,
    /// Time of the copy that the last save began with, for which training waited.
    copied: Duration,
    pub last_checkpoint: Option<PathBuf>,
    /// The step of the newest save, which may be in flight, and its start.
    saving: (u64, Instant),
    /// Whether the newest save is from before the validation of its step.
    saved_unvalidated: bool,
    /// The step of a save that a signal or the program requested, until it has finished.
    asked: Option<u64>,
    /// Whether a signal or the program has requested a save that has not begun.
    is_asked: bool,
    /// Whether the newest save replaces one of the same step from before its validation.
    supersedes: bool,
    /// The directory of the next save, if other processes write shares of it.
    staging: Option<Staging>,
    /// Whether saves no longer wait for other processes.
    hurries: Arc<AtomicBool>,
    /// Whether the last save has failed.
    has_failed: bool,
    control: Control,
    pace: Pace,
    /// Dropped last, because a save may still be in flight.
    pub directory: RunDirectory,
}

impl Keeper {
    /// Continues with `session` in `directory`. Missing files are written: configuration, log, and, without a
    /// `last_checkpoint` of its state, a checkpoint; from then on the run can be resumed after any failure.
    ///
    /// A directory with a configuration and without a checkpoint is a run at step 0. A run that continues from
    /// elsewhere is therefore saved before its configuration is written.
    pub fn enter(
        session: &Session,
        directory: RunDirectory,
        control: Control,
        last_checkpoint: Option<PathBuf>,
    ) -> Result<Self, TrainError> {
        directory.forget_outcome();
        let begins = session.step() == 0;
        if begins {
            directory.write_config(session.config())?;
        }
        let log = directory.open_log(session.begun_at()..session.logged())?;
        let saver = Saver::new(directory.folder(), session.written_by()).keeping(session.keep().clone());
        let mut keeper = Self {
            log,
            saver: saver.on(directory.held(Arc::new(LocalDisk))),
            saves: session.saves(),
            last_checkpoint,
            copied: Duration::ZERO,
            saving: (session.step(), Instant::now()),
            saved_unvalidated: session.unvalidated().is_some(),
            asked: None,
            is_asked: false,
            supersedes: false,
            staging: None,
            hurries: Arc::default(),
            has_failed: false,
            control,
            pace: Pace::from(Instant::now()),
            directory,
        };
        match keeper.last_checkpoint {
            None => keeper.save(session)?,
            Some(_) => keeper.saver.prune(session.step()),
        }
        if !begins {
            keeper.directory.write_config(session.config())?;
        }
        Ok(keeper)
    }

    /// Returns for how long training waited for the last save, and its whole time; zero before the first one.
    pub fn save_times(&self) -> (Duration, Duration) {
        (self.copied, self.saves.cost)
    }

    /// Records now and then, when `done` updates are made, the time and the memory of the process.
    pub fn record_pace(&mut self, done: u64) {
        if let Some(seconds) = self.pace.due(Instant::now()) {
            self.directory.record_step(done, seconds);
        }
    }

    /// Whether a save is due after this step.
    pub fn is_due(&mut self, session: &Session) -> bool {
        self.is_asked |= self.control.take_save_request();
        self.is_asked || self.saves.are_due(session.step(), session.measured(), self.saving.1)
    }

    /// Begins a save if it [is due](Keeper::is_due); training waits until the one before it has finished.
    pub fn save_if(&mut self, is_due: bool, session: &Session, sink: &mut dyn Sink) -> Result<(), TrainError> {
        let ended = self.saver.finished();
        self.take_note(session, ended, sink)?;
        self.directory.require_held()?;
        if is_due {
            let is_asked = std::mem::take(&mut self.is_asked);
            sink.saving(session.step());
            self.await_save(session, sink)?;
            self.tend(sink)?;
            self.asked = is_asked.then(|| session.step());
            // Before the checkpoint can be complete: a process that is killed then leaves no step out of any file.
            flush(sink);
            if let Err(error) = self.begin_save(session) {
                not_saved(session.step(), &error, sink);
            }
        }
        Ok(())
    }

    /// Makes the directory of the next save, for other processes too, and returns its name. If it cannot be made, the save
    /// says why. After a save that failed, perhaps for lack of what others have, this process makes one alone.
    pub fn stage(&mut self, session: &Session, sink: &mut dyn Sink) -> Result<Option<&str>, TrainError> {
        self.await_save(session, sink)?;
        if session.is_sharded() && self.has_failed {
            return Ok(None);
        }
        let hurries = Arc::clone(&self.hurries);
        self.staging = self.saver.stage(session.step(), session.shared_parts(), session.world(), hurries).ok();
        Ok(self.staging.as_ref().map(Staging::name))
    }

    /// Lets saves wait for no other process from now on: the run ends, and others may be gone.
    pub fn hurry(&self) {
        self.hurries.store(true, Ordering::Release);
    }

    /// Restores files that have disappeared from the run directory, and reports it.
    ///
    /// # Errors
    /// Another process has trained there since.
    fn tend(&mut self, sink: &mut dyn Sink) -> Result<(), TrainError> {
        match self.directory.require_in_place() {
            Ok(told) => told.iter().for_each(|told| sink.message(told)),
            Err(error @ TrainError::LockLost { .. }) => return Err(error),
            // The following save reports it.
            Err(_) => return Ok(()),
        }
        if let Some(told) = self.log.restore() {
            sink.message(&told);
        }
        self.attend_to_log(Duration::ZERO, sink);
        Ok(())
    }

    /// Reports damage of a long log, which is found while the run trains. The log only has to be complete from here on,
    /// so a failure to write it again does not end the run.
    fn attend_to_log(&mut self, patience: Duration, sink: &mut dyn Sink) {
        match self.log.attend(patience) {
            Ok(messages) => messages.iter().for_each(|told| sink.message(&format!("warning: {told}"))),
            Err(error) => sink.message(&format!("warning: {error}; training continues")),
        }
    }

    /// Copies the state, and begins to write the copy.
    fn begin_save(&mut self, session: &Session) -> Result<(), TrainError> {
        let (step, began) = (session.step(), Instant::now());
        self.supersedes = self.saved_unvalidated && self.saving.0 == step;
        self.saving = (step, began);
        self.saved_unvalidated = session.unvalidated().is_some();
        let staging = self.staging.take();
        self.directory.require_in_place()?;
        let log = self.log.written()?;
        let snapshot = session.fill(self.saver.snapshot_at(step), self.directory.path())?;
        self.saver.begin_with(snapshot, staging, move |snapshot| {
            snapshot.require_finite("model")?;
            log.sync()
        });
        self.copied = began.elapsed();
        self.saves.cost = self.copied;
        self.directory.record_time("copied", step, self.copied.as_secs_f64());
        Ok(())
    }

    pub fn await_save(&mut self, session: &Session, sink: &mut dyn Sink) -> Result<(), TrainError> {
        let ended = self.saver.wait();
        self.take_note(session, ended, sink)
    }

    /// Handles the result of a save. A failed one does not end the run: the state is still in memory, older checkpoints
    /// are unchanged, and the next save tries again.
    fn take_note(
        &mut self,
        session: &Session,
        ended: Option<Result<Saved, CheckpointError>>,
        sink: &mut dyn Sink,
    ) -> Result<(), TrainError> {
        let ended = ended.map(|ended| self.saved(session, ended));
        if let Some(ended) = &ended {
            self.has_failed = ended.is_err();
        }
        match ended {
            Some(Err(error @ TrainError::NotFinite { .. })) => return Err(error),
            Some(Err(error)) => {
                self.asked = None;
                self.directory.require_held()?;
                not_saved(self.saving.0, &error, sink);
            }
            Some(Ok(())) => {
                self.tell_saved(sink);
                if let Some(step) = self.asked.take() {
                    sink.message(&format!("saved step {step}"));
                }
            }
            None => {}
        }
        Ok(())
    }

    /// Tells `sink` of the checkpoint that is now complete.
    fn tell_saved(&self, sink: &mut dyn Sink) {
        if let Some(path) = &self.last_checkpoint {
            sink.saved(self.saving.0, path);
        }
    }

    fn saved(&mut self, session: &Session, ended: Result<Saved, CheckpointError>) -> Result<(), TrainError> {
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
                return Err(self.not_finite(&format!("parameter `{tensor}`"), step, &session.rates()));
            }
            Err(error) => return Err(error.into()),
        }
        self.directory.record_time("saved", step, began.elapsed().as_secs_f64());
        Ok(())
    }

    /// Saves the state, and returns once it is durable.
    fn save(&mut self, session: &Session) -> Result<(), TrainError> {
        self.begin_save(session)?;
        match self.saver.wait() {
            Some(ended) => self.saved(session, ended),
            None => Ok(()),
        }
    }

    /// Saves checkpoints through `disk` from now on.
    pub fn on(self, disk: Arc<dyn Disk>) -> Self {
        Self { saver: self.saver.on(disk), ..self }
    }

    /// Saves the state if the newest checkpoint is older, and concludes the log. A process that is asked to stop does not
    /// wait for the examination of a long log, and does not write it again: the next resume does that.
    pub fn finish(&mut self, session: &Session, outcome: &Outcome, sink: &mut dyn Sink) -> Result<(), TrainError> {
        /// Enough for a log of some GB in memory.
        const PATIENCE: Duration = Duration::from_secs(1);
        self.await_save(session, sink)?;
        match outcome {
            Outcome::Finished | Outcome::EndedEarly { .. } => self.attend_to_log(PATIENCE, sink),
            Outcome::Stopped { .. } | Outcome::TimeIsUp | Outcome::StepReached => self.log.leave_examination(),
        }
        if self.is_behind(session) {
            sink.saving(session.step());
            self.tend(sink)?;
            flush(sink);
            self.save(session)?;
            self.tell_saved(sink);
        }
        self.saver.remove_staged();
        self.log.conclude()
    }

    /// Whether the newest checkpoint is older than the state.
    pub fn is_behind(&self, session: &Session) -> bool {
        // A removed checkpoint is saved again.
        let last = self.last_checkpoint.as_deref().filter(|path| store::is_url(path) || path.exists());
        let last_step = last.and_then(checkpoint::step_of);
        let is_older = self.saved_unvalidated && session.unvalidated().is_none();
        last_step != Some(session.step()) || is_older
    }

    /// A checkpoint of this step already has the weights that led here, so it is not a good one.
    pub fn not_finite(&self, what: &str, step: u64, rates: &[StepHyperparams]) -> TrainError {
        let all = Folder::new(self.directory.checkpoints()).list().unwrap_or_default();
        let earlier = all.into_iter().rev().filter(|(saved_at, _)| *saved_at < step).map(|(_, path)| path);
        let last_checkpoint = earlier.into_iter().find(|path| Checkpoint::verify(path).is_ok());
        not_finite(what, step, rates, last_checkpoint)
    }

    /// Describes the loss if a signal ends the process at once.
    pub fn put_at_stake(&self) {
        let saved = self.last_checkpoint.as_deref().and_then(checkpoint::step_of).unwrap_or_default();
        let run = shell::path(self.directory.path());
        self.control.put_at_stake(Stake {
            in_order: "saving and stopping after this step".to_owned(),
            at_once: format!("nothing after step {saved} is saved; to continue from there: train --resume {run}"),
            save: "saving after this step".to_owned(),
        });
    }
}

/// The error of a value that is not finite, in a run whose last good checkpoint is `last_checkpoint`, if it is known.
pub(super) fn not_finite(
    what: &str,
    step: u64,
    rates: &[StepHyperparams],
    last_checkpoint: Option<PathBuf>,
) -> TrainError {
    TrainError::NotFinite {
        what: what.to_owned(),
        step,
        rates: rates.iter().map(|rates| rates.lr).collect(),
        last_checkpoint,
    }
}

fn not_saved(step: u64, error: &TrainError, sink: &mut dyn Sink) {
    sink.message(&format!("warning: step {step} is not saved: {error}; training continues"));
}
