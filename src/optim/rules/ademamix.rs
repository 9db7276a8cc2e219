//! AdEMAMix: Pagliardini, Ablin and Grangier, "The AdEMAMix Optimizer: Better, Faster, Older" (ICLR 2025), algorithm 1.

use candle_core::Result;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::super::formula::Formula;
use super::super::number::Number;
use super::super::{BaseHyperparams, Momentum, OptimError, Step, Update, UpdateRule};
use super::moments::{self, corrections, default_eps};
use super::variants::Decoupled;

/// AdamW with a second, slow mean of gradients: Pagliardini et al., ICLR 2025, algorithm 1. The packages
/// `pytorch-optimizer` and `optax` compute it alike.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AdEmaMix {
    /// Base learning rate.
    #[schemars(range(min = 0.0))]
    pub lr: f64,
    /// Decay rates of the first and the second moment, and of the slow mean, each in `[0, 1)`.
    #[serde(default = "default_betas")]
    #[schemars(extend("items" = json!({"type": "number", "minimum": 0.0, "exclusiveMaximum": 1.0})))]
    pub betas: [f64; 3],
    /// Multiple of the slow mean in a step.
    #[serde(default = "default_alpha")]
    #[schemars(range(min = 0.0))]
    pub alpha: f64,
    /// Number of updates in which `alpha` grows from 0, and the third beta from the first. By default both are constant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub t_alpha_beta3: Option<u64>,
    /// Added to the square root of the second moment.
    #[serde(default = "default_eps")]
    #[schemars(range(min = f32::MIN_POSITIVE))]
    pub eps: f64,
    /// Each update first multiplies the weights by `1 - rate * weight_decay`.
    #[serde(default)]
    #[schemars(range(min = 0.0))]
    pub weight_decay: f64,
}

fn default_betas() -> [f64; 3] {
    [0.9, 0.999, 0.9999]
}

fn default_alpha() -> f64 {
    5.0
}

impl Default for AdEmaMix {
    fn default() -> Self {
        Self {
            lr: 1e-3,
            betas: default_betas(),
            alpha: default_alpha(),
            t_alpha_beta3: None,
            eps: default_eps(),
            weight_decay: 0.0,
        }
    }
}

impl UpdateRule for AdEmaMix {
    fn base(&self) -> BaseHyperparams {
        let momentum = Some(Momentum::Beta1(self.betas[0]));
        BaseHyperparams { lr: self.lr, weight_decay: self.weight_decay, momentum }
    }

    fn check(&self) -> std::result::Result<(), OptimError> {
        moments::check_betas(self.betas)?;
        moments::check_eps(self.eps)?;
        OptimError::require_at_least_0("alpha", self.alpha)?;
        let grows = self.t_alpha_beta3.is_some();
        OptimError::require("t_alpha_beta3", 0, self.t_alpha_beta3 != Some(0), "must be at least 1")?;
        let positive = !grows || (self.betas[0] > 0.0 && self.betas[2] > 0.0);
        let rule = "with `t_alpha_beta3` the first and the third must be above 0";
        OptimError::require("betas", format!("{:?}", self.betas), positive, rule)
    }

    fn states(&self, _beta1: f64) -> &'static [&'static str] {
        &["exp_avg", "exp_avg_sq", "exp_avg_slow"]
    }

    fn update(&self, tensors: &Update<'_>, step: &Step) -> Result<()> {
        let [beta1, beta2] = [step.momentum, self.betas[1]];
        let [first, second] = corrections([beta1, beta2], step.updates_before);
        let (alpha, beta3) = self.slow(step);
        let shrink = Decoupled::Rate.shrink(step);
        let (mean_factor, root_correction) = (1.0 / first, second.sqrt());
        let betas = [beta1, beta2, beta3];
        Numbers { lr: step.lr, betas, alpha, mean_factor, root_correction, eps: self.eps, shrink }.update(tensors)
    }
}

impl AdEmaMix {
    /// Returns the multiple of the slow mean and its decay rate. The rate grows so that the number of updates after
    /// which half of a gradient is forgotten grows evenly.
    fn slow(&self, step: &Step) -> (f64, f64) {
        let [beta1, _, beta3] = self.betas;
        let Some(updates) = self.t_alpha_beta3 else { return (self.alpha, beta3) };
        let share = ((step.updates_before + 1) as f64 / updates as f64).min(1.0);
        let (low, high) = (beta1.ln(), beta3.ln());
        let grown = (low * high / ((1.0 - share) * high + share * low)).exp();
        (self.alpha * share, grown.min(beta3))
    }
}

/// The numbers of an update.
#[derive(Clone, Copy)]
struct Numbers {
    lr: f64,
    betas: [f64; 3],
    alpha: f64,
    mean_factor: f64,
    root_correction: f64,
    eps: f64,
    shrink: f64,
}

impl Formula<4> for Numbers {
    #[inline(always)]
    fn apply<X: Number>(self, [weight, mean, square, slow]: [X; 4], g: X) -> [X; 4] {
        let [beta1, beta2, beta3] = self.betas;
        let mean = mean.mean_with(g.clone(), 1.0 - beta1);
        let square = square.decayed_with(beta2, g.clone().square());
        let slow = slow.mean_with(g, 1.0 - beta3);
        let denominator = square.clone().root().times(1.0 / self.root_correction).plus(self.eps);
        let direction = mean.clone().times(self.mean_factor) + slow.clone().times(self.alpha);
        [weight.times(self.shrink) - (direction / denominator).times(self.lr), mean, square, slow]
    }
}
