//! Rprop: Riedmiller and Braun, "A Direct Adaptive Method for Faster Backpropagation Learning: The RPROP Algorithm" (ICNN
//! 1993), in the form of `torch.optim.Rprop`.

use candle_core::Result;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::super::formula::Formula;
use super::super::number::Number;
use super::super::{BaseHyperparams, OptimError, Step, Update, UpdateRule};

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
}

fn default_etas() -> [f64; 2] {
    [0.5, 1.2]
}

fn default_step_sizes() -> [f64; 2] {
    [1e-6, 50.0]
}

impl Default for Rprop {
    fn default() -> Self {
        Self { lr: 1e-2, etas: default_etas(), step_sizes: default_step_sizes(), weight_decay: 0.0 }
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
        Numbers { lr: step.lr, etas, step_sizes, decay: step.weight_decay }.update(tensors)
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

impl Formula<3> for Numbers {
    #[inline(always)]
    fn apply<X: Number>(self, [weight, before, size]: [X; 3], gradient: X) -> [X; 3] {
        let ([down, up], [smallest, largest]) = (self.etas, self.step_sizes);
        let g = gradient + weight.clone().times(self.decay);
        let agreement = g.clone() * before;
        // Sizes are above 0 once there was an update.
        let size = size.clone() + size.by_sign([0.0, self.lr, 0.0]);
        let size = (size * agreement.clone().by_sign([down, 1.0, up])).within(smallest, largest);
        let g = g * agreement.by_sign([0.0, 1.0, 1.0]);
        [weight - g.clone().sign() * size.clone(), g, size]
    }
}
