//! SGD with momentum: Sutskever et al., "On the importance of initialization and momentum in deep learning" (ICML
//! 2013), in the form of `torch.optim.SGD`.

use candle_core::Result;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::super::formula::Formula;
use super::super::number::Number;
use super::super::together::{Together, update_together};
use super::super::{BaseHyperparams, Momentum, OptimError, Step, Update, UpdateRule};
use super::variants::{Decoupled, Variant, is_default};
use super::velocity;

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

impl Sgd {
    /// Makes the update whose decay is in the gradient.
    fn descend(&self, tensors: &Update<'_>, step: &Step) -> Result<()> {
        let (lr, decay) = (step.lr, step.weight_decay);
        if tensors.states.is_empty() {
            return Plain { lr, decay }.update(tensors);
        }
        let taken = 1.0 - self.dampening_of(step);
        Rolling { lr, decay, kept: step.momentum, taken, nesterov: self.nesterov }.update(tensors)
    }

    /// Returns the dampening of an update: 0 in the first update, which takes the whole gradient into the momentum, and
    /// without momentum.
    fn dampening_of(&self, step: &Step) -> f64 {
        if step.updates_before == 0 || step.momentum == 0.0 { 0.0 } else { self.dampening }
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
}

/// An update without momentum.
#[derive(Clone, Copy)]
struct Plain {
    lr: f64,
    decay: f64,
}

impl Formula<1> for Plain {
    #[inline(always)]
    fn apply<X: Number>(self, [weight]: [X; 1], gradient: X) -> [X; 1] {
        let g = gradient + weight.clone().times(self.decay);
        [weight - g.times(self.lr)]
    }
}

/// An update with momentum.
#[derive(Clone, Copy)]
struct Rolling {
    lr: f64,
    decay: f64,
    kept: f64,
    /// Share of the gradient in the momentum.
    taken: f64,
    nesterov: bool,
}

impl Formula<2> for Rolling {
    #[inline(always)]
    fn apply<X: Number>(self, [weight, momentum]: [X; 2], gradient: X) -> [X; 2] {
        let g = gradient + weight.clone().times(self.decay);
        let momentum = momentum.times(self.kept) + g.clone().times(self.taken);
        let direction = if self.nesterov { g + momentum.clone().times(self.kept) } else { momentum.clone() };
        [weight - direction.times(self.lr), momentum]
    }
}
