//! Lion: Chen et al., "Symbolic Discovery of Optimization Algorithms" (NeurIPS 2023), algorithm 2, and its cautious forms:
//! Liang et al., "Cautious Optimizers: Improving Training with One Line of Code" (2024).

use candle_core::Result;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::super::formula::{Direction, Formula, aligned};
use super::super::number::Number;
use super::super::{BaseHyperparams, Momentum, OptimError, Step, Update, UpdateRule};
use super::moments;
use super::variants::{Cautious, Decoupled, is_default};

/// Steps of one size, in the direction of a mean of gradients: Chen et al., NeurIPS 2023, algorithm 2. The packages
/// `lion-pytorch`, `timm`, `pytorch-optimizer`, `optax` and Keras compute it alike.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Lion {
    /// Base learning rate.
    #[schemars(range(min = 0.0))]
    pub lr: f64,
    /// Share of the mean gradient in the direction, and decay rate of this mean, each in `[0, 1)`.
    #[serde(default = "default_betas")]
    #[schemars(extend("items" = json!({"type": "number", "minimum": 0.0, "exclusiveMaximum": 1.0})))]
    pub betas: [f64; 2],
    /// Each update first multiplies the weights by `1 - rate * weight_decay`, or as `decoupled` says.
    #[serde(default)]
    #[schemars(range(min = 0.0))]
    pub weight_decay: f64,
    /// By how much the weights decay, by default by the rate. `composer` is `decoupled_weight_decay` of `lion-pytorch`.
    #[serde(default, skip_serializing_if = "is_default")]
    pub decoupled: Decoupled,
    /// The package whose cautious form is computed: weights whose direction contradicts their gradient stay, and the
    /// others move further. By default all move.
    #[serde(default, skip_serializing_if = "is_default")]
    pub cautious: Option<Cautious>,
}

fn default_betas() -> [f64; 2] {
    [0.9, 0.99]
}

impl Default for Lion {
    fn default() -> Self {
        let (betas, decoupled) = (default_betas(), Decoupled::default());
        Self { lr: 1e-4, betas, weight_decay: 0.0, decoupled, cautious: None }
    }
}

impl UpdateRule for Lion {
    fn base(&self) -> BaseHyperparams {
        let momentum = Some(Momentum::Beta1(self.betas[0]));
        BaseHyperparams { lr: self.lr, weight_decay: self.weight_decay, momentum }
    }

    fn check(&self) -> std::result::Result<(), OptimError> {
        moments::check_betas(self.betas)
    }

    fn states(&self, _beta1: f64) -> &'static [&'static str] {
        &["exp_avg"]
    }

    fn update(&self, tensors: &Update<'_>, step: &Step) -> Result<()> {
        let shrink = self.decoupled.shrink(step);
        let numbers = Numbers { lr: step.lr, betas: [step.momentum, self.betas[1]], shrink, kept: None };
        let Some(cautious) = self.cautious else { return numbers.update(tensors) };
        let kept = cautious.factor(aligned(numbers, tensors)?, tensors.shape().elem_count());
        Numbers { kept: Some(kept), ..numbers }.update(tensors)
    }
}

/// The numbers of an update; `kept` is the factor of what does not contradict the gradient.
#[derive(Clone, Copy)]
struct Numbers {
    lr: f64,
    betas: [f64; 2],
    shrink: f64,
    kept: Option<f64>,
}

impl Direction<2> for Numbers {
    #[inline(always)]
    fn direction<X: Number>(self, [_, mean]: &[X; 2], gradient: &X) -> X {
        mean.clone().decayed_with(self.betas[0], gradient.clone()).sign()
    }
}

impl Formula<2> for Numbers {
    #[inline(always)]
    fn apply<X: Number>(self, numbers: [X; 2], gradient: X) -> [X; 2] {
        let direction = self.direction(&numbers, &gradient);
        let direction = match self.kept {
            Some(factor) => (direction.clone() * gradient.clone()).positive().times(factor) * direction,
            None => direction,
        };
        let [weight, mean] = numbers;
        [weight.times(self.shrink) - direction.times(self.lr), mean.decayed_with(self.betas[1], gradient)]
    }
}
