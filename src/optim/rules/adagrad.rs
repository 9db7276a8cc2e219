//! Adagrad: Duchi et al., "Adaptive Subgradient Methods for Online Learning and Stochastic Optimization" (JMLR 2011),
//! in the form of `torch.optim.Adagrad`.

use candle_core::Result;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::super::formula::Formula;
use super::super::number::Number;
use super::super::{BaseHyperparams, OptimError, Step, Update, UpdateRule};
use super::moments;
use super::variants::{Variant, is_default};

/// Gradient descent by the root of the sum of all squared gradients, like `torch.optim.Adagrad`: Duchi et al., JMLR
/// 2011.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Adagrad {
    /// Base learning rate.
    #[schemars(range(min = 0.0))]
    pub lr: f64,
    /// The rate is divided by `1 + n * lr_decay` after `n` updates, in addition to its schedule.
    #[serde(default)]
    #[schemars(range(min = 0.0))]
    pub lr_decay: f64,
    /// Multiple of the weights that is added to their gradient, unless `variant` says otherwise.
    #[serde(default)]
    #[schemars(range(min = 0.0))]
    pub weight_decay: f64,
    /// The sum of squares before the first update. A saved sum includes it.
    #[serde(default)]
    #[schemars(range(min = 0.0))]
    pub initial_accumulator_value: f64,
    /// Added to the root of the sum.
    #[serde(default = "default_eps")]
    #[schemars(range(min = f32::MIN_POSITIVE))]
    pub eps: f64,
    /// Whose form is computed, by default PyTorch's. Keras adds `eps` below the root.
    #[serde(default, skip_serializing_if = "is_default")]
    pub variant: Variant,
}

fn default_eps() -> f64 {
    1e-10
}

impl Default for Adagrad {
    fn default() -> Self {
        Self {
            lr: 1e-2,
            lr_decay: 0.0,
            weight_decay: 0.0,
            initial_accumulator_value: 0.0,
            eps: default_eps(),
            variant: Variant::default(),
        }
    }
}

impl UpdateRule for Adagrad {
    fn base(&self) -> BaseHyperparams {
        BaseHyperparams { lr: self.lr, weight_decay: self.weight_decay, momentum: None }
    }

    fn check(&self) -> std::result::Result<(), OptimError> {
        OptimError::require_at_least_0("lr_decay", self.lr_decay)?;
        OptimError::require_at_least_0("initial_accumulator_value", self.initial_accumulator_value)?;
        moments::check_eps(self.eps)
    }

    fn states(&self, _momentum: f64) -> &'static [&'static str] {
        &["sum"]
    }

    fn update(&self, tensors: &Update<'_>, step: &Step) -> Result<()> {
        let ([shrink, decay], [inner, outer]) = (self.variant.decay(step), self.variant.eps(self.eps));
        Numbers { rate: self.rate(step), start: self.start(step), shrink, decay, inner, outer }.update(tensors)
    }
}

impl Adagrad {
    fn rate(&self, step: &Step) -> f64 {
        step.lr / (1.0 + step.updates_before as f64 * self.lr_decay)
    }

    /// Returns the number that is added to the saved sum: states start at zero, so the first update adds the initial
    /// value to its sum.
    fn start(&self, step: &Step) -> f64 {
        if step.updates_before == 0 { self.initial_accumulator_value } else { 0.0 }
    }
}

/// The numbers of an update; `inner` is added below the root, and `outer` to it.
#[derive(Clone, Copy)]
struct Numbers {
    rate: f64,
    start: f64,
    shrink: f64,
    decay: f64,
    inner: f64,
    outer: f64,
}

impl Formula<2> for Numbers {
    #[inline(always)]
    fn apply<X: Number>(self, [weight, sum]: [X; 2], gradient: X) -> [X; 2] {
        let g = gradient + weight.clone().times(self.decay);
        let sum = sum.plus(self.start) + g.clone().square();
        let denominator = sum.clone().plus(self.inner).root().plus(self.outer);
        [weight.times(self.shrink) - (g / denominator).times(self.rate), sum]
    }
}
