//! Adan: Xie et al., "Adan: Adaptive Nesterov Momentum Algorithm for Faster Optimizing Deep Models" (TPAMI 2024),
//! algorithm 1.

use candle_core::Result;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::super::formula::{Direction, Formula, aligned};
use super::super::number::Number;
use super::super::{BaseHyperparams, OptimError, Step, Update, UpdateRule};
use super::moments::{self, default_eps};
use super::variants::{Cautious, Decoupled, is_default};

/// Nesterov momentum from the differences of gradients, with the root of their squares: Xie et al., TPAMI 2024,
/// algorithm 1, whose betas are one minus these. The packages `timm` and `pytorch-optimizer` compute it alike.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Adan {
    /// Base learning rate.
    #[schemars(range(min = 0.0))]
    pub lr: f64,
    /// Decay rates of the means of gradients, of their differences and of squares, each in `[0, 1)`.
    #[serde(default = "default_betas")]
    #[schemars(extend("items" = json!({"type": "number", "minimum": 0.0, "exclusiveMaximum": 1.0})))]
    pub betas: [f64; 3],
    /// Added to the square root of the mean of squares.
    #[serde(default = "default_eps")]
    #[schemars(range(min = f32::MIN_POSITIVE))]
    pub eps: f64,
    /// Each update divides the new weights by `1 + rate * weight_decay`.
    #[serde(default)]
    #[schemars(range(min = 0.0))]
    pub weight_decay: f64,
    /// Whether each update first multiplies the weights by `1 - rate * weight_decay` instead.
    #[serde(default)]
    pub no_prox: bool,
    /// Whether means of gradients that contradict the gradient are left out, and the others grow, as with `caution` of
    /// `timm`: Liang et al., "Cautious Optimizers" (2024).
    #[serde(default, skip_serializing_if = "is_default")]
    pub caution: bool,
}

fn default_betas() -> [f64; 3] {
    [0.98, 0.92, 0.99]
}

impl Default for Adan {
    fn default() -> Self {
        let (betas, eps) = (default_betas(), default_eps());
        Self { lr: 1e-3, betas, eps, weight_decay: 0.0, no_prox: false, caution: false }
    }
}

impl UpdateRule for Adan {
    fn base(&self) -> BaseHyperparams {
        BaseHyperparams { lr: self.lr, weight_decay: self.weight_decay, momentum: None }
    }

    fn check(&self) -> std::result::Result<(), OptimError> {
        moments::check_betas(self.betas)?;
        moments::check_eps(self.eps)
    }

    fn states(&self, _momentum: f64) -> &'static [&'static str] {
        &["exp_avg", "exp_avg_sq", "exp_avg_diff", "pre_grad"]
    }

    fn update(&self, tensors: &Update<'_>, step: &Step) -> Result<()> {
        let n = (step.updates_before + 1) as f64;
        let corrections = self.betas.map(|beta| 1.0 - beta.powf(n));
        let (shrink, after) = match self.no_prox {
            true => (Decoupled::Rate.shrink(step), 1.0),
            false => (1.0, 1.0 / (1.0 + step.lr * step.weight_decay)),
        };
        let numbers = Numbers {
            is_first: step.updates_before == 0,
            lr: step.lr,
            betas: self.betas,
            of_mean: 1.0 / corrections[0],
            of_difference: self.betas[1] / corrections[1],
            of_root: 1.0 / corrections[2].sqrt(),
            eps: self.eps,
            shrink,
            after,
            kept: None,
        };
        if !self.caution {
            return numbers.update(tensors);
        }
        let kept = Cautious::Timm.factor(aligned(numbers, tensors)?, tensors.shape().elem_count());
        Numbers { kept: Some(kept), ..numbers }.update(tensors)
    }
}

/// The numbers of an update; `kept` is the factor of means that do not contradict the gradient.
#[derive(Clone, Copy)]
struct Numbers {
    is_first: bool,
    lr: f64,
    betas: [f64; 3],
    of_mean: f64,
    of_difference: f64,
    of_root: f64,
    eps: f64,
    shrink: f64,
    after: f64,
    kept: Option<f64>,
}

impl Numbers {
    /// Returns the new means of gradients, squares and differences.
    #[inline(always)]
    fn means<X: Number>(self, [_, mean, square, difference, before]: &[X; 5], g: &X) -> [X; 3] {
        let [beta1, beta2, beta3] = self.betas;
        let change = g.clone() - if self.is_first { g.clone() } else { before.clone() };
        let ahead = g.clone() + change.clone().times(beta2);
        [
            mean.clone().mean_with(g.clone(), 1.0 - beta1),
            square.clone().decayed_with(beta3, ahead.square()),
            difference.clone().mean_with(change, 1.0 - beta2),
        ]
    }

}

impl Direction<5> for Numbers {
    #[inline(always)]
    fn direction<X: Number>(self, numbers: &[X; 5], gradient: &X) -> X {
        let [mean, ..] = self.means(numbers, gradient);
        mean
    }
}

impl Formula<5> for Numbers {
    #[inline(always)]
    fn apply<X: Number>(self, numbers: [X; 5], gradient: X) -> [X; 5] {
        let [mean, square, difference] = self.means(&numbers, &gradient);
        let taken = match self.kept {
            Some(factor) => (mean.clone() * gradient.clone()).positive().times(factor) * mean.clone(),
            None => mean.clone(),
        };
        let denominator = square.clone().root().times(self.of_root).plus(self.eps);
        let direction = (taken.times(self.of_mean) + difference.clone().times(self.of_difference)) / denominator;
        let [weight, ..] = numbers;
        let weight = (weight.times(self.shrink) - direction.times(self.lr)).times(self.after);
        [weight, mean, square, difference, gradient]
    }
}
