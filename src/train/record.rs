//! The record of a step: all that an update produced, as one value that every sink takes.

use serde::{Deserialize, Serialize};

use super::metrics::Evaluation;
use crate::optim::StepHyperparams;

/// Everything that a step produced. What is serialized is a line of `log.jsonl`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct StepRecord {
    /// Number of the update, from 0.
    pub step: u64,
    /// Number of the epoch it belongs to, from 1.
    pub epoch: u64,
    /// The rate it used, of each group.
    pub lr: Vec<f64>,
    /// The momentum it used, of each group, where a schedule drives it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub momentum: Option<Vec<f64>>,
    /// The weight decay it used, of each group, where a schedule drives it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight_decay: Option<Vec<f64>>,
    /// The loss of its batch, before the update.
    pub loss: f64,
    /// The global norm of its gradients, before clipping.
    pub grad_norm: f64,
    /// The validation after it, where there was one.
    #[serde(flatten)]
    pub validation: Option<Evaluation>,
    /// The mean loss over the updates of the epoch, where this is its last one. Not in the log, whose lines add up to it.
    #[serde(skip)]
    pub epoch_loss: Option<f64>,
    /// What the next update uses in each group. Not in the log, where the next line has it.
    #[serde(skip)]
    pub next: Vec<StepHyperparams>,
}

impl StepRecord {
    /// The record of update number `step`, before anything was measured after it.
    pub(super) fn new(step: u64, epoch: u64, rates: &[StepHyperparams], loss: f64, grad_norm: f64) -> Self {
        let of_groups = |value: fn(&StepHyperparams) -> Option<f64>| rates.iter().map(value).collect();
        Self {
            step,
            epoch,
            lr: rates.iter().map(|rates| rates.lr).collect(),
            momentum: of_groups(|rates| rates.momentum),
            weight_decay: of_groups(|rates| rates.weight_decay),
            loss,
            grad_norm,
            validation: None,
            epoch_loss: None,
            next: Vec::new(),
        }
    }

    /// How many updates are made with this one.
    pub fn done(&self) -> u64 {
        self.step + 1
    }
}
