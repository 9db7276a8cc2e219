//! Settings by which a rule computes as another framework does under the same name.

use std::fmt;
use std::num::NonZeroU64;

use schemars::JsonSchema;
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize};

use super::super::{OptimError, Step};

/// The framework whose form of a rule is computed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Variant {
    /// That of `torch.optim`.
    #[default]
    Pytorch,
    /// That of `keras.optimizers`, whose weight decay multiplies the weights by `1 - lr * weight_decay`.
    Keras,
}

impl Variant {
    /// Returns the factor of the weights, and the multiple of them that is added to their gradient.
    pub(super) fn decay(self, step: &Step) -> [f64; 2] {
        match self {
            Self::Pytorch => [1.0, step.weight_decay],
            Self::Keras => [Decoupled::Rate.shrink(step), 0.0],
        }
    }

    /// Returns the numbers added below a root, and to the root: `eps` and 0, in some order.
    pub(super) fn eps(self, eps: f64) -> [f64; 2] {
        match self {
            Self::Pytorch => [0.0, eps],
            Self::Keras => [eps, 0.0],
        }
    }
}

/// The framework whose form of Adam or AdamW is computed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum AdamVariant {
    /// That of `torch.optim`.
    #[default]
    Pytorch,
    /// That of `keras.optimizers`, whose weight decay multiplies the weights by `1 - lr * weight_decay`.
    Keras,
    /// That of `optax`, which computes `1 - beta^n` in f32. The second moments of its AMSGrad are corrected before the
    /// largest is taken.
    Optax,
}

impl AdamVariant {
    /// Returns the factor of the weights, and the multiple of them that is added to their gradient, in a rule without
    /// decoupled decay.
    pub(super) fn decay(self, step: &Step) -> [f64; 2] {
        match self {
            Self::Pytorch | Self::Optax => Variant::Pytorch.decay(step),
            Self::Keras => Variant::Keras.decay(step),
        }
    }

    /// Checks that betas are below 1 as this framework has them: f32 rounds 0.99999999 to 1.
    pub(super) fn check(self, betas: [f64; 2]) -> Result<(), OptimError> {
        let is_below = self != Self::Optax || betas.iter().all(|beta| (*beta as f32) < 1.0);
        OptimError::require(
            "betas",
            format!("{betas:?}"),
            is_below,
            "optax has them in f32, where each must be below 1",
        )
    }
}

/// The package whose cautious form of a rule is computed: Liang et al., 2024. Where the direction contradicts the
/// gradient, weights stay; where it does not, the direction is multiplied, so that its mean size is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Cautious {
    /// `timm`, setting `caution`: by one over the share of those that move, at most 1000.
    Timm,
    /// `pytorch-optimizer`, setting `cautious`: by the number of all over one more than those that move.
    PytorchOptimizer,
    /// `lion-pytorch`, class `Lion` of `cautious_lion`: by one over the share of those that move, at most 100000.
    LionPytorch,
}

impl Cautious {
    /// Returns the factor if `moving` of `all` weights move.
    pub(super) fn factor(self, moving: f64, all: usize) -> f64 {
        let all = all.max(1) as f64;
        match self {
            Self::Timm => 1.0 / (moving / all).max(1e-3),
            Self::PytorchOptimizer => all / (moving + 1.0),
            Self::LionPytorch => 1.0 / (moving / all).max(1e-5),
        }
    }
}

/// The type whose numbers a mean has. The state itself is in f32 with either.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum MeanDtype {
    /// f32, or the type of the computation.
    #[default]
    F32,
    /// bf16: the mean is rounded after each update.
    Bf16,
}

impl fmt::Display for MeanDtype {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::F32 => "\"f32\"",
            Self::Bf16 => "\"bf16\"",
        })
    }
}

/// By how much decoupled weight decay shrinks the weights.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Decoupled {
    /// By `lr * weight_decay`, as in `torch.optim.AdamW`.
    #[default]
    Rate,
    /// By `lr / base_lr * weight_decay`, as in Composer's `DecoupledAdamW` and `DecoupledSGDW`: at the base rate the
    /// weights are multiplied by `1 - weight_decay`, whatever the rate is.
    Composer,
}

impl Decoupled {
    /// Returns the factor of the weights. Composer takes `lr / base_lr` as 1 where the base rate is 0.
    pub(super) fn shrink(self, step: &Step) -> f64 {
        match self {
            Self::Rate => 1.0 - step.lr * step.weight_decay,
            Self::Composer if step.base_lr == 0.0 => 1.0 - step.weight_decay,
            Self::Composer => 1.0 - step.lr / step.base_lr * step.weight_decay,
        }
    }
}

impl fmt::Display for Decoupled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Rate => "\"rate\"",
            Self::Composer => "\"composer\"",
        })
    }
}

/// Reads a number that is at least 1.
pub(super) fn at_least_1<'de, D: Deserializer<'de>, T: TryFrom<u64>>(deserializer: D) -> Result<T, D::Error> {
    let number = NonZeroU64::deserialize(deserializer)?.get();
    T::try_from(number).map_err(|_| D::Error::custom(format!("{number} is too large")))
}

/// Whether a setting need not be written: programs from before it existed can then read the others.
pub(super) fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}
