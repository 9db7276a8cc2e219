//! What is measured: the loss of a batch, the mean over an epoch, and the figures of a validation.

use candle_core::{D, DType, Tensor};
use serde::{Deserialize, Serialize};

use super::TrainError;
use super::config::{LossConfig, LossKind, Metric, word};
use crate::data::{Batch, DataError, TargetKind};
use crate::model::{Mode, Model};
use crate::ops::loss;
use crate::state::{Part, State, StateError};

/// A loss that fits the data's targets.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Objective {
    pub kind: LossKind,
    label_smoothing: f64,
    /// How many numbers the model puts out for each row, or for each position of one.
    pub outputs: usize,
}

impl Objective {
    /// The loss that `config` asks for, or the usual one for `targets`.
    pub fn new(config: &LossConfig, targets: TargetKind) -> Result<Self, TrainError> {
        let usual = match targets {
            TargetKind::Values { .. } => LossKind::Mse,
            TargetKind::Classes { .. } => LossKind::CrossEntropy,
        };
        let kind = config.kind.unwrap_or(usual);
        let wrong =
            |field: &str, value: String, rule: String| TrainError::Field { field: field.to_owned(), value, rule };
        let outputs = match (kind, targets) {
            (LossKind::Mse, TargetKind::Values { width }) => width,
            (LossKind::CrossEntropy, TargetKind::Classes { count }) => count,
            (LossKind::BinaryCrossEntropy, TargetKind::Classes { count: 2 }) => 1,
            (_, targets) => {
                let rule = format!("does not fit the data, whose targets are {}", describe(targets));
                return Err(wrong("loss.kind", word(&kind), rule));
            }
        };
        if kind == LossKind::Mse && config.label_smoothing > 0.0 {
            let rule = "mean squared error has no labels to smooth".to_owned();
            return Err(wrong("loss.label_smoothing", config.label_smoothing.to_string(), rule));
        }
        Ok(Self { kind, label_smoothing: config.label_smoothing, outputs })
    }

    /// The loss to train on, a scalar.
    pub fn loss(&self, outputs: &Tensor, targets: &Tensor) -> candle_core::Result<Tensor> {
        self.with_smoothing(self.label_smoothing, outputs, targets)
    }

    fn with_smoothing(&self, smoothing: f64, outputs: &Tensor, targets: &Tensor) -> candle_core::Result<Tensor> {
        match self.kind {
            LossKind::Mse => loss::mean_squared_error(outputs, targets),
            LossKind::CrossEntropy => loss::cross_entropy(outputs, targets, smoothing),
            LossKind::BinaryCrossEntropy => loss::binary_cross_entropy(outputs, targets, smoothing),
        }
    }

    /// Whether the targets are classes.
    pub fn has_classes(&self) -> bool {
        self.kind != LossKind::Mse
    }

    /// How many targets are classified right; none for values.
    fn correct(&self, outputs: &Tensor, targets: &Tensor) -> candle_core::Result<Option<f64>> {
        let predicted = match self.kind {
            LossKind::Mse => return Ok(None),
            LossKind::CrossEntropy => outputs.argmax(D::Minus1)?,
            LossKind::BinaryCrossEntropy => outputs.flatten_all()?.gt(0f64)?.to_dtype(DType::U32)?,
        };
        let right = predicted.eq(targets)?.flatten_all()?.to_vec1::<u8>()?;
        Ok(Some(right.into_iter().map(f64::from).sum()))
    }
}

fn describe(targets: TargetKind) -> String {
    match targets {
        TargetKind::Values { width: 1 } => "one value a row".to_owned(),
        TargetKind::Values { width } => format!("{width} values a row"),
        TargetKind::Classes { count } => format!("{count} classes"),
    }
}

/// What a validation finds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Evaluation {
    /// Mean loss over the targets, without label smoothing.
    #[serde(rename = "val_loss")]
    pub loss: f64,
    /// Share of targets that are classified right, where there are classes.
    #[serde(rename = "val_accuracy", default, skip_serializing_if = "Option::is_none")]
    pub accuracy: Option<f64>,
}

/// What was measured after an update, as a checkpoint of that step holds it. Empty between validations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Measured {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub training_loss: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validation_loss: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validation_accuracy: Option<f64>,
}

impl Measured {
    /// The figure that is called so, where it is known.
    pub fn figure(&self, metric: Metric) -> Option<f64> {
        match metric {
            Metric::TrainingLoss => self.training_loss,
            Metric::ValidationLoss => self.validation_loss,
            Metric::ValidationAccuracy => self.validation_accuracy,
        }
    }
}

/// Sums over the batches of one evaluation. Where a row has a class for each position, all positions count alike.
#[derive(Debug, Default)]
struct EvaluationSums {
    targets: f64,
    loss: f64,
    correct: Option<f64>,
}

impl EvaluationSums {
    /// Adds a batch.
    pub fn add(&mut self, objective: &Objective, outputs: &Tensor, targets: &Tensor) -> Result<(), TrainError> {
        let count = if objective.has_classes() { targets.elem_count() } else { targets.dim(0)? } as f64;
        self.targets += count;
        self.loss += count * to_f64(&objective.with_smoothing(0.0, outputs, targets)?)?;
        if let Some(correct) = objective.correct(outputs, targets)? {
            *self.correct.get_or_insert(0.0) += correct;
        }
        Ok(())
    }

    /// The means; none without rows.
    pub fn mean(&self) -> Option<Evaluation> {
        let mean = || Evaluation { loss: self.loss / self.targets, accuracy: self.correct.map(|n| n / self.targets) };
        (self.targets > 0.0).then(mean)
    }
}

/// What a model comes to on these batches; nothing without rows.
pub(crate) fn evaluate(
    model: &dyn Model,
    objective: &Objective,
    batches: impl IntoIterator<Item = Result<Batch, DataError>>,
) -> Result<Option<Evaluation>, TrainError> {
    let mut sums = EvaluationSums::default();
    for batch in batches {
        let batch = batch?;
        sums.add(objective, &model.forward(&batch.inputs, Mode::Evaluate)?, &batch.targets)?;
    }
    Ok(sums.mean())
}

/// Reads a scalar of any float dtype.
pub(super) fn to_f64(scalar: &Tensor) -> candle_core::Result<f64> {
    match scalar.dtype() {
        DType::F64 => scalar.to_scalar::<f64>(),
        _ => Ok(f64::from(scalar.to_dtype(DType::F32)?.to_scalar::<f32>()?)),
    }
}

/// The mean loss over the updates of the current epoch. It has memory: a run resumed in mid-epoch must print the
/// same mean at its end.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct EpochMean {
    loss_sum: f64,
    updates: u64,
}

impl EpochMean {
    pub fn add(&mut self, loss: f64) {
        self.loss_sum += loss;
        self.updates += 1;
    }

    /// Over how many updates it is so far.
    pub fn updates(&self) -> u64 {
        self.updates
    }

    /// The mean, after which a new epoch begins.
    pub fn take(&mut self) -> f64 {
        let Self { loss_sum, updates } = std::mem::take(self);
        loss_sum / updates as f64
    }
}

impl Part for EpochMean {
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
