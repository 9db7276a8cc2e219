//! Metrics of training: the loss of a batch, the mean over an epoch, and the results of a validation.

use std::collections::BTreeMap;

use candle_core::Tensor;
use serde::de::{DeserializeOwned, Deserializer, Error as _};
use serde::{Deserialize, Serialize, Serializer};
use serde_json::Value;

use super::TrainError;
use super::config::figure::{Metric, figure_of};
use crate::data::{Batch, Data, DataError, Dataset, TargetScale};
use crate::loss::{self, Loss};
use crate::metric::{ACCURACY, MetricConfig, Tally, Task};
use crate::model::{Mode, Model};
use crate::optim::to_f64;
use crate::state::{State, StateError, Stateful};

/// Result of a validation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Evaluation {
    /// Mean loss over the targets, without label smoothing.
    #[serde(rename = "val_loss")]
    pub loss: f64,
    /// Share of correctly classified targets, if there are classes.
    #[serde(rename = "val_accuracy", default, skip_serializing_if = "Option::is_none")]
    pub accuracy: Option<f64>,
    /// Other metrics: `validation_<name>` for each.
    #[serde(flatten, deserialize_with = "of_validation")]
    pub metrics: BTreeMap<String, f64>,
    /// Lists of numbers that belong to metrics, such as one for each class: `validation_<name>` for each.
    #[serde(flatten, deserialize_with = "of_validation")]
    pub lists: BTreeMap<String, Vec<f64>>,
}

/// Result of an evaluation of the test rows. Its serialized form is `test_<name>` for each number.
#[derive(Clone, Debug, PartialEq)]
pub struct TestFigures {
    /// Mean loss over the targets, without label smoothing.
    pub loss: f64,
    /// Share of correctly classified targets, if there are classes.
    pub accuracy: Option<f64>,
    /// Other metrics, by name.
    pub metrics: BTreeMap<String, f64>,
}

impl TestFigures {
    /// Returns all numbers by their full names: `test_loss`, `test_accuracy`, and `test_<name>` for each metric.
    pub fn named(&self) -> impl Iterator<Item = (String, f64)> {
        let first = [("loss", Some(self.loss)), ("accuracy", self.accuracy)];
        let first = first.into_iter().filter_map(|(name, number)| Some((name, number?)));
        let others = self.metrics.iter().map(|(name, number)| (name.as_str(), *number));
        first.chain(others).map(|(name, number)| (format!("test_{name}"), number))
    }
}

impl Serialize for TestFigures {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.named())
    }
}

impl<'de> Deserialize<'de> for TestFigures {
    /// Other entries are left out: the figures are in a line of the log.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let all = of_kind::<f64, D>(deserializer)?.into_iter();
        let mut metrics: BTreeMap<String, f64> =
            all.filter_map(|(name, number)| Some((name.strip_prefix("test_")?.to_owned(), number))).collect();
        let loss = metrics.remove("loss").ok_or_else(|| D::Error::missing_field("test_loss"))?;
        Ok(Self { loss, accuracy: metrics.remove("accuracy"), metrics })
    }
}

impl From<Evaluation> for TestFigures {
    fn from(found: Evaluation) -> Self {
        let name = |name: String| name.strip_prefix("validation_").map_or(name.clone(), str::to_owned);
        let metrics = found.metrics.into_iter().map(|(full, value)| (name(full), value)).collect();
        Self { loss: found.loss, accuracy: found.accuracy, metrics }
    }
}

/// Reads the entries that are of one kind, numbers or lists, and leaves the others out.
fn of_kind<'de, T: DeserializeOwned, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<String, T>, D::Error> {
    let all = BTreeMap::<String, Value>::deserialize(deserializer)?;
    let read = all.into_iter().filter_map(|(name, value)| Some((name, serde_json::from_value(value).ok()?)));
    Ok(read.collect())
}

/// Reads the entries of one kind that are of a validation.
fn of_validation<'de, T: DeserializeOwned, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<BTreeMap<String, T>, D::Error> {
    let mut found = of_kind::<T, D>(deserializer)?;
    found.retain(|name, _| name.starts_with("validation_"));
    Ok(found)
}

/// Metrics measured after an update, saved in a checkpoint of that step. Empty between validations.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Measured {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub training_loss: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validation_loss: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validation_accuracy: Option<f64>,
    /// The metrics of the validation, by their full names.
    #[serde(flatten)]
    pub metrics: BTreeMap<String, f64>,
}

impl Measured {
    /// Takes over the result of a validation.
    pub fn take(&mut self, found: &Evaluation) {
        self.validation_loss = Some(found.loss);
        self.validation_accuracy = found.accuracy;
        self.metrics = found.metrics.clone();
    }

    /// Returns the value of a metric, if it is known.
    pub fn figure(&self, metric: Metric) -> Option<f64> {
        match metric {
            Metric::Own(name) => self.metrics.get(&figure_of(name)).copied(),
            Metric::TrainingLoss => self.training_loss,
            Metric::ValidationLoss => self.validation_loss,
            Metric::ValidationAccuracy => self.validation_accuracy,
        }
    }
}

/// Sums over the batches of one evaluation. If a row has a class per position, all positions count equally.
#[derive(Debug, Default)]
struct EvaluationSums {
    targets: f64,
    /// The weights of the targets in the loss: their number, if they are weighted equally.
    weight: f64,
    loss: f64,
    correct: Option<f64>,
}

impl EvaluationSums {
    /// Adds a batch.
    pub fn add(&mut self, loss: &dyn Loss, outputs: &Tensor, targets: &Tensor) -> Result<(), TrainError> {
        let weight = loss.weight(targets)?;
        self.targets += loss::count(targets)? as f64;
        self.weight += weight;
        self.loss += weight * to_f64(&loss.measure(outputs, targets)?)?;
        if let Some(correct) = loss.correct(outputs, targets)? {
            *self.correct.get_or_insert(0.0) += correct as f64;
        }
        Ok(())
    }

    /// Returns the means; `None` without rows.
    pub fn mean(&self) -> Option<Evaluation> {
        let mean = || Evaluation {
            loss: self.loss / self.weight,
            accuracy: self.correct.map(|n| n / self.targets),
            metrics: BTreeMap::new(),
            lists: BTreeMap::new(),
        };
        (self.targets > 0.0).then(mean)
    }

    fn numbers(&self) -> [f64; 4] {
        [self.targets, self.weight, self.loss, self.correct.unwrap_or(f64::NAN)]
    }

    fn add_numbers(&mut self, [targets, weight, loss, correct]: [f64; 4]) {
        self.targets += targets;
        self.weight += weight;
        self.loss += loss;
        if !correct.is_nan() {
            *self.correct.get_or_insert(0.0) += correct;
        }
    }
}

/// How the outputs of a model are judged.
#[derive(Clone, Copy)]
pub(crate) struct Judge<'a> {
    pub loss: &'a dyn Loss,
    pub metrics: &'a [MetricConfig],
    pub task: &'a Task,
    /// The transformation of targets, if there is one. Metrics are of targets and outputs in their unit.
    pub scale: Option<&'a TargetScale>,
}

impl<'a> Judge<'a> {
    fn tallies(&self) -> Vec<(&'a str, Box<dyn Tally>)> {
        // The accuracy of a loss is measured with it.
        let is_measured = |metric: &&MetricConfig| metric.name() == ACCURACY && self.loss.has_accuracy();
        let others = self.metrics.iter().filter(|metric| !is_measured(metric));
        others.map(|metric| (metric.name(), metric.metric().tally_for(self.task))).collect()
    }

    /// Whether several processes can share an evaluation.
    pub(super) fn can_be_shared(&self) -> bool {
        self.tallies().iter().all(|(_, tally)| tally.sums().is_some())
    }

    /// Adds a batch; targets that the loss ignores are left out of everything.
    fn add(
        &self,
        sums: &mut EvaluationSums,
        tallies: &mut [(&str, Box<dyn Tally>)],
        outputs: &Tensor,
        targets: &Tensor,
    ) -> Result<(), TrainError> {
        let Some((outputs, targets)) = loss::counted(self.loss, outputs, targets)? else { return Ok(()) };
        sums.add(self.loss, &outputs, &targets)?;
        if tallies.is_empty() {
            return Ok(());
        }
        let outputs = if targets.dtype().is_int() { outputs } else { self.loss.values(&outputs)? };
        let (outputs, targets) = match self.scale {
            Some(scale) => (scale.invert_tensor(&outputs)?, scale.invert_tensor(&targets)?),
            None => (outputs, targets),
        };
        tallies.iter_mut().try_for_each(|(_, tally)| tally.add(&outputs, &targets))?;
        Ok(())
    }
}

/// Evaluates the model on these batches; `None` if there are no rows.
pub(crate) fn evaluate(
    model: &dyn Model,
    judge: Judge<'_>,
    batches: impl IntoIterator<Item = Result<Batch, DataError>>,
) -> Result<Option<Evaluation>, TrainError> {
    let (mut sums, mut tallies) = (EvaluationSums::default(), judge.tallies());
    for batch in batches {
        let batch = batch?;
        let outputs = model.forward(&batch.inputs, Mode::Evaluate)?;
        judge.add(&mut sums, &mut tallies, &outputs, &batch.targets)?;
    }
    Ok(evaluation(sums, &tallies))
}

/// Evaluates the model on the batches of all processes, of which these are the ones of this process. The sums of the
/// batches are added in their order, as in one process.
pub(super) fn evaluate_shared(
    model: &dyn Model,
    judge: Judge<'_>,
    own: impl IntoIterator<Item = Result<Batch, DataError>>,
    gather: impl FnOnce(&[u8]) -> Result<Vec<Vec<u8>>, TrainError>,
) -> Result<Option<Evaluation>, TrainError> {
    let mut numbers: Vec<f64> = Vec::new();
    for batch in own {
        let batch = batch?;
        let outputs = model.forward(&batch.inputs, Mode::Evaluate)?;
        let (mut sums, mut tallies) = (EvaluationSums::default(), judge.tallies());
        judge.add(&mut sums, &mut tallies, &outputs, &batch.targets)?;
        numbers.extend(sums.numbers());
        for (_, tally) in &tallies {
            let sums = tally.sums().unwrap_or_default();
            numbers.push(sums.len() as f64);
            numbers.extend(sums);
        }
    }
    let all = gather(bytemuck::cast_slice(&numbers))?;
    let all: Vec<f64> = all.iter().flat_map(|bytes| bytemuck::pod_collect_to_vec::<u8, f64>(bytes)).collect();
    let (mut sums, mut tallies) = (EvaluationSums::default(), judge.tallies());
    let mut rest = &all[..];
    while let Some((numbers, after)) = rest.split_first_chunk() {
        sums.add_numbers(*numbers);
        rest = after;
        for (_, tally) in &mut tallies {
            let Some((count, after)) = rest.split_first() else { break };
            let (own, after) = after.split_at((*count as usize).min(after.len()));
            tally.add_sums(own);
            rest = after;
        }
    }
    Ok(evaluation(sums, &tallies))
}

fn evaluation(sums: EvaluationSums, tallies: &[(&str, Box<dyn Tally>)]) -> Option<Evaluation> {
    let figures = tallies.iter().map(|(name, tally)| (figure_of(name), tally.value()));
    // A value that is not finite cannot be written to the log.
    let metrics = figures.filter(|(_, value)| value.is_finite()).collect();
    let lists = tallies.iter().flat_map(|(_, tally)| tally.lists());
    let lists = lists.map(|(name, list)| (figure_of(name), list)).collect();
    sums.mean().map(|found| Evaluation { metrics, lists, ..found })
}

/// Returns the task of predicting the targets of this data with a loss.
pub(super) fn task(data: &Data, loss: &dyn Loss) -> Task {
    Task::new(data.targets()).of_labels(loss.takes_labels()).of_text(data.dataset().token_bytes())
}

/// Refuses a metric that is for another task, and names those for this one.
pub(super) fn check(metrics: &[MetricConfig], task: &Task) -> Result<(), TrainError> {
    let fault = |metric: &MetricConfig| metric.metric().check_task(task).err().map(|rule| (metric.name(), rule));
    match metrics.iter().find_map(fault) {
        Some((name, rule)) => {
            let field = "validation.metrics".to_owned();
            let rule = format!("{rule}; those that fit this data are `{}`", task.metrics().join("`, `"));
            Err(TrainError::Field { field, value: name.to_owned(), rule })
        }
        None => Ok(()),
    }
}

/// The mean loss over the updates of the current epoch. It has state: a run resumed inside an epoch must print the same
/// mean at its end.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct EpochMean {
    loss_sum: f64,
    updates: u64,
    /// Updates among them whose losses are not known, because another trainer made them.
    #[serde(default, skip_serializing_if = "is_zero")]
    missed: u64,
}

fn is_zero(count: &u64) -> bool {
    *count == 0
}

impl EpochMean {
    pub fn add(&mut self, loss: f64) {
        self.loss_sum += loss;
        self.updates += 1;
    }

    /// Begins with updates whose losses are not known.
    #[cfg(feature = "peers")]
    pub fn miss(&mut self, updates: u64) {
        *self = Self { loss_sum: 0.0, updates, missed: updates };
    }

    /// Returns the number of updates so far.
    pub fn updates(&self) -> u64 {
        self.updates
    }

    /// Returns the mean over the updates whose losses are known, and starts a new epoch.
    pub fn take(&mut self) -> f64 {
        let Self { loss_sum, updates, missed } = std::mem::take(self);
        loss_sum / (updates - missed) as f64
    }
}

impl Stateful for EpochMean {
    fn save(&self) -> Result<State, StateError> {
        Ok(State::from_json(serde_json::to_value(self)?))
    }

    fn check(&self, state: &State) -> Result<(), StateError> {
        Self::deserialize(&state.json)?;
        state.expect_tensors([])
    }

    fn load(&mut self, state: &State) -> Result<(), StateError> {
        *self = Self::deserialize(&state.json)?;
        Ok(())
    }
}
