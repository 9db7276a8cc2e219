//! Status of a run, read from one of its checkpoints.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Serialize;
use serde_json::Value;

use super::course::Course;
use super::kept::KeptStatus;
use super::layers::{Layer, layers};
use super::measured::Measured;
use super::statistics::{TensorSummary, summarize};
use crate::checkpoint::{Checkpoint, FileEntry, Folder, Outline, WrittenBy};
use crate::data::Epochs;
use crate::schedule::{RunLength, Schedule, Scheduler};
use crate::state::Stateful;
use crate::train::{Kept, TrainError, base_of};

/// Number of future rates in the status.
const RATES_SHOWN: u64 = 5;

/// Status of a run. Of our own it has a step, files with digests and the build that wrote it; another trainer's has other
/// types in their place ([`PeerStatus`](crate::peers::report::PeerStatus)).
#[derive(Debug, Serialize)]
pub struct RunStatus<S = u64, F = FileEntry, W = WrittenBy> {
    /// The checkpoint's directory.
    #[serde(serialize_with = "crate::report::path_text::path_text")]
    pub path: PathBuf,
    /// Updates made; the number of the next.
    pub step: S,
    /// Updates of the whole run, if the checkpoint contains it.
    pub total_steps: Option<u64>,
    /// Updates of one epoch, if the checkpoint contains it.
    pub steps_per_epoch: Option<u64>,
    /// Epochs completed.
    pub epoch: Option<u64>,
    /// Updates made in the current epoch: the position of the next update in the data.
    pub step_in_epoch: Option<u64>,
    /// Updates of the current epoch.
    pub steps_in_epoch: Option<u64>,
    /// Number of samples seen.
    pub samples: Option<u64>,
    /// The seed of the run.
    pub seed: Option<u64>,
    /// The schedule of the learning rate as one line of text.
    pub schedule: Option<String>,
    /// The memory of the schedule.
    pub memory: Value,
    /// The schedule of the momentum, if it has a separate one.
    pub momentum_schedule: Option<String>,
    /// The memory of the momentum schedule.
    pub momentum_memory: Value,
    /// The schedule of the weight decay, if there is one.
    pub weight_decay_schedule: Option<String>,
    /// The memory of the weight decay schedule.
    pub weight_decay_memory: Value,
    /// The schedule of the second beta, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub beta2_schedule: Option<String>,
    /// The schedule of the decay of `[ema]`, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ema_decay_schedule: Option<String>,
    /// The small numbers of the averages of the weights, by name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub averages: BTreeMap<String, Value>,
    /// The memory of early stopping, if there is one.
    #[serde(skip_serializing_if = "Value::is_null")]
    pub early_stopping: Value,
    /// Kind of the optimizer.
    pub optimizer: Option<String>,
    /// Its hyperparameters.
    pub hyperparameters: Value,
    /// Its parameter groups.
    pub groups: Vec<GroupStatus>,
    /// The state of the loss scale, if the model computes in f16.
    #[serde(skip_serializing_if = "Value::is_null")]
    pub loss_scale: Value,
    /// Number of updates that were skipped because a gradient overflowed in f16.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub skipped: Option<u64>,
    /// The identity of the data.
    pub data: Value,
    /// The configuration.
    pub config: Value,
    /// The configuration changes of each resume.
    pub history: Vec<Value>,
    /// Retention of the run's checkpoints, if the run was given and not a single checkpoint.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kept: Option<KeptStatus>,
    /// The metrics in the run's log up to its step, if there is a log.
    pub measured: Measured,
    /// The next steps of the run.
    pub course: Course,
    /// The tensors of the model by layer.
    pub layers: Vec<Layer>,
    /// Statistics of every tensor.
    pub tensors: Vec<TensorSummary>,
    /// The files.
    pub files: Vec<F>,
    /// Whether each file was read and its digest is right.
    pub is_verified: bool,
    /// The build and the machine that wrote it.
    pub written_by: W,
}

/// Status of a parameter group.
#[derive(Debug, Serialize)]
pub struct GroupStatus {
    /// The name of the group's update rule if it differs from the optimizer's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Its parameters.
    pub parameters: Vec<String>,
    /// Base learning rate.
    pub base_lr: Option<f64>,
    /// Rate of the next update.
    pub lr: Option<f64>,
    /// Rates of the next updates, starting with the next one, as far as they do not depend on metrics.
    pub next_lrs: Vec<f64>,
    /// The group's own weight decay, the base of its schedule.
    pub base_weight_decay: Option<f64>,
    /// Weight decay of the next update.
    pub weight_decay: Option<f64>,
    /// Weight decays of the next updates, if a schedule drives it.
    pub next_weight_decays: Vec<f64>,
    /// The group's own momentum, or first beta, the base of its schedule.
    pub base_momentum: Option<f64>,
    /// Momentum of the next update.
    pub momentum: Option<f64>,
    /// Momenta of the next updates, if a schedule drives it.
    pub next_momenta: Vec<f64>,
}

impl RunStatus {
    /// Reads the status from a checkpoint of any program; missing parts are left out.
    pub fn of(checkpoint: &Checkpoint) -> Self {
        let tensors = checkpoint.parts().flat_map(|part| {
            let tensors = checkpoint.state(part).map(|state| &state.tensors);
            tensors.into_iter().flatten().map(move |(name, tensor)| summarize(part, name, tensor))
        });
        let tensors: Vec<TensorSummary> = tensors.collect();
        Self { layers: layers(&tensors), tensors, is_verified: true, ..Self::of_outline(&checkpoint.outline()) }
    }

    /// Adds the metrics of the run's log.
    pub fn in_its_run(mut self) -> Self {
        self.measured = Measured::of_run(&base_of(&self.path), self.step);
        self
    }

    /// Reads the status from an outline, without statistics of tensors.
    pub fn of_outline(checkpoint: &Outline) -> Self {
        let number = |name| checkpoint.field(name).and_then(Value::as_u64);
        let field = |name| checkpoint.field(name).cloned().unwrap_or_default();
        let tensors: Vec<TensorSummary> = checkpoint.tensors().iter().map(TensorSummary::of_outline).collect();
        let (step, steps_per_epoch) = (checkpoint.step(), number("steps_per_epoch"));
        let epochs = Epochs::of_checkpoint(|name| checkpoint.field(name));
        let optimizer = checkpoint.state("optimizer").map(|state| &state.json);
        let [lr, momentum, weight_decay] = PARTS.map(|part| schedule(checkpoint, part));
        let [lr_memory, momentum_memory, weight_decay_memory] = PARTS.map(|part| memory(checkpoint, part));
        let schedulers = Schedulers(PARTS.map(|part| scheduler(checkpoint, part)));
        Self {
            path: checkpoint.path().to_owned(),
            step,
            total_steps: number("total_steps"),
            steps_per_epoch,
            epoch: number("epoch"),
            step_in_epoch: epochs.as_ref().map(|epochs| epochs.within(step).0),
            steps_in_epoch: epochs.as_ref().map(|epochs| epochs.within(step).1),
            samples: number("samples"),
            seed: number("seed"),
            schedule: lr.map(|schedule| schedule.to_string()),
            memory: lr_memory,
            momentum_schedule: momentum.map(|schedule| schedule.to_string()),
            momentum_memory,
            weight_decay_schedule: weight_decay.map(|schedule| schedule.to_string()),
            weight_decay_memory,
            beta2_schedule: schedule(checkpoint, "schedulers.beta2").map(|schedule| schedule.to_string()),
            ema_decay_schedule: schedule(checkpoint, "schedulers.ema_decay").map(|schedule| schedule.to_string()),
            averages: averages(checkpoint),
            early_stopping: state_of(checkpoint, "early_stopping"),
            optimizer: optimizer.and_then(|json| json["kind"].as_str()).map(str::to_owned),
            hyperparameters: optimizer.map(|json| json["hyperparameters"].clone()).unwrap_or_default(),
            groups: schedulers.groups(optimizer),
            loss_scale: checkpoint.state("loss_scale").map(|state| state.json.clone()).unwrap_or_default(),
            skipped: optimizer.and_then(|json| json["skipped"].as_u64()),
            data: field("data"),
            config: field("config"),
            measured: Measured::default(),
            course: Course::from_step(step, number("total_steps"), epochs.as_ref(), &field("config")),
            layers: layers(&tensors),
            history: field("history").as_array().cloned().unwrap_or_default(),
            kept: None,
            tensors,
            files: checkpoint.manifest().files.clone(),
            is_verified: false,
            written_by: checkpoint.manifest().written_by.clone(),
        }
    }
}

impl RunStatus {
    /// Adds the retention of the checkpoints in the run's `folder`.
    ///
    /// # Errors
    /// The folder cannot be listed, or its retention rules are invalid.
    pub fn beside(self, folder: &Folder) -> Result<Self, TrainError> {
        let kept = Kept::look(folder, self.step, &self.config, self.steps_per_epoch)?;
        Ok(Self { kept: Some(KeptStatus::new(kept, &self.config)), ..self })
    }
}

/// The parts of a checkpoint that are schedules, of the learning rate, the momentum and the weight decay.
const PARTS: [&str; 3] = ["schedulers.lr", "schedulers.momentum", "schedulers.weight_decay"];

/// Returns a schedule of the checkpoint.
fn schedule(checkpoint: &Outline, part: &str) -> Option<Schedule> {
    serde_json::from_value(checkpoint.state(part)?.json["spec"].clone()).ok()
}

/// Returns the small numbers of the averages of the weights.
fn averages(checkpoint: &Outline) -> BTreeMap<String, Value> {
    let saved = |name: &str| (name.to_owned(), state_of(checkpoint, &format!("components.{name}")));
    ["ema", "swa"].map(saved).into_iter().filter(|(_, saved)| !saved.is_null()).collect()
}

/// Returns the small numbers of a part; null if there is none.
fn state_of(checkpoint: &Outline, part: &str) -> Value {
    checkpoint.state(part).map(|state| state.json.clone()).unwrap_or_default()
}

fn memory(checkpoint: &Outline, part: &str) -> Value {
    checkpoint.state(part).map(|state| state.json["memory"].clone()).unwrap_or_default()
}

/// Returns a scheduler of the checkpoint; `None` if its rates depend on lengths that only the program that saved it
/// knows.
pub(crate) fn scheduler(checkpoint: &Outline, part: &str) -> Option<Scheduler> {
    let (state, schedule) = (checkpoint.state(part)?, schedule(checkpoint, part)?);
    let bases: Vec<f64> = serde_json::from_value(state.json["base_lrs"].clone()).ok()?;
    let steps_per_epoch = checkpoint.field("steps_per_epoch").and_then(Value::as_u64).unwrap_or(1);
    let run = RunLength { total_steps: checkpoint.field("total_steps").and_then(Value::as_u64), steps_per_epoch };
    let mut scheduler = Scheduler::new(schedule, bases, run).ok()?;
    scheduler.load(state).ok()?;
    let is_known = checkpoint.field("steps_per_epoch").is_some() || !scheduler.needs_run_length();
    is_known.then_some(scheduler)
}

/// The schedulers of [`PARTS`].
struct Schedulers([Option<Scheduler>; 3]);

impl Schedulers {
    fn groups(&self, optimizer: Option<&Value>) -> Vec<GroupStatus> {
        let saved = optimizer.and_then(|json| json["groups"].as_array()).map(Vec::as_slice).unwrap_or_default();
        let [lr, momentum, weight_decay] = &self.0;
        let group = |index: usize| {
            let saved = saved.get(index).unwrap_or(&Value::Null);
            let names = saved["parameters"].as_array().into_iter().flatten();
            let next_lrs = next(lr, |scheduler, t| scheduler.rates_at(t).get(index).copied());
            let next_weight_decays = next(weight_decay, |scheduler, t| scheduler.rates_at(t).get(index).copied());
            let own = next(momentum, |scheduler, t| scheduler.rates_at(t).get(index).copied());
            // As in training, a schedule of the learning rate may drive the momentum too.
            let by_rate = next(lr, |scheduler, t| scheduler.momentum_at(t, index));
            let next_momenta = if by_rate.is_empty() { own } else { by_rate };
            GroupStatus {
                kind: saved["kind"].as_str().map(str::to_owned),
                parameters: names.filter_map(|name| name.as_str().map(str::to_owned)).collect(),
                base_lr: lr.as_ref().and_then(|s| s.base_lrs().get(index).copied()).or(saved["lr"].as_f64()),
                lr: next_lrs.first().copied(),
                next_lrs,
                base_weight_decay: saved["weight_decay"].as_f64(),
                weight_decay: next_weight_decays.first().copied().or(saved["weight_decay"].as_f64()),
                next_weight_decays,
                base_momentum: saved["momentum"].as_f64(),
                momentum: next_momenta.first().copied().or(saved["momentum"].as_f64()),
                next_momenta,
            }
        };
        let groups = |scheduler: &Option<Scheduler>| scheduler.as_ref().map_or(0, |s| s.base_lrs().len());
        (0..saved.len().max(groups(lr))).map(group).collect()
    }
}

/// Evaluates a scheduler at the next updates.
fn next(scheduler: &Option<Scheduler>, value: impl Fn(&Scheduler, u64) -> Option<f64>) -> Vec<f64> {
    let values = |s: &Scheduler| (0..RATES_SHOWN).filter_map(|ahead| value(s, s.t().saturating_add(ahead))).collect();
    scheduler.as_ref().map(values).unwrap_or_default()
}
