//! Yogi: Zaheer et al., "Adaptive Methods for Nonconvex Optimization" (NeurIPS 2018), algorithm 2, in the form of `optax`.

use candle_core::Result;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::super::formula::Formula;
use super::super::number::Number;
use super::super::{BaseHyperparams, Momentum, OptimError, Step, Update, UpdateRule};
use super::moments::{self, STATES, corrections, default_betas};
use super::variants::Decoupled;

/// Adam whose second moment changes by a share of the new square, whatever its own size is: Zaheer et al., NeurIPS 2018,
/// algorithm 2.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Yogi {
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
    /// Both moments before the first update.
    #[serde(default = "default_initial_accumulator_value")]
    #[schemars(range(min = 0.0))]
    pub initial_accumulator_value: f64,
    /// Each update first multiplies the weights by `1 - rate * weight_decay`. The rule of `optax` has no decay.
    #[serde(default)]
    #[schemars(range(min = 0.0))]
    pub weight_decay: f64,
}

fn default_eps() -> f64 {
    1e-3
}

fn default_initial_accumulator_value() -> f64 {
    1e-6
}

impl Default for Yogi {
    fn default() -> Self {
        Self {
            lr: 1e-2,
            betas: default_betas(),
            eps: default_eps(),
            initial_accumulator_value: default_initial_accumulator_value(),
            weight_decay: 0.0,
        }
    }
}

impl UpdateRule for Yogi {
    fn base(&self) -> BaseHyperparams {
        let momentum = Some(Momentum::Beta1(self.betas[0]));
        BaseHyperparams { lr: self.lr, weight_decay: self.weight_decay, momentum }
    }

    fn check(&self) -> std::result::Result<(), OptimError> {
        OptimError::require_at_least_0("initial_accumulator_value", self.initial_accumulator_value)?;
        moments::check(self.betas, self.eps)
    }

    fn states(&self, _beta1: f64) -> &'static [&'static str] {
        STATES
    }

    fn update(&self, tensors: &Update<'_>, step: &Step) -> Result<()> {
        let betas = [step.momentum, self.betas[1]];
        let [first, second] = corrections(betas, step.updates_before);
        let numbers = Numbers {
            // States start at zero, so the first update adds the initial value to them.
            start: if step.updates_before == 0 { self.initial_accumulator_value } else { 0.0 },
            lr: step.lr / first,
            root_factor: 1.0 / second.sqrt(),
            betas,
            eps: self.eps,
            shrink: Decoupled::Rate.shrink(step),
        };
        numbers.update(tensors)
    }
}

/// The numbers of an update.
#[derive(Clone, Copy)]
struct Numbers {
    start: f64,
    lr: f64,
    root_factor: f64,
    betas: [f64; 2],
    eps: f64,
    shrink: f64,
}

impl Formula<3> for Numbers {
    #[inline(always)]
    fn apply<X: Number>(self, [weight, mean, square]: [X; 3], g: X) -> [X; 3] {
        let mean = mean.plus(self.start).mean_with(g.clone(), 1.0 - self.betas[0]);
        let (square, new) = (square.plus(self.start), g.square());
        let change = (square.clone() - new.clone()).sign() * new.times(1.0 - self.betas[1]);
        let square = square - change;
        let denominator = square.clone().root().times(self.root_factor).plus(self.eps);
        let direction = mean.clone() / denominator;
        [weight.times(self.shrink) - direction.times(self.lr), mean, square]
    }
}
