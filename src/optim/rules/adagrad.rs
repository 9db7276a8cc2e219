//! Adagrad: Duchi et al., "Adaptive Subgradient Methods for Online Learning and Stochastic Optimization" (JMLR 2011),
//! in the form of `torch.optim.Adagrad`.

use candle_core::{DType, Result, WithDType};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::super::{BaseHyperparams, OptimError, Step, Update, UpdateRule};
use super::moments;
use super::variants::{Variant, is_default};
use crate::cpu::Element;

/// Gradient descent by the root of the sum of all squared gradients, like `torch.optim.Adagrad`: Duchi et al., JMLR
/// 2011.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Adagrad {
    /// Base learning rate.
    #[schemars(range(min = 0.0))]
    pub lr: f64,
    /// The rate is divided by `1 + n * lr_decay` after `n` updates, in addition to its schedule.
    #[serde(default)]
    #[schemars(range(min = 0.0))]
    pub lr_decay: f64,
    /// Multiple of the weights that is added to their gradient, unless `variant` says otherwise.
    #[serde(default)]
    #[schemars(range(min = 0.0))]
    pub weight_decay: f64,
    /// The sum of squares before the first update. A saved sum includes it.
    #[serde(default)]
    #[schemars(range(min = 0.0))]
    pub initial_accumulator_value: f64,
    /// Added to the root of the sum.
    #[serde(default = "default_eps")]
    #[schemars(range(min = f32::MIN_POSITIVE))]
    pub eps: f64,
    /// Whose form is computed, by default PyTorch's. Keras adds `eps` below the root.
    #[serde(default, skip_serializing_if = "is_default")]
    pub variant: Variant,
}

fn default_eps() -> f64 {
    1e-10
}

impl Default for Adagrad {
    fn default() -> Self {
        Self {
            lr: 1e-2,
            lr_decay: 0.0,
            weight_decay: 0.0,
            initial_accumulator_value: 0.0,
            eps: default_eps(),
            variant: Variant::default(),
        }
    }
}

impl UpdateRule for Adagrad {
    fn base(&self) -> BaseHyperparams {
        BaseHyperparams { lr: self.lr, weight_decay: self.weight_decay, momentum: None }
    }

    fn check(&self) -> std::result::Result<(), OptimError> {
        OptimError::require_at_least_0("lr_decay", self.lr_decay)?;
        OptimError::require_at_least_0("initial_accumulator_value", self.initial_accumulator_value)?;
        moments::check_eps(self.eps)
    }

    fn states(&self, _momentum: f64) -> &'static [&'static str] {
        &["sum"]
    }

    fn update(&self, tensors: &Update<'_>, step: &Step) -> Result<()> {
        match tensors.slice_dtype() {
            Some(DType::F32) => self.fused::<f32>(tensors, step),
            Some(DType::F64) => self.fused::<f64>(tensors, step),
            _ => self.reference(tensors, step),
        }
    }
}

impl Adagrad {
    fn rate(&self, step: &Step) -> f64 {
        step.lr / (1.0 + step.updates_before as f64 * self.lr_decay)
    }

    /// Returns the number that is added to the saved sum: states start at zero, so the first update adds the initial
    /// value to its sum.
    fn start(&self, step: &Step) -> f64 {
        if step.updates_before == 0 { self.initial_accumulator_value } else { 0.0 }
    }

    /// Makes one pass over the slices of the parameter.
    fn fused<T: Element>(&self, tensors: &Update<'_>, step: &Step) -> Result<()> {
        let of = <T as WithDType>::from_f64;
        let [shrink, decay] = self.variant.decay(step).map(of);
        let [inner, outer] = self.variant.eps(self.eps).map(of);
        let (scale, rate, start) = (of(tensors.gradient_scale), of(self.rate(step)), of(self.start(step)));
        tensors.in_place(|[p, s]: [&mut [T]; 2], g| {
            for ((p, s), g) in p.iter_mut().zip(s).zip(g) {
                let weight = *p;
                let g = *g * scale + decay * weight;
                let sum = *s + start + g * g;
                *s = sum;
                *p = weight * shrink - rate * (g / ((sum + inner).sqrt() + outer));
            }
        })
    }

    /// Makes the same update with tensor operations, for half precision and for devices whose memory is not accessible.
    fn reference(&self, tensors: &Update<'_>, step: &Step) -> Result<()> {
        let ([shrink, decay], [inner, outer]) = (self.variant.decay(step), self.variant.eps(self.eps));
        let p = tensors.weights()?;
        let g = (tensors.gradient()? + (&p * decay)?)?;
        let sum = ((tensors.state(0)? + self.start(step))? + g.sqr()?)?;
        tensors.set_state(0, &sum)?;
        let moved = ((g / ((sum + inner)?.sqrt()? + outer)?)? * self.rate(step))?;
        tensors.set_weights(&((p * shrink)? - moved)?)
    }
}
