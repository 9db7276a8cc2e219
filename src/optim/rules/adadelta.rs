//! Adadelta: Zeiler, "ADADELTA: An Adaptive Learning Rate Method" (2012), algorithm 1, in the form of
//! `torch.optim.Adadelta`.

use candle_core::Result;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::super::formula::Formula;
use super::super::number::Number;
use super::super::{BaseHyperparams, OptimError, Step, Update, UpdateRule};
use super::moments;
use super::variants::{Variant, is_default};

/// Gradients by the ratio of two running roots, those of the last steps and of the last gradients, like
/// `torch.optim.Adadelta`: Zeiler, 2012, algorithm 1.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Adadelta {
    /// Base learning rate, usually 1.
    #[schemars(range(min = 0.0))]
    pub lr: f64,
    /// Decay rate of both means of squares, in `[0, 1)`.
    #[serde(default = "default_rho")]
    #[schemars(range(min = 0.0), extend("exclusiveMaximum" = 1.0))]
    pub rho: f64,
    /// Added to both means below their roots.
    #[serde(default = "default_eps")]
    #[schemars(range(min = f32::MIN_POSITIVE))]
    pub eps: f64,
    /// Multiple of the weights that is added to their gradient, unless `variant` says otherwise.
    #[serde(default)]
    #[schemars(range(min = 0.0))]
    pub weight_decay: f64,
    /// Whose form is computed, by default PyTorch's. They differ in the decay alone.
    #[serde(default, skip_serializing_if = "is_default")]
    pub variant: Variant,
}

fn default_rho() -> f64 {
    0.9
}

fn default_eps() -> f64 {
    1e-6
}

impl Default for Adadelta {
    fn default() -> Self {
        let (rho, eps) = (default_rho(), default_eps());
        Self { lr: 1.0, rho, eps, weight_decay: 0.0, variant: Variant::default() }
    }
}

impl UpdateRule for Adadelta {
    fn base(&self) -> BaseHyperparams {
        BaseHyperparams { lr: self.lr, weight_decay: self.weight_decay, momentum: None }
    }

    fn check(&self) -> std::result::Result<(), OptimError> {
        OptimError::require_share("rho", self.rho)?;
        moments::check_eps(self.eps)
    }

    fn states(&self, _momentum: f64) -> &'static [&'static str] {
        &["square_avg", "acc_delta"]
    }

    fn update(&self, tensors: &Update<'_>, step: &Step) -> Result<()> {
        let [shrink, decay] = self.variant.decay(step);
        Numbers { lr: step.lr, rho: self.rho, eps: self.eps, shrink, decay }.update(tensors)
    }
}

/// The numbers of an update.
#[derive(Clone, Copy)]
struct Numbers {
    lr: f64,
    rho: f64,
    eps: f64,
    shrink: f64,
    decay: f64,
}

impl Formula<3> for Numbers {
    #[inline(always)]
    fn apply<X: Number>(self, [weight, square, moved]: [X; 3], gradient: X) -> [X; 3] {
        let g = gradient + weight.clone().times(self.decay);
        let square = square.decayed_with(self.rho, g.clone().square());
        let delta = moved.clone().plus(self.eps).root() / square.clone().plus(self.eps).root() * g;
        let moved = moved.decayed_with(self.rho, delta.clone().square());
        [weight.times(self.shrink) - delta.times(self.lr), square, moved]
    }
}
