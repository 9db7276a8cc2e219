//! Adamax: Kingma and Ba, "Adam: A Method for Stochastic Optimization" (ICLR 2015), algorithm 2, in the form of
//! `torch.optim.Adamax`.

use candle_core::Result;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::super::formula::Formula;
use super::super::number::Number;
use super::super::{BaseHyperparams, Momentum, OptimError, Step, Update, UpdateRule};
use super::moments::{self, corrections, default_betas, default_eps};
use super::variants::{Variant, is_default};

/// Adam with a decaying maximum of gradients in place of the second moment, like `torch.optim.Adamax`: Kingma and Ba,
/// ICLR 2015, algorithm 2.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Adamax {
    /// Base learning rate.
    #[schemars(range(min = 0.0))]
    pub lr: f64,
    /// Decay rates of the mean and of the maximum, each in `[0, 1)`.
    #[serde(default = "default_betas")]
    #[schemars(extend("items" = json!({"type": "number", "minimum": 0.0, "exclusiveMaximum": 1.0})))]
    pub betas: [f64; 2],
    /// Added to the size of the gradient, before the maximum is taken, unless `variant` says otherwise.
    #[serde(default = "default_eps")]
    #[schemars(range(min = f32::MIN_POSITIVE))]
    pub eps: f64,
    /// Multiple of the weights that is added to their gradient, unless `variant` says otherwise.
    #[serde(default)]
    #[schemars(range(min = 0.0))]
    pub weight_decay: f64,
    /// Whose form is computed, by default PyTorch's. Keras adds `eps` to the maximum.
    #[serde(default, skip_serializing_if = "is_default")]
    pub variant: Variant,
}

impl Default for Adamax {
    fn default() -> Self {
        let (betas, eps) = (default_betas(), default_eps());
        Self { lr: 2e-3, betas, eps, weight_decay: 0.0, variant: Variant::default() }
    }
}

impl UpdateRule for Adamax {
    fn base(&self) -> BaseHyperparams {
        let momentum = Some(Momentum::Beta1(self.betas[0]));
        BaseHyperparams { lr: self.lr, weight_decay: self.weight_decay, momentum }
    }

    fn check(&self) -> std::result::Result<(), OptimError> {
        moments::check(self.betas, self.eps)
    }

    fn states(&self, _beta1: f64) -> &'static [&'static str] {
        &["exp_avg", "exp_inf"]
    }

    fn update(&self, tensors: &Update<'_>, step: &Step) -> Result<()> {
        let [shrink, decay] = self.variant.decay(step);
        // PyTorch takes it into the maximum, Keras adds it outside.
        let [outer, inner] = self.variant.eps(self.eps);
        let betas = [step.momentum, self.betas[1]];
        Numbers { step_size: step_size(step), betas, inner, outer, shrink, decay }.update(tensors)
    }
}

/// Returns the rate, corrected for a mean that has started at zero.
fn step_size(step: &Step) -> f64 {
    let [correction, _] = corrections([step.momentum, 0.0], step.updates_before);
    step.lr / correction
}

/// The numbers of an update.
#[derive(Clone, Copy)]
struct Numbers {
    step_size: f64,
    betas: [f64; 2],
    inner: f64,
    outer: f64,
    shrink: f64,
    decay: f64,
}

impl Formula<3> for Numbers {
    #[inline(always)]
    fn apply<X: Number>(self, [weight, mean, largest]: [X; 3], gradient: X) -> [X; 3] {
        let g = gradient + weight.clone().times(self.decay);
        let mean = mean.mean_with(g.clone(), 1.0 - self.betas[0]);
        // A gradient that is not a number stays one, as in PyTorch's maximum.
        let largest = largest.times(self.betas[1]).larger(g.size().plus(self.inner));
        let direction = mean.clone() / largest.clone().plus(self.outer);
        [weight.times(self.shrink) - direction.times(self.step_size), mean, largest]
    }
}
