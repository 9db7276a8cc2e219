//! Averaged gradient descent: Polyak and Juditsky, "Acceleration of Stochastic Approximation by Averaging" (1992), in the
//! form of `torch.optim.ASGD`.

use candle_core::{Result, Shape};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::super::formula::Formula;
use super::super::number::Number;
use super::super::{BaseHyperparams, OptimError, StateForm, Step, Update, UpdateRule};

/// Gradient descent with an average of its weights, like `torch.optim.ASGD`: Polyak and Juditsky, 1992. As there, an
/// update has the rate of the update before, and the average, `ax`, is a part of the state that no evaluation uses.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Asgd {
    /// Base learning rate.
    #[schemars(range(min = 0.0))]
    pub lr: f64,
    /// How fast the rate and the weights decay.
    #[serde(default = "default_lambd")]
    #[schemars(range(min = 0.0))]
    pub lambd: f64,
    /// Power of the decay of the rate: it is divided by `(1 + lambd * rate * n)^alpha` after update number n, from 1.
    #[serde(default = "default_alpha")]
    #[schemars(range(min = 0.0))]
    pub alpha: f64,
    /// Number of updates before the average begins.
    #[serde(default = "default_t0")]
    #[schemars(range(min = 0.0))]
    pub t0: f64,
    /// Multiple of the weights that is added to their gradient.
    #[serde(default)]
    #[schemars(range(min = 0.0))]
    pub weight_decay: f64,
}

fn default_lambd() -> f64 {
    1e-4
}

fn default_alpha() -> f64 {
    0.75
}

fn default_t0() -> f64 {
    1e6
}

impl Default for Asgd {
    fn default() -> Self {
        Self { lr: 1e-2, lambd: default_lambd(), alpha: default_alpha(), t0: default_t0(), weight_decay: 0.0 }
    }
}

impl UpdateRule for Asgd {
    fn base(&self) -> BaseHyperparams {
        BaseHyperparams { lr: self.lr, weight_decay: self.weight_decay, momentum: None }
    }

    fn check(&self) -> std::result::Result<(), OptimError> {
        OptimError::require_at_least_0("lambd", self.lambd)?;
        OptimError::require_at_least_0("alpha", self.alpha)?;
        OptimError::require_at_least_0("t0", self.t0)
    }

    fn states(&self, _momentum: f64) -> &'static [&'static str] {
        &["ax", "eta"]
    }

    fn state_forms(&self, _momentum: f64, shape: &Shape) -> Vec<StateForm> {
        vec![StateForm::new("ax", shape.clone()), StateForm::numbers("eta", 1)]
    }

    fn update(&self, tensors: &Update<'_>, step: &Step) -> Result<()> {
        let n = step.updates_before as f64;
        // PyTorch keeps the rate in f32.
        let rounded = |rate: f64| f64::from(rate as f32);
        let [rate] = if step.updates_before == 0 { [rounded(step.lr)] } else { tensors.numbers(1)? };
        let share = if step.updates_before == 0 { 1.0 } else { 1.0 / (n - self.t0).max(1.0) };
        Numbers { rate, shrink: 1.0 - self.lambd * rate, decay: step.weight_decay, share }.update(tensors)?;
        let next = step.lr / (1.0 + self.lambd * step.lr * (n + 1.0)).powf(self.alpha);
        tensors.set_numbers(1, [rounded(next)])
    }
}

/// The numbers of an update; the weights take `share` of the average.
#[derive(Clone, Copy)]
struct Numbers {
    rate: f64,
    shrink: f64,
    decay: f64,
    share: f64,
}

impl Formula<2> for Numbers {
    #[inline(always)]
    fn apply<X: Number>(self, [weight, average]: [X; 2], gradient: X) -> [X; 2] {
        let g = gradient + weight.clone().times(self.decay);
        let weight = weight.times(self.shrink) - g.times(self.rate);
        let average = if self.share == 1.0 { weight.clone() } else { average.mean_with(weight.clone(), self.share) };
        [weight, average]
    }
}
