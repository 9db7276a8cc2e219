//! FTRL-Proximal: McMahan et al., "Ad Click Prediction: a View from the Trenches" (KDD 2013), algorithm 1, in the form of
//! Keras.

use candle_core::Result;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::super::formula::Formula;
use super::super::number::Number;
use super::super::{BaseHyperparams, OptimError, Step, Update, UpdateRule};

/// Follow the regularized leader, like `keras.optimizers.Ftrl`: McMahan et al., KDD 2013, algorithm 1. With `l1` many weights
/// are exactly 0. It is meant for sparse linear models. An update with a rate of 0, or below 1e-30, is left out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Ftrl {
    /// Base learning rate.
    #[schemars(range(min = 0.0))]
    pub lr: f64,
    /// Strength of the penalty on the sizes of weights.
    #[serde(default)]
    #[schemars(range(min = 0.0))]
    pub l1: f64,
    /// Strength of the penalty on the squares of weights.
    #[serde(default)]
    #[schemars(range(min = 0.0))]
    pub l2: f64,
    /// Added to the root of the sum of squares: beta of the paper.
    #[serde(default)]
    #[schemars(range(min = 0.0))]
    pub beta: f64,
    /// The sum of squares before the first update. A saved sum does not include it.
    #[serde(default = "default_initial_accumulator_value")]
    #[schemars(range(min = f32::MIN_POSITIVE))]
    pub initial_accumulator_value: f64,
    /// Each update first multiplies the weights by `1 - rate * weight_decay`, which is of little effect beside `l2`: new
    /// weights follow from sums of gradients.
    #[serde(default)]
    #[schemars(range(min = 0.0))]
    pub weight_decay: f64,
}

/// The smallest rate by which sums can be divided: they are finite for weights and roots of squares up to 1e8.
const LEAST: f64 = 1e-30;

fn default_initial_accumulator_value() -> f64 {
    0.1
}

impl Default for Ftrl {
    fn default() -> Self {
        Self {
            lr: 1e-3,
            l1: 0.0,
            l2: 0.0,
            beta: 0.0,
            initial_accumulator_value: default_initial_accumulator_value(),
            weight_decay: 0.0,
        }
    }
}

impl UpdateRule for Ftrl {
    fn base(&self) -> BaseHyperparams {
        BaseHyperparams { lr: self.lr, weight_decay: self.weight_decay, momentum: None }
    }

    fn check(&self) -> std::result::Result<(), OptimError> {
        let rule = "must be 0, or at least 1e-30: the sums of the rule are divided by it, and would not be finite";
        OptimError::require("lr", self.lr, !(0.0 < self.lr && self.lr < LEAST), rule)?;
        for (name, value) in [("l1", self.l1), ("l2", self.l2), ("beta", self.beta)] {
            OptimError::require_at_least_0(name, value)?;
        }
        let start = self.initial_accumulator_value;
        let is_positive = start >= f64::from(f32::MIN_POSITIVE) && start.is_finite();
        OptimError::require("initial_accumulator_value", start, is_positive, "must be positive")
    }

    fn states(&self, _momentum: f64) -> &'static [&'static str] {
        &["sum", "linear"]
    }

    fn update(&self, tensors: &Update<'_>, step: &Step) -> Result<()> {
        if step.lr < LEAST {
            return Ok(());
        }
        let numbers = Numbers {
            per_rate: 1.0 / step.lr,
            start: self.initial_accumulator_value,
            l1: self.l1,
            added: 2.0 * self.l2 + self.beta / step.lr,
            shrink: 1.0 - step.lr * step.weight_decay,
        };
        numbers.update(tensors)
    }
}

/// The numbers of an update.
#[derive(Clone, Copy)]
struct Numbers {
    per_rate: f64,
    start: f64,
    l1: f64,
    /// Added to the denominator of a weight.
    added: f64,
    shrink: f64,
}

impl Formula<3> for Numbers {
    #[inline(always)]
    fn apply<X: Number>(self, [weight, sum, linear]: [X; 3], g: X) -> [X; 3] {
        let new = sum.clone() + g.clone().square();
        let [before, after] = [sum, new.clone()].map(|sum| sum.plus(self.start).root());
        let moved = (after.clone() - before).times(self.per_rate) * weight.times(self.shrink);
        let linear = linear + g - moved;
        let outside = linear.clone().within(-self.l1, self.l1) - linear.clone();
        [outside / after.times(self.per_rate).plus(self.added), new, linear]
    }
}
