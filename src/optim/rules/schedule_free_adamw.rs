//! Schedule-free AdamW: Defazio et al., "The Road Less Scheduled" (NeurIPS 2024), algorithm 1, in the form of the package
//! `schedulefree`.

use candle_core::{Result, Shape, Tensor, Var, bail};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::super::formula::Formula;
use super::super::number::Number;
use super::super::{BaseHyperparams, OptimError, StateForm, Step, Update, UpdateRule};
use super::averaging::{Averaged, Averaging, ScheduleFreeVariant};
use super::moments::{self, corrections, corrections_in_f32, default_betas, default_eps};
use super::radam::rectification;
use super::variants::is_default;

/// AdamW whose weights are averaged in place of a schedule, like `AdamWScheduleFree` of the package `schedulefree`:
/// Defazio et al., NeurIPS 2024, algorithm 1. Evaluations use the average; training is the same with or without them. A
/// schedule of the momentum does not drive it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ScheduleFreeAdamW {
    /// Base learning rate, usually constant and larger than that of AdamW.
    #[schemars(range(min = 0.0))]
    pub lr: f64,
    /// Share of the average in the weights that gradients are computed with, above 0, and decay rate of the second moment,
    /// both below 1.
    #[serde(default = "default_betas")]
    #[schemars(extend("items" = json!({"type": "number", "minimum": 0.0, "exclusiveMaximum": 1.0})))]
    pub betas: [f64; 2],
    /// Added to the square root of the second moment.
    #[serde(default = "default_eps")]
    #[schemars(range(min = f32::MIN_POSITIVE))]
    pub eps: f64,
    /// Multiple of the weights in a step.
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
    /// Whether rates are rectified as in RAdam, like `RAdamScheduleFree` of the package, and how the first updates are made,
    /// for which they cannot be. Not by default.
    #[serde(default, skip_serializing_if = "is_default")]
    pub rectify: Option<Rectify>,
    /// The package whose form is computed, by default `schedulefree`.
    #[serde(default, skip_serializing_if = "is_default")]
    pub variant: ScheduleFreeVariant,
}

/// The first updates of a rule with rectified rates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Rectify {
    /// They leave the weights as they are: `silent_sgd_phase = True` of the package, its default.
    Silent,
    /// They are those of gradient descent.
    Sgd,
}

fn default_weight_lr_power() -> f64 {
    2.0
}

impl Default for ScheduleFreeAdamW {
    fn default() -> Self {
        Self {
            lr: 2.5e-3,
            betas: default_betas(),
            eps: default_eps(),
            weight_decay: 0.0,
            warmup_steps: 0,
            r: 0.0,
            weight_lr_power: default_weight_lr_power(),
            rectify: None,
            variant: ScheduleFreeVariant::default(),
        }
    }
}

impl ScheduleFreeAdamW {
    fn averaging(&self) -> Averaging {
        let Self { betas: [beta, _], warmup_steps, r, weight_lr_power, variant, .. } = *self;
        Averaging { beta, warmup_steps, r, weight_lr_power, variant }
    }

    /// Returns the factor of the rate, and whether the step is the gradient itself.
    fn rectified(&self, updates_before: u64) -> (f64, bool) {
        let Some(rectify) = self.rectify else { return (1.0, false) };
        match rectification(self.betas[1], updates_before) {
            (length, factor) if length > 4.0 => (factor, false),
            _ => (if rectify == Rectify::Sgd { 1.0 } else { 0.0 }, true),
        }
    }
}

impl UpdateRule for ScheduleFreeAdamW {
    fn base(&self) -> BaseHyperparams {
        BaseHyperparams { lr: self.lr, weight_decay: self.weight_decay, momentum: None }
    }

    fn check(&self) -> std::result::Result<(), OptimError> {
        moments::check(self.betas, self.eps)?;
        self.averaging().check()
    }

    fn states(&self, _momentum: f64) -> &'static [&'static str] {
        &["z", "exp_avg_sq", "averaging"]
    }

    fn state_forms(&self, _momentum: f64, shape: &Shape) -> Vec<StateForm> {
        Averaging::forms(&["z", "exp_avg_sq"], shape)
    }

    fn has_evaluation_weights(&self) -> bool {
        true
    }

    fn evaluation_weights(&self, weights: &Tensor, states: &[Var]) -> Result<Option<Tensor>> {
        let [z, _, numbers] = states else { bail!("three states were expected, not {}", states.len()) };
        self.averaging().average(weights, z, numbers).map(Some)
    }

    fn update(&self, tensors: &Update<'_>, step: &Step) -> Result<()> {
        let (rate, is_plain) = self.rectified(step.updates_before);
        let averaged = self.averaging().advance(tensors, &Step { lr: step.lr * rate, ..*step }, 2)?;
        let [_, correction] = match self.variant {
            ScheduleFreeVariant::Schedulefree => corrections(self.betas, step.updates_before),
            ScheduleFreeVariant::Optax => corrections_in_f32(self.betas, step.updates_before),
        };
        let (beta2, eps, decay) = (self.betas[1], self.eps, step.weight_decay);
        Numbers { averaged, beta2, root_factor: 1.0 / correction.sqrt(), eps, decay, is_plain }.update(tensors)
    }
}

/// The numbers of an update.
#[derive(Clone, Copy)]
struct Numbers {
    averaged: Averaged,
    beta2: f64,
    root_factor: f64,
    eps: f64,
    decay: f64,
    /// Whether the step is the gradient itself.
    is_plain: bool,
}

impl Formula<3> for Numbers {
    #[inline(always)]
    fn apply<X: Number>(self, [y, z, square]: [X; 3], g: X) -> [X; 3] {
        let Averaged { is_first, lr, taken, along } = self.averaged;
        let z = if is_first { y.clone() } else { z };
        let square = square.decayed_with(self.beta2, g.clone().square());
        let denominator = square.clone().root().times(self.root_factor).plus(self.eps);
        let step = if self.is_plain { g } else { g / denominator };
        let step = step + y.clone().times(self.decay);
        let y = y.mean_with(z.clone(), taken) + step.clone().times(along);
        [y, z - step.times(lr), square]
    }
}
