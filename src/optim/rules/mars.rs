//! MARS: Yuan et al., "MARS: Unleashing the Power of Variance Reduction for Training Large Models" (2024), algorithm 2, in
//! the form of `timm.optim.Mars`.

use candle_core::Result;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::super::formula::{Formula, Summed};
use super::super::number::Number;
use super::super::{BaseHyperparams, Momentum, OptimError, Step, Update, UpdateRule};
use super::moments::{self, corrections, default_eps};
use super::variants::Decoupled;

/// AdamW of gradients whose variance is reduced by the gradients of the update before, like `timm.optim.Mars`: Yuan et
/// al., 2024, algorithm 2. Vectors have plain AdamW.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Mars {
    /// Base learning rate.
    #[schemars(range(min = 0.0))]
    pub lr: f64,
    /// Decay rates of the first and the second moment, each in `[0, 1)`.
    #[serde(default = "default_betas")]
    #[schemars(extend("items" = json!({"type": "number", "minimum": 0.0, "exclusiveMaximum": 1.0})))]
    pub betas: [f64; 2],
    /// Added to the square root of the second moment.
    #[serde(default = "default_eps")]
    #[schemars(range(min = f32::MIN_POSITIVE))]
    pub eps: f64,
    /// Each update first multiplies the weights by `1 - rate * weight_decay`.
    #[serde(default)]
    #[schemars(range(min = 0.0))]
    pub weight_decay: f64,
    /// Share of the difference of two gradients that is added to the new one, before `beta1 / (1 - beta1)`.
    #[serde(default = "default_gamma")]
    #[schemars(range(min = 0.0))]
    pub gamma: f64,
}

fn default_betas() -> [f64; 2] {
    [0.9, 0.99]
}

fn default_gamma() -> f64 {
    0.025
}

impl Default for Mars {
    fn default() -> Self {
        let (betas, eps) = (default_betas(), default_eps());
        Self { lr: 3e-3, betas, eps, weight_decay: 0.0, gamma: default_gamma() }
    }
}

impl UpdateRule for Mars {
    fn base(&self) -> BaseHyperparams {
        let momentum = Some(Momentum::Beta1(self.betas[0]));
        BaseHyperparams { lr: self.lr, weight_decay: self.weight_decay, momentum }
    }

    fn check(&self) -> std::result::Result<(), OptimError> {
        moments::check(self.betas, self.eps)?;
        OptimError::require_at_least_0("gamma", self.gamma)
    }

    fn states(&self, _beta1: f64) -> &'static [&'static str] {
        &["exp_avg", "exp_avg_sq", "last_grad"]
    }

    fn update(&self, tensors: &Update<'_>, step: &Step) -> Result<()> {
        let betas = [step.momentum, self.betas[1]];
        let [first, second] = corrections(betas, step.updates_before);
        let is_matrix = tensors.shape().rank() >= 2;
        let has_difference = is_matrix && step.updates_before > 0;
        let of_difference = if has_difference { self.gamma * betas[0] / (1.0 - betas[0]) } else { 0.0 };
        let norm = match is_matrix {
            true => Corrected { of_difference }.update_and_sum(tensors)?[0].sqrt(),
            false => 0.0,
        };
        Numbers {
            of_difference,
            cut: if norm > 1.0 { 1.0 / norm } else { 1.0 },
            step_size: step.lr / first,
            betas,
            root_factor: 1.0 / second.sqrt(),
            eps: self.eps,
            shrink: Decoupled::Rate.shrink(step),
        }
        .update(tensors)
    }
}

/// Returns the gradient with a multiple of its difference from the one before.
#[inline(always)]
fn corrected<X: Number>(gradient: X, before: X, of_difference: f64) -> X {
    gradient.clone() + (gradient - before).times(of_difference)
}

/// No change; the terms are the squares of the corrected gradients.
#[derive(Clone, Copy)]
struct Corrected {
    of_difference: f64,
}

impl Summed<4, 1> for Corrected {
    #[inline(always)]
    fn apply<X: Number>(self, numbers: [X; 4], gradient: X) -> ([X; 4], [X; 1]) {
        let term = corrected(gradient, numbers[3].clone(), self.of_difference).square();
        (numbers, [term])
    }
}

/// The numbers of an update; corrected gradients are multiplied by `cut`.
#[derive(Clone, Copy)]
struct Numbers {
    of_difference: f64,
    cut: f64,
    step_size: f64,
    betas: [f64; 2],
    root_factor: f64,
    eps: f64,
    shrink: f64,
}

impl Formula<4> for Numbers {
    #[inline(always)]
    fn apply<X: Number>(self, [weight, mean, square, before]: [X; 4], gradient: X) -> [X; 4] {
        let g = corrected(gradient.clone(), before, self.of_difference).times(self.cut);
        let mean = mean.mean_with(g.clone(), 1.0 - self.betas[0]);
        let square = square.decayed_with(self.betas[1], g.square());
        let denominator = square.clone().root().times(self.root_factor).plus(self.eps);
        let step = (mean.clone() / denominator).times(self.step_size);
        [weight.times(self.shrink) - step, mean, square, gradient]
    }
}
