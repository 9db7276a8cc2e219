//! Adamax: Kingma and Ba, "Adam: A Method for Stochastic Optimization" (ICLR 2015), algorithm 2, in the form of
//! `torch.optim.Adamax`.

use candle_core::{DType, Result, WithDType};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::super::{BaseHyperparams, Momentum, OptimError, Step, Update, UpdateRule};
use super::moments::{self, corrections, default_betas, default_eps};
use super::variants::{Variant, is_default};
use crate::cpu::Element;

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
        match tensors.slice_dtype() {
            Some(DType::F32) => self.fused::<f32>(tensors, step),
            Some(DType::F64) => self.fused::<f64>(tensors, step),
            _ => self.reference(tensors, step),
        }
    }
}

/// Returns the rate, corrected for a mean that has started at zero.
fn step_size(step: &Step) -> f64 {
    let [correction, _] = corrections([step.momentum, 0.0], step.updates_before);
    step.lr / correction
}

impl Adamax {
    /// Makes one pass over the slices of the parameter.
    fn fused<T: Element>(&self, tensors: &Update<'_>, step: &Step) -> Result<()> {
        let of = <T as WithDType>::from_f64;
        let (beta2, take) = (of(self.betas[1]), of(1.0 - step.momentum));
        let (scale, step_size) = (of(tensors.gradient_scale), of(step_size(step)));
        let [shrink, decay] = self.variant.decay(step).map(of);
        // PyTorch takes it into the maximum, Keras adds it outside.
        let [outer, inner] = self.variant.eps(self.eps).map(of);
        tensors.in_place(|[p, m, u]: [&mut [T]; 3], g| {
            for (((p, m), u), g) in p.iter_mut().zip(m).zip(u).zip(g) {
                let (weight, mean, largest) = (*p, *m, *u * beta2);
                let g = *g * scale + decay * weight;
                let mean = mean + take * (g - mean);
                let size = g.abs() + inner;
                // A gradient that is not a number stays one, as in PyTorch's maximum.
                let largest = if largest > size { largest } else { size };
                *m = mean;
                *u = largest;
                *p = weight * shrink - step_size * (mean / (largest + outer));
            }
        })
    }

    /// Makes the same update with tensor operations, for half precision and for devices whose memory is not accessible.
    fn reference(&self, tensors: &Update<'_>, step: &Step) -> Result<()> {
        let ([shrink, decay], [outer, inner]) = (self.variant.decay(step), self.variant.eps(self.eps));
        let p = tensors.weights()?;
        let g = (tensors.gradient()? + (&p * decay)?)?;
        let m = tensors.state(0)?;
        let m = (&m + ((&g - &m)? * (1.0 - step.momentum))?)?;
        let u = (tensors.state(1)? * self.betas[1])?.maximum(&(g.abs()? + inner)?)?;
        tensors.set_state(0, &m)?;
        tensors.set_state(1, &u)?;
        let moved = ((m / (u + outer)?)? * step_size(step))?;
        tensors.set_weights(&((p * shrink)? - moved)?)
    }
}
