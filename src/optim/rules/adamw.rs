//! AdamW: Loshchilov and Hutter, "Decoupled Weight Decay Regularization" (ICLR 2019), algorithm 2, in the form of
//! `torch.optim.AdamW`.

use candle_core::Result;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::super::{BaseHyperparams, Momentum, OptimError, Step, Update, UpdateRule};
use super::bf16_mean;
use super::cautious;
use super::moments::{self, Moments, default_betas, default_eps};
use super::variants::{AdamVariant, Decoupled, MeanDtype, is_default};

/// Adam with decoupled weight decay, like `torch.optim.AdamW`: Loshchilov and Hutter, ICLR 2019, algorithm 2.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AdamW {
    /// Base learning rate.
    #[schemars(range(min = 0.0))]
    pub lr: f64,
    /// Decay rates of the first and the second moment, each in `[0, 1)`.
    #[serde(default = "default_betas")]
    #[schemars(extend("items" = json!({"type": "number", "minimum": 0.0, "exclusiveMaximum": 1.0})))]
    pub betas: [f64; 2],
    /// Added to the square root of the second moment.
    #[serde(default = "default_eps")]
    #[schemars(range(min = f32::MIN_POSITIVE))]
    pub eps: f64,
    /// Each update first multiplies the weights by `1 - rate * weight_decay`, or as `decoupled` says.
    #[serde(default = "default_weight_decay")]
    #[schemars(range(min = 0.0))]
    pub weight_decay: f64,
    /// By how much the weights decay, by default by the rate.
    #[serde(default, skip_serializing_if = "is_default")]
    pub decoupled: Decoupled,
    /// Whether the denominator has the largest second moment so far: Reddi et al., ICLR 2018. Not by default.
    #[serde(default, skip_serializing_if = "is_default")]
    pub amsgrad: bool,
    /// Whose form is computed, by default PyTorch's. Keras adds `eps` to the uncorrected root; optax corrects the
    /// moments by numbers of f32.
    #[serde(default, skip_serializing_if = "is_default")]
    pub variant: AdamVariant,
    /// Whether means of gradients that contradict the gradient are left out, and the others grow, as with `caution` of
    /// `timm`: Liang et al., "Cautious Optimizers" (2024). It has no AMSGrad, and the form of PyTorch.
    #[serde(default, skip_serializing_if = "is_default")]
    pub caution: bool,
    /// The type whose numbers the first moment has, as `mu_dtype` of optax. `"bf16"` is for its form, without `amsgrad`.
    #[serde(default, skip_serializing_if = "is_default")]
    pub mu_dtype: MeanDtype,
}

fn default_weight_decay() -> f64 {
    0.01
}

impl Default for AdamW {
    fn default() -> Self {
        Self {
            lr: 1e-3,
            betas: default_betas(),
            eps: default_eps(),
            weight_decay: default_weight_decay(),
            decoupled: Decoupled::default(),
            amsgrad: false,
            variant: AdamVariant::default(),
            caution: false,
            mu_dtype: MeanDtype::default(),
        }
    }
}

impl UpdateRule for AdamW {
    fn base(&self) -> BaseHyperparams {
        let momentum = Some(Momentum::Beta1(self.betas[0]));
        BaseHyperparams { lr: self.lr, weight_decay: self.weight_decay, momentum }
    }

    fn check(&self) -> std::result::Result<(), OptimError> {
        moments::check(self.betas, self.eps)?;
        self.variant.check(self.betas)?;
        bf16_mean::check(self.mu_dtype, self.betas[0], self.variant, self.amsgrad)?;
        let is_plain = !self.amsgrad && self.variant == AdamVariant::Pytorch;
        let rule = "is for the form of PyTorch without `amsgrad`";
        OptimError::require("caution", self.caution, is_plain || !self.caution, rule)
    }

    fn beta2(&self) -> Option<f64> {
        Some(self.betas[1])
    }

    fn states(&self, _beta1: f64) -> &'static [&'static str] {
        moments::states(self.amsgrad)
    }

    fn update(&self, tensors: &Update<'_>, step: &Step) -> Result<()> {
        let moments = self.moments(step);
        match self.mu_dtype {
            MeanDtype::Bf16 => bf16_mean::update(moments, tensors),
            MeanDtype::F32 if self.caution => cautious::update(moments, tensors),
            MeanDtype::F32 => moments.update(tensors),
        }
    }

    fn update_group(&self, group: &[(Update<'_>, Step)]) -> Result<()> {
        if self.caution || self.mu_dtype == MeanDtype::Bf16 {
            return group.iter().try_for_each(|(tensors, step)| self.update(tensors, step));
        }
        moments::update_group(group, |step| self.moments(step))
    }
}

impl AdamW {
    fn moments(&self, step: &Step) -> Moments {
        let shrink = self.decoupled.shrink(step);
        Moments { shrink, ..Moments::new(step, self.betas[1], self.eps, self.amsgrad, self.variant) }
    }
}
