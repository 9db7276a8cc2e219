//! Rprop: Riedmiller and Braun, "A Direct Adaptive Method for Faster Backpropagation Learning: The RPROP Algorithm" (ICNN
//! 1993), in the forms of `torch.optim.Rprop` and of `optax`.

use candle_core::Result;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::super::formula::Formula;
use super::super::number::Number;
use super::super::{BaseHyperparams, OptimError, Step, Update, UpdateRule};
use super::variants::is_default;

/// Steps whose size depends on the signs of the last gradients alone, like `torch.optim.Rprop`: Riedmiller and Braun,
/// ICNN 1993. It is meant for gradients of the whole data set. Its steps begin with the rate of the first update; a
/// schedule of the rate does not drive them afterwards.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Rprop {
    /// Base learning rate: in the first update, the size of the steps.
    #[schemars(range(min = 0.0))]
    pub lr: f64,
    /// Factor of a step's size where the sign of the gradient changes, below 1, and where it stays, above 1.
    #[serde(default = "default_etas")]
    #[schemars(extend("items" = json!({"type": "number", "exclusiveMinimum": 0.0})))]
    pub etas: [f64; 2],
    /// The smallest and the largest step.
    #[serde(default = "default_step_sizes")]
    #[schemars(extend("items" = json!({"type": "number", "exclusiveMinimum": 0.0})))]
    pub step_sizes: [f64; 2],
    /// Multiple of the weights that is added to their gradient. PyTorch's rule has none.
    #[serde(default)]
    #[schemars(range(min = 0.0))]
    pub weight_decay: f64,
    /// Whose form is computed, by default PyTorch's.
    #[serde(default, skip_serializing_if = "is_default")]
    pub variant: RpropVariant,
}

/// The package whose form of Rprop is computed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum RpropVariant {
    /// `torch.optim`.
    #[default]
    Pytorch,
    /// `optax`: an update takes the steps of the update before it, which the state `prev` has, and leaves a weight whose
    /// gradient has another sign than its step. The first update leaves all weights.
    Optax,
}

fn default_etas() -> [f64; 2] {
    [0.5, 1.2]
}

fn default_step_sizes() -> [f64; 2] {
    [1e-6, 50.0]
}

impl Default for Rprop {
    fn default() -> Self {
        let (etas, step_sizes) = (default_etas(), default_step_sizes());
        Self { lr: 1e-2, etas, step_sizes, weight_decay: 0.0, variant: RpropVariant::default() }
    }
}

impl UpdateRule for Rprop {
    fn base(&self) -> BaseHyperparams {
        BaseHyperparams { lr: self.lr, weight_decay: self.weight_decay, momentum: None }
    }

    fn check(&self) -> std::result::Result<(), OptimError> {
        let [down, up] = self.etas;
        let in_range = 0.0 < down && down < 1.0 && 1.0 < up && up.is_finite();
        let rule = "the first must be above 0 and below 1, the second above 1";
        OptimError::require("etas", format!("{:?}", self.etas), in_range, rule)?;
        let [smallest, largest] = self.step_sizes;
        let in_range = smallest >= f64::from(f32::MIN_POSITIVE) && smallest <= largest && largest.is_finite();
        let rule = "the first must be positive, not below what f32 can hold, and not above the second";
        OptimError::require("step_sizes", format!("{:?}", self.step_sizes), in_range, rule)
    }

    fn states(&self, _momentum: f64) -> &'static [&'static str] {
        &["prev", "step_size"]
    }

    fn update(&self, tensors: &Update<'_>, step: &Step) -> Result<()> {
        let Self { etas, step_sizes, .. } = *self;
        let numbers = Numbers { lr: step.lr, etas, step_sizes, decay: step.weight_decay };
        match self.variant {
            RpropVariant::Pytorch => numbers.update(tensors),
            RpropVariant::Optax => Late(numbers).update(tensors),
        }
    }
}

/// The numbers of an update.
#[derive(Clone, Copy)]
struct Numbers {
    lr: f64,
    etas: [f64; 2],
    step_sizes: [f64; 2],
    decay: f64,
}

impl Numbers {
    /// Returns the size of a step after its change.
    #[inline(always)]
    fn resized<X: Number>(self, size: X, agreement: X) -> X {
        let ([down, up], [smallest, largest]) = (self.etas, self.step_sizes);
        // Sizes are above 0 once there was an update.
        let size = size.clone() + size.by_sign([0.0, self.lr, 0.0]);
        (size * agreement.by_sign([down, 1.0, up])).within(smallest, largest)
    }
}

impl Formula<3> for Numbers {
    #[inline(always)]
    fn apply<X: Number>(self, [weight, before, size]: [X; 3], gradient: X) -> [X; 3] {
        let g = gradient + weight.clone().times(self.decay);
        let agreement = g.clone() * before;
        let size = self.resized(size, agreement.clone());
        let g = g * agreement.by_sign([0.0, 1.0, 1.0]);
        [weight - g.clone().sign() * size.clone(), g, size]
    }
}

/// The same update, one late: its steps are those of the update before, with their sizes.
#[derive(Clone, Copy)]
struct Late(Numbers);

impl Formula<3> for Late {
    #[inline(always)]
    fn apply<X: Number>(self, [weight, before, size]: [X; 3], gradient: X) -> [X; 3] {
        let Self(numbers) = self;
        let g = gradient + weight.clone().times(numbers.decay);
        let agreement = g.clone() * before.clone();
        let size = numbers.resized(size, agreement.clone());
        let stays = agreement.by_sign([0.0, 1.0, 1.0]);
        [weight - before * stays.clone(), g.sign() * size.clone() * stays, size]
    }
}
