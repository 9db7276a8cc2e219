//! The record of a step: all results of an update, as one value for every sink.

use serde::{Deserialize, Serialize};

use super::metrics::{Evaluation, TestFigures};
use crate::optim::StepHyperparams;

/// All results of a step. Its serialized form is a line of `log.jsonl`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct StepRecord {
    /// Number of the update, from 0.
    pub step: u64,
    /// Number of its epoch, from 1.
    pub epoch: u64,
    /// The rate of each group.
    pub lr: Vec<f64>,
    /// The momentum of each group, if a schedule drives it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub momentum: Option<Vec<f64>>,
    /// The weight decay of each group, if a schedule drives it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight_decay: Option<Vec<f64>>,
    /// The second beta of each group, if a schedule drives it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub beta2: Option<Vec<f64>>,
    /// The decay of `[ema]`, if a schedule drives it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ema_decay: Option<f64>,
    /// The loss of its batch, computed before the update.
    pub loss: f64,
    /// The global norm of its gradients before clipping. Not finite, and not in the log, if the update was skipped.
    #[serde(default = "unknown", skip_serializing_if = "is_not_finite")]
    pub grad_norm: f64,
    /// The factor of the loss with which the gradients were computed, if the model computes in f16.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loss_scale: Option<f64>,
    /// Whether the update was skipped, because a gradient overflowed in f16.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub skipped: bool,
    /// The validation after it, if there was one.
    #[serde(flatten)]
    pub validation: Option<Evaluation>,
    /// The evaluation of the test rows after the last update, if there are any.
    #[serde(flatten)]
    pub test: Option<TestFigures>,
    /// The mean loss over the updates of the epoch, if this is its last one. Not in the log, because it can be computed
    /// from the log's lines.
    #[serde(skip)]
    pub epoch_loss: Option<f64>,
    /// Hyperparameters of the next update in each group. Not in the log, because the next line has them.
    #[serde(skip)]
    pub next: Vec<StepHyperparams>,
}

fn unknown() -> f64 {
    f64::NAN
}

fn is_not_finite(norm: &f64) -> bool {
    !norm.is_finite()
}

impl StepRecord {
    /// Creates the record of update number `step`, before any validation.
    pub(super) fn new(step: u64, epoch: u64, rates: &[StepHyperparams], loss: f64, grad_norm: f64) -> Self {
        let of_groups = |value: fn(&StepHyperparams) -> Option<f64>| rates.iter().map(value).collect();
        Self {
            step,
            epoch,
            lr: rates.iter().map(|rates| rates.lr).collect(),
            momentum: of_groups(|rates| rates.momentum),
            weight_decay: of_groups(|rates| rates.weight_decay),
            beta2: of_groups(|rates| rates.beta2),
            ema_decay: None,
            loss,
            grad_norm,
            loss_scale: None,
            skipped: false,
            validation: None,
            test: None,
            epoch_loss: None,
            next: Vec::new(),
        }
    }

    /// Adds the decay of the average of the weights, if a schedule drives it.
    pub(super) fn with_ema_decay(self, ema_decay: Option<f64>) -> Self {
        Self { ema_decay, ..self }
    }

    /// Adds the loss scale of the update, and whether the update was skipped.
    pub(super) fn scaled(self, loss_scale: Option<f64>, skipped: bool) -> Self {
        Self { loss_scale, skipped, ..self }
    }

    /// Returns the number of updates made, including this one.
    pub fn done(&self) -> u64 {
        self.step + 1
    }
}
