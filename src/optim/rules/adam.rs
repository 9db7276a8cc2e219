//! Adam: Kingma and Ba, "Adam: A Method for Stochastic Optimization" (ICLR 2015), algorithm 1, in the form of
//! `torch.optim.Adam`.

use candle_core::Result;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::super::{BaseHyperparams, Momentum, OptimError, Step, Update, UpdateRule};
use super::bf16_mean;
use super::moments::{self, Moments, default_betas, default_eps};
use super::variants::{AdamVariant, MeanDtype, is_default};

/// Adam with weight decay added to the gradient, like `torch.optim.Adam`: Kingma and Ba, ICLR 2015, algorithm 1.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Adam {
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
    /// Multiple of the weights that is added to their gradient.
    #[serde(default)]
    #[schemars(range(min = 0.0))]
    pub weight_decay: f64,
    /// Whether the denominator has the largest second moment so far: Reddi et al., ICLR 2018. Not by default.
    #[serde(default, skip_serializing_if = "is_default")]
    pub amsgrad: bool,
    /// Whose form is computed, by default PyTorch's. Keras adds `eps` to the uncorrected root, and its weight decay is
    /// that of `adamw`; optax corrects the moments by numbers of f32.
    #[serde(default, skip_serializing_if = "is_default")]
    pub variant: AdamVariant,
    /// The type whose numbers the first moment has, as `mu_dtype` of optax. `"bf16"` is for its form, without `amsgrad`.
    #[serde(default, skip_serializing_if = "is_default")]
    pub mu_dtype: MeanDtype,
}

impl Default for Adam {
    fn default() -> Self {
        let (betas, eps) = (default_betas(), default_eps());
        let (variant, mu_dtype) = (AdamVariant::default(), MeanDtype::default());
        Self { lr: 1e-3, betas, eps, weight_decay: 0.0, amsgrad: false, variant, mu_dtype }
    }
}

impl UpdateRule for Adam {
    fn base(&self) -> BaseHyperparams {
        let momentum = Some(Momentum::Beta1(self.betas[0]));
        BaseHyperparams { lr: self.lr, weight_decay: self.weight_decay, momentum }
    }

    fn check(&self) -> std::result::Result<(), OptimError> {
        moments::check(self.betas, self.eps)?;
        self.variant.check(self.betas)?;
        bf16_mean::check(self.mu_dtype, self.betas[0], self.variant, self.amsgrad)
    }

    fn beta2(&self) -> Option<f64> {
        Some(self.betas[1])
    }

    fn states(&self, _beta1: f64) -> &'static [&'static str] {
        moments::states(self.amsgrad)
    }

    fn update(&self, tensors: &Update<'_>, step: &Step) -> Result<()> {
        match self.mu_dtype {
            MeanDtype::F32 => self.moments(step).update(tensors),
            MeanDtype::Bf16 => bf16_mean::update(self.moments(step), tensors),
        }
    }

    fn update_group(&self, group: &[(Update<'_>, Step)]) -> Result<()> {
        if self.mu_dtype == MeanDtype::Bf16 {
            return group.iter().try_for_each(|(tensors, step)| self.update(tensors, step));
        }
        moments::update_group(group, |step| self.moments(step))
    }
}

impl Adam {
    fn moments(&self, step: &Step) -> Moments {
        let [shrink, decay] = self.variant.decay(step);
        Moments { shrink, decay, ..Moments::new(step, self.betas[1], self.eps, self.amsgrad, self.variant) }
    }
}
