//! Schedule-free SGD: Defazio et al., "The Road Less Scheduled" (NeurIPS 2024), equations 7 to 9, in the form of the
//! package `schedulefree`.

use candle_core::{Result, Shape, Tensor, Var, bail};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::super::formula::Formula;
use super::super::number::Number;
use super::super::{BaseHyperparams, OptimError, StateForm, Step, Update, UpdateRule};
use super::averaging::{Averaged, Averaging, ScheduleFreeVariant};
use super::variants::is_default;

/// Gradient descent whose weights are averaged in place of a schedule, like `SGDScheduleFree` of the package
/// `schedulefree`: Defazio et al., NeurIPS 2024. Evaluations use the average; training is the same with or without them. A
/// schedule of the momentum does not drive it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ScheduleFreeSgd {
    /// Base learning rate, usually constant and larger than that of SGD.
    #[schemars(range(min = 0.0))]
    pub lr: f64,
    /// Share of the average in the weights that gradients are computed with, above 0 and below 1.
    #[serde(default = "default_momentum")]
    #[schemars(range(min = 0.0), extend("exclusiveMaximum" = 1.0))]
    pub momentum: f64,
    /// Multiple of the weights that is added to their gradient.
    #[serde(default)]
    #[schemars(range(min = 0.0))]
    pub weight_decay: f64,
    /// Number of updates in which the rate grows to its full value.
    #[serde(default)]
    pub warmup_steps: u64,
    /// Power of the number of an update in its share of the average.
    #[serde(default)]
    #[schemars(range(min = 0.0))]
    pub r: f64,
    /// Power of the largest rate so far in the share of an update.
    #[serde(default = "default_weight_lr_power")]
    #[schemars(range(min = 0.0))]
    pub weight_lr_power: f64,
    /// The package whose form is computed, by default `schedulefree`.
    #[serde(default, skip_serializing_if = "is_default")]
    pub variant: ScheduleFreeVariant,
}

fn default_momentum() -> f64 {
    0.9
}

fn default_weight_lr_power() -> f64 {
    2.0
}

impl Default for ScheduleFreeSgd {
    fn default() -> Self {
        Self {
            lr: 1.0,
            momentum: default_momentum(),
            weight_decay: 0.0,
            warmup_steps: 0,
            r: 0.0,
            weight_lr_power: default_weight_lr_power(),
            variant: ScheduleFreeVariant::default(),
        }
    }
}

impl ScheduleFreeSgd {
    fn averaging(&self) -> Averaging {
        let Self { momentum: beta, warmup_steps, r, weight_lr_power, variant, .. } = *self;
        Averaging { beta, warmup_steps, r, weight_lr_power, variant }
    }
}

impl UpdateRule for ScheduleFreeSgd {
    fn base(&self) -> BaseHyperparams {
        BaseHyperparams { lr: self.lr, weight_decay: self.weight_decay, momentum: None }
    }

    fn check(&self) -> std::result::Result<(), OptimError> {
        let is_share = 0.0 < self.momentum && self.momentum < 1.0;
        OptimError::require("momentum", self.momentum, is_share, "must be above 0 and below 1")?;
        self.averaging().check()
    }

    fn states(&self, _momentum: f64) -> &'static [&'static str] {
        &["z", "averaging"]
    }

    fn state_forms(&self, _momentum: f64, shape: &Shape) -> Vec<StateForm> {
        Averaging::forms(&["z"], shape)
    }

    fn has_evaluation_weights(&self) -> bool {
        true
    }

    fn evaluation_weights(&self, weights: &Tensor, states: &[Var]) -> Result<Option<Tensor>> {
        let [z, numbers] = states else { bail!("two states were expected, not {}", states.len()) };
        self.averaging().average(weights, z, numbers).map(Some)
    }

    fn update(&self, tensors: &Update<'_>, step: &Step) -> Result<()> {
        let averaged = self.averaging().advance(tensors, step, 1)?;
        Numbers { averaged, decay: step.weight_decay }.update(tensors)
    }
}

/// The numbers of an update.
#[derive(Clone, Copy)]
struct Numbers {
    averaged: Averaged,
    decay: f64,
}

impl Formula<2> for Numbers {
    #[inline(always)]
    fn apply<X: Number>(self, [y, z]: [X; 2], gradient: X) -> [X; 2] {
        let Averaged { is_first, lr, taken, along } = self.averaged;
        let z = if is_first { y.clone() } else { z };
        let step = gradient + y.clone().times(self.decay);
        [y.mean_with(z.clone(), taken) + step.clone().times(along), z - step.times(lr)]
    }
}
