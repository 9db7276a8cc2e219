//! LaProp: Ziyin et al., "LaProp: Separating Momentum and Adaptivity in Adam" (2020), in the form of `timm`.

use candle_core::{Result, Shape};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::super::formula::Formula;
use super::super::number::Number;
use super::super::{BaseHyperparams, Momentum, OptimError, StateForm, Step, Update, UpdateRule};
use super::moments::{self, corrections, default_betas};

/// Momentum of gradients by the root of their mean squares: Ziyin et al., 2020, in the form of `timm`. The rate is in the
/// momentum: a changed one acts on new gradients only.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LaProp {
    /// Base learning rate.
    #[schemars(range(min = 0.0))]
    pub lr: f64,
    /// Decay rates of the mean of steps and of squared gradients, each in `[0, 1)`.
    #[serde(default = "default_betas")]
    #[schemars(extend("items" = json!({"type": "number", "minimum": 0.0, "exclusiveMaximum": 1.0})))]
    pub betas: [f64; 2],
    /// Added to the square root of the mean square.
    #[serde(default = "default_eps")]
    #[schemars(range(min = f32::MIN_POSITIVE))]
    pub eps: f64,
    /// Each update multiplies the new weights by `1 - rate * weight_decay`.
    #[serde(default)]
    #[schemars(range(min = 0.0))]
    pub weight_decay: f64,
}

fn default_eps() -> f64 {
    1e-15
}

impl Default for LaProp {
    fn default() -> Self {
        Self { lr: 4e-4, betas: default_betas(), eps: default_eps(), weight_decay: 0.0 }
    }
}

/// Place of the mean of the rates among the states.
const MEAN_RATE: usize = 2;

impl UpdateRule for LaProp {
    fn base(&self) -> BaseHyperparams {
        let momentum = Some(Momentum::Beta1(self.betas[0]));
        BaseHyperparams { lr: self.lr, weight_decay: self.weight_decay, momentum }
    }

    fn check(&self) -> std::result::Result<(), OptimError> {
        moments::check(self.betas, self.eps)
    }

    fn states(&self, _beta1: f64) -> &'static [&'static str] {
        &["exp_avg", "exp_avg_sq", "mean_rate"]
    }

    fn state_forms(&self, _beta1: f64, shape: &Shape) -> Vec<StateForm> {
        let like = ["exp_avg", "exp_avg_sq"].map(|name| StateForm::new(name, shape.clone()));
        like.into_iter().chain([StateForm::numbers("mean_rate", 1)]).collect()
    }

    fn update(&self, tensors: &Update<'_>, step: &Step) -> Result<()> {
        let beta1 = step.momentum;
        let [second] = corrections([self.betas[1]], step.updates_before);
        let [mean_rate] = tensors.numbers(MEAN_RATE)?;
        let mean_rate = beta1 * mean_rate + (1.0 - beta1) * step.lr;
        tensors.set_numbers(MEAN_RATE, [mean_rate])?;
        let numbers = Numbers {
            betas: [beta1, self.betas[1]],
            taken: step.lr * (1.0 - beta1),
            root_factor: 1.0 / second.sqrt(),
            eps: self.eps,
            // A rate of 0 moves nothing, also where all rates before were 0.
            moved: if step.lr == 0.0 { 0.0 } else { step.lr / mean_rate },
            shrink: 1.0 - step.lr * step.weight_decay,
        };
        numbers.update(tensors)
    }
}

/// The numbers of an update.
#[derive(Clone, Copy)]
struct Numbers {
    betas: [f64; 2],
    taken: f64,
    root_factor: f64,
    eps: f64,
    moved: f64,
    shrink: f64,
}

impl Formula<3> for Numbers {
    #[inline(always)]
    fn apply<X: Number>(self, [weight, mean, square]: [X; 3], g: X) -> [X; 3] {
        let square = square.decayed_with(self.betas[1], g.clone().square());
        let new = g / square.clone().root().times(self.root_factor).plus(self.eps);
        let mean = mean.times(self.betas[0]) + new.times(self.taken);
        let weight = (weight - mean.clone().times(self.moved)).times(self.shrink);
        [weight, mean, square]
    }
}
