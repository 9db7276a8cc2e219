//! SGD with momentum: Sutskever et al., "On the importance of initialization and momentum in deep learning" (ICML
//! 2013), in the form of `torch.optim.SGD`.

use candle_core::{DType, Result, WithDType};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::super::together::{Together, update_together};
use super::super::{BaseHyperparams, Momentum, OptimError, Step, Update, UpdateRule};
use super::variants::{Decoupled, Variant, is_default};
use super::velocity;
use crate::cpu::Element;

/// Stochastic gradient descent with momentum, like `torch.optim.SGD`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Sgd {
    /// Base learning rate.
    #[schemars(range(min = 0.0))]
    pub lr: f64,
    /// Share of the last update's direction that is kept, in `[0, 1)`.
    #[serde(default)]
    #[schemars(range(min = 0.0), extend("exclusiveMaximum" = 1.0))]
    pub momentum: f64,
    /// Share of the gradient that is left out of the momentum, in `[0, 1]`.
    #[serde(default)]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub dampening: f64,
    /// Whether to use Nesterov momentum: Sutskever et al., ICML 2013.
    #[serde(default)]
    pub nesterov: bool,
    /// Multiple of the weights that is added to their gradient, unless `decoupled` or `variant` says otherwise.
    #[serde(default)]
    #[schemars(range(min = 0.0))]
    pub weight_decay: f64,
    /// Whether the weights themselves decay, before the update, and by how much. By default the decay is added to the
    /// gradient.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decoupled: Option<Decoupled>,
    /// Whose form is computed, by default PyTorch's. Keras has the rate in the momentum, which is called `velocity`
    /// there: a changed rate acts on new gradients only.
    #[serde(default, skip_serializing_if = "is_default")]
    pub variant: Variant,
}

impl Default for Sgd {
    fn default() -> Self {
        Self {
            lr: 1e-3,
            momentum: 0.0,
            dampening: 0.0,
            nesterov: false,
            weight_decay: 0.0,
            decoupled: None,
            variant: Variant::default(),
        }
    }
}

impl UpdateRule for Sgd {
    fn base(&self) -> BaseHyperparams {
        let momentum = Some(Momentum::Momentum(self.momentum));
        BaseHyperparams { lr: self.lr, weight_decay: self.weight_decay, momentum }
    }

    fn check(&self) -> std::result::Result<(), OptimError> {
        let (dampening, nesterov) = (self.dampening, self.nesterov);
        OptimError::require("dampening", dampening, (0.0..=1.0).contains(&dampening), "must be from 0 to 1")?;
        let can_look_ahead = !nesterov || (self.momentum > 0.0 && dampening == 0.0);
        OptimError::require("nesterov", nesterov, can_look_ahead, "needs a momentum above 0 and a dampening of 0")?;
        if self.variant == Variant::Keras {
            OptimError::require("dampening", dampening, dampening == 0.0, "the Keras variant has none; set it to 0")?;
            if let Some(decoupled) = self.decoupled {
                let rule = "the Keras variant has decoupled decay already; remove the key";
                OptimError::require("decoupled", decoupled, false, rule)?;
            }
        }
        Ok(())
    }

    fn states(&self, momentum: f64) -> &'static [&'static str] {
        match self.variant {
            _ if momentum <= 0.0 => &[],
            Variant::Pytorch => &["momentum_buffer"],
            Variant::Keras => &["velocity"],
        }
    }

    fn update(&self, tensors: &Update<'_>, step: &Step) -> Result<()> {
        if self.variant == Variant::Keras {
            return velocity::update(tensors, step, self.nesterov);
        }
        let Some(decoupled) = self.decoupled else { return self.descend(tensors, step) };
        tensors.multiply_weights(decoupled.shrink(step))?;
        self.descend(tensors, &Step { weight_decay: 0.0, ..*step })
    }

    fn update_group(&self, group: &[(Update<'_>, Step)]) -> Result<()> {
        if self.variant == Variant::Keras || self.decoupled.is_some() {
            return group.iter().try_for_each(|(tensors, step)| self.update(tensors, step));
        }
        update_together(group, |together| self.launch(together), |tensors, step| self.descend(tensors, step))
    }
}

/// Makes one pass over the slices of a parameter without momentum.
fn plain<T: Element>(tensors: &Update<'_>, step: &Step) -> Result<()> {
    let of = <T as WithDType>::from_f64;
    let (lr, decay, scale) = (of(step.lr), of(step.weight_decay), of(tensors.gradient_scale));
    tensors.in_place(|[p]: [&mut [T]; 1], g| {
        for (p, g) in p.iter_mut().zip(g) {
            *p = *p - lr * (*g * scale + decay * *p);
        }
    })
}

impl Sgd {
    /// Makes the update whose decay is in the gradient.
    fn descend(&self, tensors: &Update<'_>, step: &Step) -> Result<()> {
        match (tensors.slice_dtype(), tensors.states.is_empty()) {
            (Some(DType::F32), true) => plain::<f32>(tensors, step),
            (Some(DType::F64), true) => plain::<f64>(tensors, step),
            (Some(DType::F32), false) => self.roll::<f32>(tensors, step),
            (Some(DType::F64), false) => self.roll::<f64>(tensors, step),
            _ => self.reference(tensors, step),
        }
    }

    /// Returns the dampening of an update: 0 in the first update, which takes the whole gradient into the momentum, and
    /// without momentum.
    fn dampening_of(&self, step: &Step) -> f64 {
        if step.updates_before == 0 || step.momentum == 0.0 { 0.0 } else { self.dampening }
    }

    /// Makes one pass over the slices of a parameter with momentum.
    fn roll<T: Element>(&self, tensors: &Update<'_>, step: &Step) -> Result<()> {
        let of = <T as WithDType>::from_f64;
        let (lr, decay, scale) = (of(step.lr), of(step.weight_decay), of(tensors.gradient_scale));
        let (keep, take) = (of(step.momentum), of(1.0 - self.dampening_of(step)));
        tensors.in_place(|[p, m]: [&mut [T]; 2], g| {
            for ((p, m), g) in p.iter_mut().zip(m).zip(g) {
                // Read once: the compiler does not know that the slices are apart.
                let weight = *p;
                let g = *g * scale + decay * weight;
                let momentum = *m * keep + g * take;
                *m = momentum;
                *p = weight - lr * if self.nesterov { g + keep * momentum } else { momentum };
            }
        })
    }

    /// Updates parameters on a GPU in one launch.
    fn launch(&self, together: &Together<'_>) -> Result<()> {
        let step = together.step();
        let (states, take) = (together.states(), 1.0 - self.dampening_of(step));
        let kernel = if states == 0 { "sgd" } else { "sgd_momentum" };
        together.launch(kernel, states, |launch| {
            let launch = launch.double(step.lr).double(step.weight_decay);
            if states == 0 { return launch }
            launch.double(step.momentum).double(take).word(u32::from(self.nesterov))
        })
    }

    /// Makes the same update with tensor operations, for half precision and for devices whose memory is not accessible.
    fn reference(&self, tensors: &Update<'_>, step: &Step) -> Result<()> {
        let p = tensors.weights()?;
        let g = (tensors.gradient()? + (&p * step.weight_decay)?)?;
        let direction = if tensors.states.is_empty() {
            g
        } else {
            let m = ((tensors.state(0)? * step.momentum)? + (&g * (1.0 - self.dampening_of(step)))?)?;
            tensors.set_state(0, &m)?;
            if self.nesterov { (g + (m * step.momentum)?)? } else { m }
        };
        tensors.set_weights(&(p - (direction * step.lr)?)?)
    }
}
