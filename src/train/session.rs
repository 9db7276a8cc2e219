//! Everything in a run that has memory, made from a configuration, saved to and restored from checkpoints.

use std::path::Path;

use candle_core::{Device, Tensor, safetensors};
use serde::Deserialize;
use serde_json::{Value, json};

use super::config::{Config, Metric, word};
use super::metrics::{self, EpochMean, Evaluation, Measured, Objective, to_f64};
use super::schedulers::Schedulers;
use super::{TrainError, load};
use crate::checkpoint::{Checkpoint, CheckpointError, Keep, Snapshot};
use crate::data::{Batch, Data, DataError};
use crate::model::{Mode, Model, with_room_for};
use crate::optim::{Gradients, Optimizer, Rates};
use crate::parameters::{Parameters, host_dtype};
use crate::rng::Draws;
use crate::schedule::{RunLength, Scheduler};
use crate::state::{Part, State, StateError};

/// The parts of a run: data, model, optimizer and schedule, and how many updates were made.
pub struct Session {
    config: Config,
    data: Data,
    model: Box<dyn Model>,
    /// What the optimizer updates.
    parameters: Parameters,
    /// The same, and what else the model remembers.
    weights: Parameters,
    objective: Objective,
    optimizer: Optimizer,
    schedulers: Schedulers,
    metric: Metric,
    epoch_mean: EpochMean,
    /// What was measured after the last update.
    measured: Measured,
    keep: Keep,
    step: u64,
    /// What was changed on which resume.
    history: Vec<Value>,
}

impl Session {
    /// A run at its start.
    ///
    /// # Errors
    /// When the data cannot be read, or configuration, data and model do not fit together.
    pub fn new(config: Config) -> Result<Self, TrainError> {
        let device = config.open_device()?;
        let data = Data::open(&config.data, config.seed, &device)?;
        let objective = Objective::new(&config.loss, data.targets())?;
        let model = config.model.build(&data.input(), objective.outputs, config.seed, &device)?;
        let parameters = model.parameters().clone();
        let weights = parameters.and(&model.buffers());
        if let Some(path) = &config.train.initial_weights {
            load_weights(path, &weights, &device)?;
        }
        let optimizer = Optimizer::new(&parameters, config.optimizer.clone())?;
        let steps_per_epoch = data.steps_per_epoch();
        let length = RunLength { total_steps: Some(config.total_steps(steps_per_epoch)), steps_per_epoch };
        let schedulers = Schedulers::new(&config, &optimizer, length)?;
        let metric = metric(&config, &data, objective, &schedulers)?;
        let keep = config.checkpoint.keep.rules(!data.validation_rows().is_empty(), objective, steps_per_epoch)?;
        Ok(Self {
            data,
            model,
            parameters,
            weights,
            objective,
            optimizer,
            schedulers,
            metric,
            epoch_mean: EpochMean::default(),
            measured: Measured::default(),
            keep,
            step: 0,
            history: Vec::new(),
            config,
        })
    }

    /// The run of `config` at the state of `checkpoint`. The configuration may differ from the one in the checkpoint
    /// where a run can change; what changed is added to the history.
    ///
    /// # Errors
    /// As [`Session::new`]; when something was changed that cannot change within a run; or when the checkpoint does
    /// not fit.
    pub fn resume(config: Config, checkpoint: &Checkpoint) -> Result<Self, TrainError> {
        let changes = changes(&config, checkpoint)?;
        // The checkpoint has the weights; the file that they once started from may be gone.
        let mut without_start = config.clone();
        without_start.train.initial_weights = None;
        let mut session = Self { config, ..with_room_for(room(checkpoint), || Self::new(without_start))? };
        refuse_other_content(&session.config, &session.data, checkpoint.field("data"))?;
        session.restore(checkpoint)?;
        session.step = checkpoint.step();
        let measured = checkpoint.field("metrics").map(Measured::deserialize);
        session.measured = measured.and_then(Result::ok).unwrap_or_default();
        session.check_steps(checkpoint.path())?;
        let saved_history = checkpoint.field("history").and_then(Value::as_array);
        session.history = saved_history.cloned().unwrap_or_default();
        if !changes.is_empty() {
            session.history.push(json!({"step": session.step, "changes": changes}));
        }
        Ok(session)
    }

    /// Refuses a checkpoint whose parts disagree about the step, and a run that is shorter than what is done of it.
    fn check_steps(&self, path: &Path) -> Result<(), TrainError> {
        let schedulers = self.schedulers.all().map(|(part, scheduler)| (part, scheduler.t()));
        let epoch_began = self.step - self.step % self.data.steps_per_epoch();
        let mean = epoch_began.saturating_add(self.epoch_mean.updates());
        let mut steps = schedulers.chain([("optimizer", self.optimizer.updates()), ("epoch_mean", mean)]);
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
    pub(super) fn fill(&self, snapshot: Snapshot, folder: &Path) -> Result<Snapshot, CheckpointError> {
        let config = serde_json::to_value(self.config.relative_to(folder)).unwrap_or_default();
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
        self.schedulers.all().try_fold(snapshot, |snapshot, (name, scheduler)| snapshot.part(name, scheduler))
    }

    /// The configuration.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// How many updates were made; the number of the next.
    pub fn step(&self) -> u64 {
        self.step
    }

    /// How many updates the run has.
    pub fn total_steps(&self) -> u64 {
        self.config.total_steps(self.data.steps_per_epoch())
    }

    /// How many updates an epoch has.
    pub fn steps_per_epoch(&self) -> u64 {
        self.data.steps_per_epoch()
    }

    /// What was changed on which resume, oldest first.
    pub fn history(&self) -> &[Value] {
        &self.history
    }

    /// Which checkpoints stay.
    pub(super) fn keep(&self) -> &Keep {
        &self.keep
    }

    /// The device, as a checkpoint names it.
    pub fn device_name(&self) -> &str {
        &self.config.device
    }

    /// The schedule of the learning rate, where it is.
    pub fn scheduler(&self) -> &Scheduler {
        self.schedulers.lr()
    }

    /// How long the run is, as its schedules see it.
    pub fn length(&self) -> RunLength {
        RunLength { total_steps: Some(self.total_steps()), steps_per_epoch: self.steps_per_epoch() }
    }

    /// The base rate of each group.
    pub fn base_lrs(&self) -> Vec<f64> {
        self.optimizer.base_lrs()
    }

    /// What the next update uses in each group.
    pub fn rates(&self) -> Vec<Rates> {
        self.schedulers.rates()
    }

    /// The batch that the next update learns from.
    pub(super) fn batch(&self) -> Result<Batch, TrainError> {
        Ok(self.data.batch(self.step)?)
    }

    /// The mean loss over the rows of a batch in training, with the dropout of this step, and its clipped gradients. What
    /// is accumulated over micro-batches never leaves this function, so no checkpoint can come in between.
    pub(super) fn gradients(&self, batch: &Batch) -> Result<(f64, Gradients), TrainError> {
        let (mut mean, mut sum): (f64, Option<Gradients>) = (0.0, None);
        for (number, piece) in batch.pieces(self.config.train.accumulate.unwrap_or(1))?.iter().enumerate() {
            let share = piece.rows() as f64 / batch.rows() as f64;
            let (loss, value) = self.loss(piece, number)?;
            mean += share * value;
            let gradients = Gradients::of(&if share < 1.0 { (loss * share)? } else { loss }, &self.parameters)?;
            sum = Some(match sum {
                Some(sum) => sum.plus(&gradients)?,
                None => gradients,
            });
        }
        let gradients = sum.ok_or(DataError::NothingToVisit)?;
        Ok(match self.config.train.clip_norm {
            Some(max_norm) => (mean, gradients.clip(max_norm)?),
            None => (mean, gradients),
        })
    }

    /// The mean loss over the rows of a micro-batch: the tensor and its value.
    fn loss(&self, batch: &Batch, micro_batch: usize) -> Result<(Tensor, f64), TrainError> {
        let draws = Draws::at(self.config.seed, self.step).of_micro_batch(micro_batch);
        let outputs = self.model.forward(&batch.inputs, Mode::Train(&draws))?;
        let loss = self.objective.loss(&outputs, &batch.targets)?;
        let value = to_f64(&loss)?;
        Ok((loss, value))
    }

    /// Makes an update, after which the next step begins.
    pub(super) fn update(&mut self, gradients: &Gradients, rates: &[Rates], loss: f64) -> Result<(), TrainError> {
        self.optimizer.update(gradients, rates)?;
        self.schedulers.advance();
        self.epoch_mean.add(loss);
        self.measured = Measured::default();
        self.step += 1;
        Ok(())
    }

    /// Whether there are validation rows and it is time to evaluate the model on them.
    pub(super) fn validation_is_due(&self) -> bool {
        let every = self.config.validation.every;
        let has_rows = !self.data.validation_rows().is_empty();
        has_rows && every.is_due(self.step, self.data.steps_per_epoch(), Default::default())
    }

    /// Evaluates the model on the validation rows where that is due, and tells the schedule.
    pub(super) fn validate_when_due(&mut self) -> Result<Option<Evaluation>, TrainError> {
        if !self.validation_is_due() {
            return Ok(None);
        }
        let evaluation = metrics::evaluate(self.model.as_ref(), &self.objective, self.data.validation_batches())?;
        if let Some(evaluation) = evaluation {
            self.measured.validation_loss = Some(evaluation.loss);
            self.measured.validation_accuracy = evaluation.accuracy;
            match self.metric {
                Metric::ValidationLoss => self.schedulers.report(evaluation.loss),
                Metric::ValidationAccuracy => self.schedulers.report(evaluation.accuracy.unwrap_or(f64::NAN)),
                Metric::TrainingLoss => {}
            }
        }
        Ok(evaluation)
    }

    /// At the end of an epoch its number, from 1, and the mean loss of its updates; tells the schedule.
    pub(super) fn end_epoch_when_due(&mut self) -> Option<(u64, f64)> {
        if !self.step.is_multiple_of(self.data.steps_per_epoch()) {
            return None;
        }
        let mean = self.epoch_mean.take();
        self.measured.training_loss = Some(mean);
        if self.metric == Metric::TrainingLoss {
            self.schedulers.report(mean);
        }
        Some((self.step / self.data.steps_per_epoch(), mean))
    }
}

/// How many weights the model of a checkpoint's configuration may have: as many as the checkpoint has bytes of them, and
/// some more, so that the tensors of a small one are compared by name and shape.
pub(crate) fn room(checkpoint: &Checkpoint) -> usize {
    const SLACK: usize = 1 << 20;
    let tensors = checkpoint.state("model").into_iter().flat_map(|state| state.tensors.values());
    tensors.map(|tensor| tensor.bytes.len()).sum::<usize>() + SLACK
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

/// What the schedule is told: as configured, or the validation loss where there is one.
fn metric(config: &Config, data: &Data, objective: Objective, schedulers: &Schedulers) -> Result<Metric, TrainError> {
    let validates = !data.validation_rows().is_empty();
    let usual = if validates { Metric::ValidationLoss } else { Metric::TrainingLoss };
    let metric = config.train.metric.unwrap_or(usual);
    let wrong = |rule: &str| {
        let (field, value) = ("train.metric".to_owned(), word(&metric));
        Err(TrainError::Field { field, value, rule: rule.to_owned() })
    };
    match metric {
        _ if !schedulers.wants_metric() => Ok(metric),
        Metric::ValidationLoss | Metric::ValidationAccuracy if !validates => {
            wrong("there are no validation rows; set `data.validation` to a share of the rows")
        }
        Metric::ValidationAccuracy if !objective.has_classes() => wrong("the data has values, not classes"),
        Metric::ValidationAccuracy if schedulers.want_less() => {
            wrong("grows as the model gets better, and the schedule takes less for better; give it mode=\"max\"")
        }
        _ => Ok(metric),
    }
}

/// Sets `parameters` from the tensors of their names in a safetensors file; other tensors in it are left alone.
fn load_weights(path: &Path, parameters: &Parameters, device: &Device) -> Result<(), TrainError> {
    let wrong = |rule: String| TrainError::Field {
        field: "train.initial_weights".to_owned(),
        value: path.display().to_string(),
        rule,
    };
    let tensors = safetensors::load(path, device).map_err(|error| wrong(error.to_string()))?;
    for (name, parameter) in parameters.iter() {
        let tensor = tensors.get(name).ok_or_else(|| wrong(format!("has no tensor `{name}`")))?;
        if tensor.dims() != parameter.dims() || tensor.dtype() != parameter.dtype() {
            let (has, needs) = (host_dtype(tensor.dtype()), host_dtype(parameter.dtype()));
            let (shape, own) = (tensor.dims(), parameter.dims());
            return Err(wrong(format!("has `{name}` as {has:?}{shape:?}, and the model as {needs:?}{own:?}")));
        }
        parameter.set(tensor)?;
    }
    Ok(())
}

/// Settings that a run's position or shape depends on.
fn is_fixed(key: &str) -> bool {
    let decides_rows = key.starts_with("data.") && !load::is_data_path(key);
    let decides_shape = key.starts_with("model.")
        && !["model.dropout", "model.activation", "model.checkpoint_activations"].contains(&key);
    // The weights that a run began with are long trained on.
    let others = ["seed", "optimizer.kind", "loss.kind", "train.initial_weights"];
    decides_rows || decides_shape || others.contains(&key)
}

/// Refuses a configuration, as a checkpoint holds it, that differs from the saved one in what cannot change.
pub(super) fn refuse_fixed(saved: &Value, asked: &Value) -> Result<(), TrainError> {
    match load::differences(saved, asked).into_iter().find(|(key, ..)| is_fixed(key)) {
        Some((what, saved, asked)) => Err(TrainError::Refused {
            what,
            saved: saved.to_string(),
            asked: asked.to_string(),
            remedy: "; start a new run for that".to_owned(),
        }),
        None => Ok(()),
    }
}

/// Where `config` differs from the one in the checkpoint, for the history.
fn changes(config: &Config, checkpoint: &Checkpoint) -> Result<Vec<Value>, TrainError> {
    let base = load::base_of(checkpoint.path());
    let Some(saved) = checkpoint.field("config") else { return Ok(Vec::new()) };
    let mut asked = serde_json::to_value(config.relative_to(&base)).unwrap_or_default();
    if let Some(weights) = saved["train"].get("initial_weights") {
        // That file may be gone, and how a path is written then depends on where it was looked for.
        asked["train"]["initial_weights"] = weights.clone();
    }
    refuse_fixed(saved, &asked)?;
    // The same data elsewhere is the same data.
    let changed = load::differences(saved, &asked).into_iter().filter(|(key, ..)| !load::is_data_path(key));
    Ok(changed.map(|(key, from, to)| json!({"key": key, "from": from, "to": to})).collect())
}
