//! AdaBelief: Zhuang et al., "AdaBelief Optimizer: Adapting Stepsizes by the Belief in Observed Gradients" (NeurIPS 2020),
//! algorithm 2, in the form of `pytorch-optimizer`.

use candle_core::Result;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::super::formula::Formula;
use super::super::number::Number;
use super::super::{BaseHyperparams, Momentum, OptimError, Step, Update, UpdateRule};
use super::moments::{self, corrections, default_betas};
use super::variants::Decoupled;

/// Adam by the squared distance of gradients from their mean: Zhuang et al., NeurIPS 2020, algorithm 2.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AdaBelief {
    /// Base learning rate.
    #[schemars(range(min = 0.0))]
    pub lr: f64,
    /// Decay rates of the mean and of the squared distance, each in `[0, 1)`.
    #[serde(default = "default_betas")]
    #[schemars(extend("items" = json!({"type": "number", "minimum": 0.0, "exclusiveMaximum": 1.0})))]
    pub betas: [f64; 2],
    /// Added to the squared distance in each update, and to its root.
    #[serde(default = "default_eps")]
    #[schemars(range(min = f32::MIN_POSITIVE))]
    pub eps: f64,
    /// Each update first multiplies the weights by `1 - rate * weight_decay`, unless it is not decoupled.
    #[serde(default)]
    #[schemars(range(min = 0.0))]
    pub weight_decay: f64,
    /// Whether decay multiplies the weights; if not, it is added to the gradient.
    #[serde(default = "yes")]
    pub decoupled_weight_decay: bool,
}

fn default_eps() -> f64 {
    1e-16
}

fn yes() -> bool {
    true
}

impl Default for AdaBelief {
    fn default() -> Self {
        Self {
            lr: 1e-3,
            betas: default_betas(),
            eps: default_eps(),
            weight_decay: 0.0,
            decoupled_weight_decay: true,
        }
    }
}

impl UpdateRule for AdaBelief {
    fn base(&self) -> BaseHyperparams {
        let momentum = Some(Momentum::Beta1(self.betas[0]));
        BaseHyperparams { lr: self.lr, weight_decay: self.weight_decay, momentum }
    }

    fn check(&self) -> std::result::Result<(), OptimError> {
        moments::check(self.betas, self.eps)
    }

    fn states(&self, _beta1: f64) -> &'static [&'static str] {
        &["exp_avg", "exp_avg_var"]
    }

    fn update(&self, tensors: &Update<'_>, step: &Step) -> Result<()> {
        let betas = [step.momentum, self.betas[1]];
        let [first, second] = corrections(betas, step.updates_before);
        let (shrink, decay) = match self.decoupled_weight_decay {
            true => (Decoupled::Rate.shrink(step), 0.0),
            false => (1.0, step.weight_decay),
        };
        let (lr, root_factor) = (step.lr / first, 1.0 / second.sqrt());
        Numbers { lr, root_factor, betas, eps: self.eps, shrink, decay }.update(tensors)
    }
}

/// The numbers of an update.
#[derive(Clone, Copy)]
struct Numbers {
    lr: f64,
    root_factor: f64,
    betas: [f64; 2],
    eps: f64,
    shrink: f64,
    decay: f64,
}

impl Formula<3> for Numbers {
    #[inline(always)]
    fn apply<X: Number>(self, [weight, mean, distance]: [X; 3], gradient: X) -> [X; 3] {
        let g = gradient + weight.clone().times(self.decay);
        let mean = mean.mean_with(g.clone(), 1.0 - self.betas[0]);
        let distance = distance.decayed_with(self.betas[1], (g - mean.clone()).square()).plus(self.eps);
        let denominator = distance.clone().root().times(self.root_factor).plus(self.eps);
        let direction = mean.clone() / denominator;
        [weight.times(self.shrink) - direction.times(self.lr), mean, distance]
    }
}
