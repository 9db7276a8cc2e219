//! NAdam: Dozat, "Incorporating Nesterov Momentum into Adam" (ICLR 2016 workshop), in the form of `torch.optim.NAdam`.

use std::collections::BTreeMap;

use candle_core::Result;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::super::formula::Formula;
use super::super::number::Number;
use super::super::{BaseHyperparams, OptimError, Step, Update, UpdateRule};
use super::moments::{self, STATES, corrections, default_betas, default_eps};
use super::variants::Decoupled;

/// Adam with Nesterov momentum that grows over the run, like `torch.optim.NAdam`: Dozat, ICLR 2016. A schedule of the
/// momentum does not drive it, because each update depends on the product of all momenta before.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NAdam {
    /// Base learning rate.
    #[schemars(range(min = 0.0))]
    pub lr: f64,
    /// Decay rates of the first and the second moment, each in `[0, 1)`.
    #[serde(default = "default_betas")]
    #[schemars(extend("items" = json!({"type": "number", "minimum": 0.0, "exclusiveMaximum": 1.0})))]
    pub betas: [f64; 2],
    /// Added to the square root of the second moment.
    #[serde(default = "default_eps")]
    #[schemars(range(min = f32::MIN_POSITIVE))]
    pub eps: f64,
    /// Multiple of the weights that is added to their gradient, unless it is decoupled.
    #[serde(default)]
    #[schemars(range(min = 0.0))]
    pub weight_decay: f64,
    /// How fast the momentum grows: it is `beta1 * (1 - 0.96^(n * momentum_decay) / 2)` in update number n, from 1.
    #[serde(default = "default_momentum_decay")]
    #[schemars(range(min = 0.0))]
    pub momentum_decay: f64,
    /// Whether each update multiplies the weights by `1 - rate * weight_decay` instead.
    #[serde(default)]
    pub decoupled_weight_decay: bool,
}

fn default_momentum_decay() -> f64 {
    4e-3
}

impl Default for NAdam {
    fn default() -> Self {
        Self {
            lr: 2e-3,
            betas: default_betas(),
            eps: default_eps(),
            weight_decay: 0.0,
            momentum_decay: default_momentum_decay(),
            decoupled_weight_decay: false,
        }
    }
}

impl UpdateRule for NAdam {
    fn base(&self) -> BaseHyperparams {
        BaseHyperparams { lr: self.lr, weight_decay: self.weight_decay, momentum: None }
    }

    fn check(&self) -> std::result::Result<(), OptimError> {
        moments::check(self.betas, self.eps)?;
        OptimError::require_at_least_0("momentum_decay", self.momentum_decay)
    }

    fn states(&self, _momentum: f64) -> &'static [&'static str] {
        STATES
    }

    fn update(&self, tensors: &Update<'_>, step: &Step) -> Result<()> {
        self.momenta(step.updates_before).update(self, tensors, step)
    }

    /// The momenta are those of all parameters of a group, so their product is computed once.
    fn update_group(&self, group: &[(Update<'_>, Step)]) -> Result<()> {
        // One for all, but for parameters that were frozen for a while and have had fewer updates.
        let mut known = BTreeMap::new();
        group.iter().try_for_each(|(tensors, step)| {
            let momenta = known.entry(step.updates_before).or_insert_with(|| self.momenta(step.updates_before));
            momenta.update(self, tensors, step)
        })
    }
}

/// The momenta of an update.
#[derive(Clone, Copy, Debug)]
struct Momenta {
    now: f64,
    next: f64,
    /// The product of the momenta of all updates up to this one.
    product: f64,
}

impl NAdam {
    /// Returns the product of the momenta of the first `updates` updates, which PyTorch saves as `mu_product`.
    ///
    /// It is computed from the first update on, so that a resumed run needs no saved number for it. It falls at least
    /// as fast as `beta1^n`, and the loop ends where it no longer changes `1 - product`: after 350 updates at the
    /// default betas.
    fn mu_product(&self, updates: u64) -> f64 {
        let falls = 0.96f64.powf(self.momentum_decay);
        let (mut product, mut fallen) = (1.0, 1.0);
        for _ in 0..updates {
            fallen *= falls;
            product *= self.betas[0] * (1.0 - 0.5 * fallen);
            if product < f64::EPSILON / 4.0 {
                break;
            }
        }
        product
    }

    /// Returns the momenta after this number of updates.
    fn momenta(&self, updates_before: u64) -> Momenta {
        let of = |n: u64| self.betas[0] * (1.0 - 0.5 * 0.96f64.powf(n as f64 * self.momentum_decay));
        let product = self.mu_product(updates_before.saturating_add(1));
        Momenta { now: of(updates_before.saturating_add(1)), next: of(updates_before.saturating_add(2)), product }
    }
}

impl Momenta {
    fn update(self, rule: &NAdam, tensors: &Update<'_>, step: &Step) -> Result<()> {
        let Self { now, next, product } = self;
        let [_, second_correction] = corrections(rule.betas, step.updates_before);
        let (shrink, decay) = match rule.decoupled_weight_decay {
            true => (Decoupled::Rate.shrink(step), 0.0),
            false => (1.0, step.weight_decay),
        };
        let numbers = Numbers {
            of_gradient: step.lr * (1.0 - now) / (1.0 - product),
            of_mean: step.lr * next / (1.0 - product * next),
            root_correction: second_correction.sqrt(),
            betas: rule.betas,
            eps: rule.eps,
            shrink,
            decay,
        };
        numbers.update(tensors)
    }
}

/// The numbers of an update: the weights are multiplied by `shrink` and move against
/// `(of_gradient * g + of_mean * mean) / (sqrt(square) / root_correction + eps)`.
#[derive(Clone, Copy)]
pub(super) struct Numbers {
    pub of_gradient: f64,
    pub of_mean: f64,
    pub root_correction: f64,
    pub betas: [f64; 2],
    pub eps: f64,
    pub shrink: f64,
    pub decay: f64,
}

impl Formula<3> for Numbers {
    #[inline(always)]
    fn apply<X: Number>(self, [weight, mean, square]: [X; 3], gradient: X) -> [X; 3] {
        let g = gradient + weight.clone().times(self.decay);
        let [mean, square] = moments::advanced(self.betas, mean, square, g.clone());
        let denominator = square.clone().root().over(self.root_correction).plus(self.eps);
        let by_gradient = (g / denominator.clone()).times(self.of_gradient);
        let by_mean = (mean.clone() / denominator).times(self.of_mean);
        [weight.times(self.shrink) - by_gradient - by_mean, mean, square]
    }
}
