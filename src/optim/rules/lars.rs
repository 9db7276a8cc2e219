//! LARS: You et al., "Large Batch Training of Convolutional Networks" (2017), algorithm 1, in the forms of `timm` and
//! `optax`.

use candle_core::Result;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::super::formula::{Formula, Summed};
use super::super::number::Number;
use super::super::{BaseHyperparams, Momentum, OptimError, Step, Update, UpdateRule};
use super::variants::is_default;

/// Gradient descent with momentum whose step for each parameter has a share of the parameter's size: You et al., 2017,
/// algorithm 1. `decay = "matrices"` leaves biases and the scales of norms to plain steps, as is usual.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Lars {
    /// Base learning rate.
    #[schemars(range(min = 0.0))]
    pub lr: f64,
    /// Share of the last update's direction that is kept, in `[0, 1)`.
    #[serde(default = "default_momentum")]
    #[schemars(range(min = 0.0), extend("exclusiveMaximum" = 1.0))]
    pub momentum: f64,
    /// Whether to use Nesterov momentum.
    #[serde(default)]
    pub nesterov: bool,
    /// Multiple of the weights that is added to their gradient.
    #[serde(default)]
    #[schemars(range(min = 0.0))]
    pub weight_decay: f64,
    /// The size of a step before the rate, as a share of that of the weights.
    #[serde(default = "default_trust_coefficient")]
    #[schemars(range(min = 0.0))]
    pub trust_coefficient: f64,
    /// Added to the size by which a step is divided.
    #[serde(default = "default_eps")]
    #[schemars(range(min = 0.0))]
    pub eps: f64,
    /// Whether steps are fitted also where the weights do not decay, in the form of `timm`; in that of `optax` they always
    /// are.
    #[serde(default)]
    pub always_adapt: bool,
    /// The package whose form is computed, by default `timm`.
    #[serde(default, skip_serializing_if = "is_default")]
    pub variant: LarsVariant,
}

/// The package whose form of LARS is computed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum LarsVariant {
    /// `timm`: steps are divided by the norm of the gradient plus that of the decay. The rate is outside of the momentum.
    #[default]
    Timm,
    /// `optax`: steps are divided by the norm of their sum. The rate is in the momentum: a changed one acts on new gradients
    /// only.
    Optax,
}

fn default_momentum() -> f64 {
    0.9
}

fn default_trust_coefficient() -> f64 {
    1e-3
}

fn default_eps() -> f64 {
    1e-8
}

impl Default for Lars {
    fn default() -> Self {
        Self {
            lr: 1.0,
            momentum: default_momentum(),
            nesterov: false,
            weight_decay: 0.0,
            trust_coefficient: default_trust_coefficient(),
            eps: default_eps(),
            always_adapt: false,
            variant: LarsVariant::default(),
        }
    }
}

impl UpdateRule for Lars {
    fn base(&self) -> BaseHyperparams {
        let momentum = Some(Momentum::Momentum(self.momentum));
        BaseHyperparams { lr: self.lr, weight_decay: self.weight_decay, momentum }
    }

    fn check(&self) -> std::result::Result<(), OptimError> {
        OptimError::require_at_least_0("trust_coefficient", self.trust_coefficient)?;
        OptimError::require_at_least_0("eps", self.eps)
    }

    fn states(&self, _momentum: f64) -> &'static [&'static str] {
        &["momentum_buffer"]
    }

    fn remark(&self, weight_decay: f64) -> Option<String> {
        let is_plain = self.variant == LarsVariant::Timm && weight_decay == 0.0 && !self.always_adapt;
        is_plain.then(|| {
            "`lars` fits steps to the size of weights only where these decay, so without `weight_decay` it is plain `sgd` \
             with momentum; set `weight_decay`, or `always_adapt = true`"
                .to_owned()
        })
    }

    fn update(&self, tensors: &Update<'_>, step: &Step) -> Result<()> {
        let decay = step.weight_decay;
        let trust = match self.variant {
            LarsVariant::Timm if decay == 0.0 && !self.always_adapt => 1.0,
            _ => self.trust(Squares { decay }.update_and_sum(tensors)?, decay),
        };
        let (taken, moved) = match self.variant {
            LarsVariant::Timm => (trust, step.lr),
            LarsVariant::Optax => (trust * step.lr, 1.0),
        };
        Move { decay, taken, kept: step.momentum, moved, nesterov: self.nesterov }.update(tensors)
    }
}

impl Lars {
    /// Returns the factor of a step, by the squares of the weights, of the gradient, and of the gradient with the decay.
    fn trust(&self, squares: [f64; 3], decay: f64) -> f64 {
        let [weight, gradient, decayed] = squares.map(f64::sqrt);
        let (step, size) = match self.variant {
            LarsVariant::Timm => (gradient, gradient + decay * weight),
            LarsVariant::Optax => (decayed, decayed),
        };
        if weight == 0.0 || step == 0.0 { 1.0 } else { self.trust_coefficient * weight / (size + self.eps) }
    }
}

/// Changes nothing. Its terms are the squares of the weight, of the gradient, and of the gradient with the decay.
#[derive(Clone, Copy)]
struct Squares {
    decay: f64,
}

impl Summed<1, 3> for Squares {
    #[inline(always)]
    fn apply<X: Number>(self, [weight]: [X; 1], g: X) -> ([X; 1], [X; 3]) {
        let decayed = g.clone() + weight.clone().times(self.decay);
        ([weight.clone()], [weight.square(), g.square(), decayed.square()])
    }
}

/// The movement of the weights, and the momentum.
#[derive(Clone, Copy)]
struct Move {
    decay: f64,
    /// Share of a new step in the momentum.
    taken: f64,
    kept: f64,
    /// Multiple of the momentum by which the weights move.
    moved: f64,
    nesterov: bool,
}

impl Formula<2> for Move {
    #[inline(always)]
    fn apply<X: Number>(self, [weight, buffer]: [X; 2], g: X) -> [X; 2] {
        let new = (g + weight.clone().times(self.decay)).times(self.taken);
        let buffer = buffer.times(self.kept) + new.clone();
        let direction = if self.nesterov { new + buffer.clone().times(self.kept) } else { buffer.clone() };
        [weight - direction.times(self.moved), buffer]
    }
}
