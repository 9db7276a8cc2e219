//! StableAdamW: Wortsman et al., "Stable and Low-Precision Training for Large-Scale Vision-Language Models" (NeurIPS 2023),
//! algorithm 2, in the form of `pytorch-optimizer`.

use candle_core::Result;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::super::formula::{Formula, Summed};
use super::super::number::Number;
use super::super::{BaseHyperparams, Momentum, OptimError, Step, Update, UpdateRule};
use super::moments::{self, STATES, default_eps};

/// AdamW whose rate is divided, for each parameter, by the root mean square of `g / sqrt(v)` where that is above 1, as
/// `StableAdamW` of `pytorch-optimizer`: Wortsman et al., NeurIPS 2023, algorithm 2.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StableAdamW {
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
    /// Each update first multiplies the weights by `1 - rate * weight_decay`, by the divided rate.
    #[serde(default = "default_weight_decay")]
    #[schemars(range(min = 0.0))]
    pub weight_decay: f64,
}

fn default_betas() -> [f64; 2] {
    [0.9, 0.99]
}

fn default_weight_decay() -> f64 {
    0.01
}

impl Default for StableAdamW {
    fn default() -> Self {
        Self { lr: 1e-3, betas: default_betas(), eps: default_eps(), weight_decay: default_weight_decay() }
    }
}

impl UpdateRule for StableAdamW {
    fn base(&self) -> BaseHyperparams {
        let momentum = Some(Momentum::Beta1(self.betas[0]));
        BaseHyperparams { lr: self.lr, weight_decay: self.weight_decay, momentum }
    }

    fn check(&self) -> std::result::Result<(), OptimError> {
        moments::check(self.betas, self.eps)
    }

    fn states(&self, _beta1: f64) -> &'static [&'static str] {
        STATES
    }

    fn update(&self, tensors: &Update<'_>, step: &Step) -> Result<()> {
        let n = (step.updates_before + 1) as f64;
        let corrected = |beta: f64| beta * (1.0 - beta.powf(n - 1.0)) / (1.0 - beta.powf(n));
        let betas = [step.momentum, self.betas[1]].map(corrected);
        let [sum] = Means { betas, least: self.eps * self.eps }.update_and_sum(tensors)?;
        let count = tensors.shape().elem_count().max(1) as f64;
        let lr = step.lr / (sum / count).sqrt().max(1.0);
        Move { lr, eps: self.eps, shrink: 1.0 - lr * step.weight_decay }.update(tensors)
    }
}

/// The update of both moments. Its terms are the squares of the gradients by their mean.
#[derive(Clone, Copy)]
struct Means {
    betas: [f64; 2],
    least: f64,
}

impl Summed<3, 1> for Means {
    #[inline(always)]
    fn apply<X: Number>(self, [weight, mean, square]: [X; 3], g: X) -> ([X; 3], [X; 1]) {
        let mean = mean.mean_with(g.clone(), 1.0 - self.betas[0]);
        let square = square.decayed_with(self.betas[1], g.clone().square());
        let term = g.square() / square.clone().within(self.least, f64::MAX);
        ([weight, mean, square], [term])
    }
}

/// The movement of the weights by the new moments.
#[derive(Clone, Copy)]
struct Move {
    lr: f64,
    eps: f64,
    shrink: f64,
}

impl Formula<3> for Move {
    #[inline(always)]
    fn apply<X: Number>(self, [weight, mean, square]: [X; 3], _: X) -> [X; 3] {
        let direction = mean.clone() / square.clone().root().plus(self.eps);
        [weight.times(self.shrink) - direction.times(self.lr), mean, square]
    }
}
