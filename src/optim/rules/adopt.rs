//! ADOPT: Taniguchi et al., "ADOPT: Modified Adam Can Converge with Any β2 with the Optimal Rate" (NeurIPS 2024),
//! algorithm 2.

use candle_core::Result;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::super::formula::Formula;
use super::super::number::Number;
use super::super::{BaseHyperparams, Momentum, OptimError, Step, Update, UpdateRule};
use super::moments::{self, STATES};
use super::variants::{Decoupled, is_default};

/// Adam with the root of the squares before, and a mean of normalized gradients: Taniguchi et al., NeurIPS 2024, algorithm 2.
/// Its first update only measures gradients.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Adopt {
    /// Base learning rate.
    #[schemars(range(min = 0.0))]
    pub lr: f64,
    /// Decay rates of the first and the second moment, each in `[0, 1)`.
    #[serde(default = "default_betas")]
    #[schemars(extend("items" = json!({"type": "number", "minimum": 0.0, "exclusiveMaximum": 1.0})))]
    pub betas: [f64; 2],
    /// The smallest root that a gradient is divided by.
    #[serde(default = "default_eps")]
    #[schemars(range(min = f32::MIN_POSITIVE))]
    pub eps: f64,
    /// Multiple of the weights that is added to their gradient, unless it is decoupled.
    #[serde(default)]
    #[schemars(range(min = 0.0))]
    pub weight_decay: f64,
    /// Whether each update multiplies the weights by `1 - rate * weight_decay` instead.
    #[serde(default)]
    pub decoupled_weight_decay: bool,
    /// The package whose form is computed, by default `timm`.
    #[serde(default, skip_serializing_if = "is_default")]
    pub variant: AdoptVariant,
}

/// The package whose form of ADOPT is computed. Normalized gradients are cut to a size that grows with the updates.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum AdoptVariant {
    /// `timm`: in update number n they are cut to `(n - 1)^0.333`. The first update has no decoupled decay.
    #[default]
    Timm,
    /// `pytorch-optimizer`: they are cut to `n^0.25`.
    PytorchOptimizer,
}

fn default_betas() -> [f64; 2] {
    [0.9, 0.9999]
}

fn default_eps() -> f64 {
    1e-6
}

impl Default for Adopt {
    fn default() -> Self {
        Self {
            lr: 1e-3,
            betas: default_betas(),
            eps: default_eps(),
            weight_decay: 0.0,
            decoupled_weight_decay: false,
            variant: AdoptVariant::default(),
        }
    }
}

impl UpdateRule for Adopt {
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
        let n = step.updates_before as f64;
        let is_first = step.updates_before == 0;
        let most = match self.variant {
            AdoptVariant::Timm => n.powf(0.333),
            AdoptVariant::PytorchOptimizer => (n + 1.0).powf(0.25),
        };
        let (shrink, decay) = match self.decoupled_weight_decay {
            true if is_first && self.variant == AdoptVariant::Timm => (1.0, 0.0),
            true => (Decoupled::Rate.shrink(step), 0.0),
            false => (1.0, step.weight_decay),
        };
        let betas = [step.momentum, self.betas[1]];
        Numbers { is_first, lr: step.lr, betas, eps: self.eps, most, shrink, decay }.update(tensors)
    }
}

/// The numbers of an update.
#[derive(Clone, Copy)]
struct Numbers {
    is_first: bool,
    lr: f64,
    betas: [f64; 2],
    eps: f64,
    most: f64,
    shrink: f64,
    decay: f64,
}

impl Formula<3> for Numbers {
    #[inline(always)]
    fn apply<X: Number>(self, [weight, mean, square]: [X; 3], gradient: X) -> [X; 3] {
        let g = gradient + weight.clone().times(self.decay);
        if self.is_first {
            return [weight.times(self.shrink), mean, g.square()];
        }
        let normalized = g.clone() / square.clone().root().within(self.eps, f64::MAX);
        let mean = mean.mean_with(normalized.within(-self.most, self.most), 1.0 - self.betas[0]);
        let square = square.decayed_with(self.betas[1], g.square());
        [weight.times(self.shrink) - mean.clone().times(self.lr), mean, square]
    }
}
