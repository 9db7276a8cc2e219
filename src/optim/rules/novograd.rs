//! NovoGrad: Ginsburg et al., "Stochastic Gradient Methods with Layer-wise Adaptive Moments for Training of Deep Networks"
//! (2019), algorithm 1, in the form of `timm`, `pytorch-optimizer` and `optax`.

use candle_core::{Result, Shape};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::super::formula::{Formula, Summed};
use super::super::number::Number;
use super::super::{BaseHyperparams, Momentum, OptimError, StateForm, Step, Update, UpdateRule};
use super::moments::{self, default_eps};

/// Momentum of gradients by their norm, of which each parameter has one running mean: Ginsburg et al., 2019, algorithm 1.
/// In `optax` the default betas are 0.9 and 0.25, and `eps` is 1e-6.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NovoGrad {
    /// Base learning rate.
    #[schemars(range(min = 0.0))]
    pub lr: f64,
    /// Share of the momentum that is kept, and decay rate of the squared norm, each in `[0, 1)`.
    #[serde(default = "default_betas")]
    #[schemars(extend("items" = json!({"type": "number", "minimum": 0.0, "exclusiveMaximum": 1.0})))]
    pub betas: [f64; 2],
    /// Added to the norm.
    #[serde(default = "default_eps")]
    #[schemars(range(min = f32::MIN_POSITIVE))]
    pub eps: f64,
    /// Multiple of the weights that is added to the gradient by its norm.
    #[serde(default)]
    #[schemars(range(min = 0.0))]
    pub weight_decay: f64,
    /// Whether a new gradient has the share `1 - beta1` of the momentum, and not 1.
    #[serde(default)]
    pub grad_averaging: bool,
}

fn default_betas() -> [f64; 2] {
    [0.95, 0.98]
}

impl Default for NovoGrad {
    fn default() -> Self {
        Self { lr: 1e-3, betas: default_betas(), eps: default_eps(), weight_decay: 0.0, grad_averaging: false }
    }
}

/// Place of the squared norm among the states.
const NORM: usize = 1;

impl UpdateRule for NovoGrad {
    fn base(&self) -> BaseHyperparams {
        let momentum = Some(Momentum::Beta1(self.betas[0]));
        BaseHyperparams { lr: self.lr, weight_decay: self.weight_decay, momentum }
    }

    fn check(&self) -> std::result::Result<(), OptimError> {
        moments::check(self.betas, self.eps)
    }

    fn states(&self, _beta1: f64) -> &'static [&'static str] {
        &["exp_avg", "grad_norm_sq"]
    }

    fn state_forms(&self, _beta1: f64, shape: &Shape) -> Vec<StateForm> {
        vec![StateForm::new("exp_avg", shape.clone()), StateForm::numbers("grad_norm_sq", 1)]
    }

    fn update(&self, tensors: &Update<'_>, step: &Step) -> Result<()> {
        let [new] = SquaredNorm.update_and_sum(tensors)?;
        let [before] = tensors.numbers(NORM)?;
        // The first norm is taken whole.
        let square = match step.updates_before {
            0 => new,
            _ => self.betas[1] * before + (1.0 - self.betas[1]) * new,
        };
        tensors.set_numbers(NORM, [square])?;
        let taken = if self.grad_averaging { 1.0 - step.momentum } else { 1.0 };
        let of_gradient = taken / (square.sqrt() + self.eps);
        let of_weight = taken * step.weight_decay;
        Move { lr: step.lr, kept: step.momentum, of_gradient, of_weight }.update(tensors)
    }
}

/// Changes nothing. Its terms are the squares of the gradient.
#[derive(Clone, Copy)]
struct SquaredNorm;

impl Summed<1, 1> for SquaredNorm {
    #[inline(always)]
    fn apply<X: Number>(self, numbers: [X; 1], g: X) -> ([X; 1], [X; 1]) {
        (numbers, [g.square()])
    }
}

/// The momentum, and the movement of the weights by it.
#[derive(Clone, Copy)]
struct Move {
    lr: f64,
    kept: f64,
    of_gradient: f64,
    of_weight: f64,
}

impl Formula<2> for Move {
    #[inline(always)]
    fn apply<X: Number>(self, [weight, mean]: [X; 2], g: X) -> [X; 2] {
        let new = g.times(self.of_gradient) + weight.clone().times(self.of_weight);
        let mean = mean.times(self.kept) + new;
        [weight - mean.clone().times(self.lr), mean]
    }
}
