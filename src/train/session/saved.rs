//! A session to and from a checkpoint.

use std::path::Path;

use serde::Deserialize;
use serde_json::{Value, json};

use super::Session;
use super::begun::Begun;
use crate::checkpoint::{Checkpoint, CheckpointError, Snapshot};
use crate::data::{Data, Recalled};
use crate::model::with_room_for;
use crate::state::{Part, State, StateError};
use crate::train::changes::changes;
use crate::train::config::Config;
use crate::train::log::Line;
use crate::train::memory::Purpose;
use crate::train::metrics::Measured;
use crate::train::outlook;
use crate::train::schedulers::Schedulers;
use crate::train::{Setting, TrainError};

impl Session {
    /// The run of `config` at the state of `checkpoint`. The configuration may differ from the one in the checkpoint
    /// where a run can change; what changed is added to the history.
    ///
    /// # Errors
    /// As [`Session::new`]; when something was changed that cannot change within a run; or when the checkpoint does
    /// not fit.
    pub fn resume(config: Config, checkpoint: &Checkpoint) -> Result<Self, TrainError> {
        Self::resume_with(config, checkpoint, &[])
    }

    /// The same, where a person has named these settings, and the checkpoint the others.
    pub(in crate::train) fn resume_with(
        config: Config,
        checkpoint: &Checkpoint,
        settings: &[Setting],
    ) -> Result<Self, TrainError> {
        // Said first: what cannot change would be an error of another kind further down.
        let begun = Begun::with_all_but(&changes(&config, checkpoint)?);
        // The checkpoint has the weights; the file that they once started from may be gone.
        let mut without_start = config;
        let initial_weights = without_start.train.initial_weights.take();
        let (recalled, purpose) = (recalled(checkpoint, settings), Purpose::Resume { held: held(checkpoint) });
        let mut session =
            with_room_for(room(checkpoint), || Self::with_data(purpose, without_start, Some(recalled), &begun))?;
        session.config.train.initial_weights = initial_weights;
        let changes = changes(&session.config, checkpoint)?;
        refuse_other_content(&session.config, &session.data, checkpoint.field("data"))?;
        session.restore(checkpoint)?;
        session.step = checkpoint.step();
        let measured = checkpoint.field("metrics").map(Measured::deserialize);
        session.measured = measured.and_then(Result::ok).unwrap_or_default();
        session.unvalidated = unvalidated(checkpoint)?;
        session.check_steps(checkpoint.path())?;
        let saved_history = checkpoint.field("history").and_then(Value::as_array);
        session.history = saved_history.cloned().unwrap_or_default();
        session.resumed.extend(outlook::jump(checkpoint, session.schedulers.lr(), session.length()));
        if !changes.is_empty() {
            session.history.push(json!({"step": session.step, "changes": changes}));
        }
        Ok(session)
    }

    /// Refuses a checkpoint whose parts disagree about the step, and a run that is shorter than what is done of it.
    fn check_steps(&self, path: &Path) -> Result<(), TrainError> {
        let schedulers = self.schedulers.all().map(|(part, scheduler)| (part, scheduler.t()));
        // The mean of an epoch that has ended is there until the validation at its end is made.
        let in_epoch = self.logged() % self.data.steps_per_epoch() + (self.step - self.logged());
        let epoch_began = self.step - in_epoch;
        let mean = epoch_began.saturating_add(self.epoch_mean.updates());
        let unvalidated = self.unvalidated.iter().map(|line| ("unvalidated", line.step.saturating_add(1)));
        let parts = [("optimizer", self.optimizer.updates()), ("epoch_mean", mean)];
        let mut steps = schedulers.chain(parts).chain(unvalidated);
        if let Some((part, step)) = steps.find(|(_, step)| *step != self.step) {
            return Err(TrainError::StepsDisagree { path: path.to_owned(), part, step });
        }
        if self.total_steps() < self.step {
            let (field, value) = ("train".to_owned(), format!("{} steps in all", self.total_steps()));
            let rule = format!("{} has {} already; resume an older checkpoint for that", path.display(), self.step);
            return Err(TrainError::Field { field, value, rule });
        }
        Ok(())
    }

    /// Restores every part. A schedule that was added on this resume begins at the checkpoint's step, and the memory of
    /// one that was taken away is let go; both stand in the history.
    fn restore(&mut self, checkpoint: &Checkpoint) -> Result<(), CheckpointError> {
        let saved: Vec<&str> = checkpoint.parts().collect();
        let mut parts: Vec<(&str, &mut dyn Part)> = vec![
            ("model", &mut self.weights),
            ("optimizer", &mut self.optimizer),
            (data_part(checkpoint), &mut self.data),
            ("epoch_mean", &mut self.epoch_mean),
        ];
        // Only a schedule that the saved configuration does not have can be missing from the checkpoint.
        let config = checkpoint.field("config").unwrap_or(&Value::Null);
        for (name, scheduler) in self.schedulers.all_mut() {
            let is_new = Schedulers::OPTIONAL.contains(&name) && config[Schedulers::setting(name)].is_null();
            if is_new {
                scheduler.seek(checkpoint.step());
            } else {
                parts.push((name, scheduler));
            }
        }
        let mut let_go: Vec<LetGo> = Vec::new();
        let removed = saved.iter().filter(|name| Schedulers::OPTIONAL.contains(name));
        let removed: Vec<&str> = removed.copied().filter(|name| parts.iter().all(|(part, _)| part != name)).collect();
        let_go.resize_with(removed.len(), || LetGo);
        parts.extend(removed.into_iter().zip(let_go.iter_mut().map(|part| part as &mut dyn Part)));
        checkpoint.restore(&mut parts)
    }

    /// The state after the updates made so far, for a run in `folder`.
    ///
    /// # Errors
    /// When a tensor cannot be read from its device.
    pub fn snapshot(&self, folder: &Path) -> Result<Snapshot, CheckpointError> {
        self.fill(Snapshot::at(self.step), folder)
    }

    /// As [`Session::snapshot`], into an empty snapshot of this step.
    pub(in crate::train) fn fill(&self, snapshot: Snapshot, folder: &Path) -> Result<Snapshot, CheckpointError> {
        let config = serde_json::to_value(self.config.relative_to(folder).complete()).unwrap_or_default();
        let fingerprint = serde_json::to_value(self.data.fingerprint()).unwrap_or_default();
        let snapshot = snapshot
            .field("epoch", self.step / self.data.steps_per_epoch())?
            .field("samples", self.data.samples_before(self.step))?
            .field("steps_per_epoch", self.data.steps_per_epoch())?
            .field("total_steps", self.total_steps())?
            .field("seed", self.config.seed)?
            .field("config", config)?
            .field("data", fingerprint)?
            .field("schema", serde_json::to_value(self.data.schema()).unwrap_or_default())?
            .field("history", self.history.clone())?
            .field("metrics", serde_json::to_value(self.measured).unwrap_or_default())?
            .part("model", &self.weights)?
            .part("optimizer", &self.optimizer)?
            .part("dataset", &self.data)?
            .part("epoch_mean", &self.epoch_mean)?;
        let snapshot = match &self.unvalidated {
            Some(line) => snapshot.field("unvalidated", serde_json::to_value(line).unwrap_or_default())?,
            None => snapshot,
        };
        self.schedulers.all().try_fold(snapshot, |snapshot, (name, scheduler)| snapshot.part(name, scheduler))
    }
}

/// The line of the last update of a checkpoint that was saved before the validation after it.
fn unvalidated(checkpoint: &Checkpoint) -> Result<Option<Line>, TrainError> {
    let wrong = |error: serde_json::Error| TrainError::NothingToResume {
        path: checkpoint.path().to_owned(),
        reason: format!("its field `unvalidated` is no line of a log: {error}; resume an older checkpoint"),
    };
    checkpoint.field("unvalidated").map(Line::deserialize).transpose().map_err(wrong)
}

/// How many weights the model of a checkpoint's configuration may have: as many as the checkpoint has bytes of them,
/// and some more, so that the tensors of a small one are compared by name and shape.
pub(crate) fn room(checkpoint: &Checkpoint) -> usize {
    const SLACK: usize = 1 << 20;
    let tensors = checkpoint.state("model").into_iter().flat_map(|state| state.tensors.values());
    tensors.map(|tensor| tensor.bytes.len()).sum::<usize>() + SLACK
}

/// The data as a checkpoint describes it, where a person has named the paths in `settings`.
pub(crate) fn recalled<'a>(checkpoint: &'a Checkpoint, settings: &[Setting]) -> Recalled<'a> {
    let is_given = |key| settings.iter().any(|setting| setting.key() == key);
    Recalled {
        fingerprint: checkpoint.field("data"),
        memory: checkpoint.state(data_part(checkpoint)),
        tokenizer_is_given: is_given("data.tokenizer"),
        cache_is_given: is_given("data.cache"),
    }
}

/// How many bytes the tensors of a checkpoint take in memory.
fn held(checkpoint: &Checkpoint) -> u64 {
    let states = checkpoint.parts().filter_map(|part| checkpoint.state(part));
    states.flat_map(|state| state.tensors.values()).map(|tensor| tensor.bytes.len() as u64).sum()
}

/// The part of a checkpoint that the data remembers itself by. Before it had more to remember, it was called by what it
/// had.
pub(crate) fn data_part(checkpoint: &Checkpoint) -> &'static str {
    let is_old = checkpoint.parts().any(|name| name == "standardization");
    if is_old { "standardization" } else { "dataset" }
}

/// Refuses data of another content than a run's, of which `saved` is the fingerprint in its checkpoint.
pub(crate) fn refuse_other_content(config: &Config, data: &Data, saved: Option<&Value>) -> Result<(), TrainError> {
    let fingerprint = serde_json::to_value(data.fingerprint()).unwrap_or_default();
    match saved.filter(|saved| **saved != fingerprint) {
        Some(saved) => Err(TrainError::Refused {
            what: format!("the content of {}", config.data.path.display()),
            saved: saved.to_string(),
            asked: fingerprint.to_string(),
            remedy: "; `--set data.path=…` says where the run's data lives now".to_owned(),
        }),
        None => Ok(()),
    }
}

/// The place of a part that a run no longer has: it takes whatever was saved.
struct LetGo;

impl Part for LetGo {
    fn save(&self) -> Result<State, StateError> {
        Ok(State::default())
    }

    fn check(&self, _: &State) -> Result<(), StateError> {
        Ok(())
    }

    fn load(&mut self, _: &State) -> Result<(), StateError> {
        Ok(())
    }
}
