//! AdamW of gradients with more of their slow part: Lee et al., "Grokfast: Accelerated Grokking by Amplifying Slow
//! Gradients" (2024), algorithm 2, in the form of `pytorch-optimizer`.

use candle_core::Result;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::super::formula::Formula;
use super::super::number::Number;
use super::super::{BaseHyperparams, Momentum, OptimError, Step, Update, UpdateRule};
use super::moments::{self, corrections, default_eps};
use super::variants::Decoupled;

/// AdamW of gradients to which a multiple of their slow mean is added: Lee et al., 2024, algorithm 2. `pytorch-optimizer`
/// divides the rate of its constructor by `1 + grokfast_lamb`; here it is as it is given.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GrokFastAdamW {
    /// Base learning rate.
    #[schemars(range(min = 0.0))]
    pub lr: f64,
    /// Decay rates of the first and the second moment, each in `[0, 1)`.
    #[serde(default = "default_betas")]
    #[schemars(extend("items" = json!({"type": "number", "minimum": 0.0, "exclusiveMaximum": 1.0})))]
    pub betas: [f64; 2],
    /// Decay rate of the slow mean, in `[0, 1)`.
    #[serde(default = "default_grokfast_alpha")]
    #[schemars(range(min = 0.0), extend("exclusiveMaximum" = 1.0))]
    pub grokfast_alpha: f64,
    /// Multiple of the slow mean that is added to a gradient.
    #[serde(default = "default_grokfast_lamb")]
    #[schemars(range(min = 0.0))]
    pub grokfast_lamb: f64,
    /// The smallest root of the second moment.
    #[serde(default = "default_eps")]
    #[schemars(range(min = f32::MIN_POSITIVE))]
    pub eps: f64,
    /// Each update first multiplies the weights by `1 - rate * weight_decay`.
    #[serde(default)]
    #[schemars(range(min = 0.0))]
    pub weight_decay: f64,
}

fn default_betas() -> [f64; 2] {
    [0.9, 0.99]
}

fn default_grokfast_alpha() -> f64 {
    0.98
}

fn default_grokfast_lamb() -> f64 {
    2.0
}

impl Default for GrokFastAdamW {
    fn default() -> Self {
        Self {
            lr: 1e-4,
            betas: default_betas(),
            grokfast_alpha: default_grokfast_alpha(),
            grokfast_lamb: default_grokfast_lamb(),
            eps: default_eps(),
            weight_decay: 0.0,
        }
    }
}

impl UpdateRule for GrokFastAdamW {
    fn base(&self) -> BaseHyperparams {
        let momentum = Some(Momentum::Beta1(self.betas[0]));
        BaseHyperparams { lr: self.lr, weight_decay: self.weight_decay, momentum }
    }

    fn check(&self) -> std::result::Result<(), OptimError> {
        OptimError::require_share("grokfast_alpha", self.grokfast_alpha)?;
        OptimError::require_at_least_0("grokfast_lamb", self.grokfast_lamb)?;
        moments::check(self.betas, self.eps)
    }

    fn states(&self, _beta1: f64) -> &'static [&'static str] {
        &["exp_avg", "exp_avg_sq", "grok_exp_avg"]
    }

    fn update(&self, tensors: &Update<'_>, step: &Step) -> Result<()> {
        let betas = [step.momentum, self.betas[1]];
        let [first, second] = corrections(betas, step.updates_before);
        let numbers = Numbers {
            betas,
            // The first gradient is taken whole.
            slow_share: if step.updates_before == 0 { 1.0 } else { 1.0 - self.grokfast_alpha },
            lamb: self.grokfast_lamb,
            lr: step.lr / first,
            root_factor: 1.0 / second.sqrt(),
            eps: self.eps,
            shrink: Decoupled::Rate.shrink(step),
        };
        numbers.update(tensors)
    }
}

/// The numbers of an update.
#[derive(Clone, Copy)]
struct Numbers {
    betas: [f64; 2],
    slow_share: f64,
    lamb: f64,
    lr: f64,
    root_factor: f64,
    eps: f64,
    shrink: f64,
}

impl Formula<4> for Numbers {
    #[inline(always)]
    fn apply<X: Number>(self, [weight, mean, square, slow]: [X; 4], gradient: X) -> [X; 4] {
        let slow = slow.mean_with(gradient.clone(), self.slow_share);
        let g = gradient + slow.clone().times(self.lamb);
        let mean = mean.mean_with(g.clone(), 1.0 - self.betas[0]);
        let square = square.decayed_with(self.betas[1], g.square());
        let denominator = square.clone().root().times(self.root_factor).within(self.eps, f64::MAX);
        let direction = mean.clone() / denominator;
        [weight.times(self.shrink) - direction.times(self.lr), mean, square, slow]
    }
}
