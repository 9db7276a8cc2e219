//! Prodigy: Mishchenko and Defazio, "Prodigy: An Expeditiously Adaptive Parameter-Free Learner" (ICML 2024), algorithm 4,
//! in the form of the package `prodigyopt`.

use candle_core::{DType, Result, Shape, Tensor};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::super::formula::{Formula, Summed};
use super::super::number::Number;
use super::super::{BaseHyperparams, OptimError, StateForm, Step, Update, UpdateRule};
use super::moments::{self, corrections, default_betas, default_eps};
use super::variants::{at_least_1, is_default};

/// AdamW that estimates its rate from the distance to the first weights, like the package `prodigyopt`: Mishchenko and
/// Defazio, ICML 2024, algorithm 4. The estimate is one for all parameters of a group; the learning rate, usually 1, and
/// its schedule multiply it. An update with a rate of 0 changes nothing and is not counted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Prodigy {
    /// Multiple of the estimated rate.
    #[schemars(range(min = 0.0))]
    pub lr: f64,
    /// Decay rates of the first and the second moment, each in `[0, 1)`.
    #[serde(default = "default_betas")]
    #[schemars(extend("items" = json!({"type": "number", "minimum": 0.0, "exclusiveMaximum": 1.0})))]
    pub betas: [f64; 2],
    /// Decay rate of the sums of the estimate, in `[0, 1)`. By default the root of the second beta.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.0), extend("exclusiveMaximum" = 1.0))]
    pub beta3: Option<f64>,
    /// Added, times the estimated rate, to the square root of the second moment.
    #[serde(default = "default_eps")]
    #[schemars(range(min = f32::MIN_POSITIVE))]
    pub eps: f64,
    /// Each update first multiplies the weights by `1 - rate * weight_decay`.
    #[serde(default)]
    #[schemars(range(min = 0.0))]
    pub weight_decay: f64,
    /// The first estimate.
    #[serde(default = "default_d0")]
    #[schemars(range(min = f32::MIN_POSITIVE))]
    pub d0: f64,
    /// Multiple of each new estimate.
    #[serde(default = "default_d_coef")]
    #[schemars(range(min = f32::MIN_POSITIVE))]
    pub d_coef: f64,
    /// The largest factor by which an update raises the estimate, at least 1. By default there is no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1.0))]
    pub growth_rate: Option<f64>,
    /// Whether the moments are corrected as those of Adam.
    #[serde(default, skip_serializing_if = "is_default")]
    pub use_bias_correction: bool,
    /// Whether the denominator of the estimate leaves out the rate, for a warm-up of it.
    #[serde(default, skip_serializing_if = "is_default")]
    pub safeguard_warmup: bool,
    /// The estimate is made from every number of a tensor whose place is a multiple of this, at least 1: the states `s` and
    /// `p0` have only these. `prodigyopt` recommends 11 where memory is short.
    #[serde(default = "one", deserialize_with = "at_least_1", skip_serializing_if = "is_one")]
    #[schemars(range(min = 1))]
    pub slice_p: usize,
}

fn one() -> usize {
    1
}

fn is_one(number: &usize) -> bool {
    *number == 1
}

fn default_d0() -> f64 {
    1e-6
}

fn default_d_coef() -> f64 {
    1.0
}

impl Default for Prodigy {
    fn default() -> Self {
        Self {
            lr: 1.0,
            betas: default_betas(),
            beta3: None,
            eps: default_eps(),
            weight_decay: 0.0,
            d0: default_d0(),
            d_coef: default_d_coef(),
            growth_rate: None,
            use_bias_correction: false,
            safeguard_warmup: false,
            slice_p: one(),
        }
    }
}

/// Places among the states: of the sum of gradients, of the first weights, and of the estimate.
const SUM: usize = 2;
const START: usize = 3;
const ESTIMATE: usize = 4;

impl UpdateRule for Prodigy {
    fn base(&self) -> BaseHyperparams {
        BaseHyperparams { lr: self.lr, weight_decay: self.weight_decay, momentum: None }
    }

    fn check(&self) -> std::result::Result<(), OptimError> {
        moments::check(self.betas, self.eps)?;
        self.beta3.map_or(Ok(()), |beta3| OptimError::require_share("beta3", beta3))?;
        let is_positive = |x: f64| x >= f64::from(f32::MIN_POSITIVE) && x.is_finite();
        let rule = "must be positive, and not below what f32 can hold";
        OptimError::require("d0", self.d0, is_positive(self.d0), rule)?;
        OptimError::require("d_coef", self.d_coef, is_positive(self.d_coef), rule)?;
        let growth = self.growth_rate.unwrap_or(1.0);
        OptimError::require("growth_rate", growth, growth >= 1.0 && growth.is_finite(), "must be at least 1")?;
        OptimError::require("slice_p", self.slice_p, self.slice_p > 0, "must be at least 1")
    }

    fn states(&self, _momentum: f64) -> &'static [&'static str] {
        &["exp_avg", "exp_avg_sq", "s", "p0", "estimate"]
    }

    fn state_forms(&self, _momentum: f64, shape: &Shape) -> Vec<StateForm> {
        let of_slice = match self.slice_p {
            1 => shape.clone(),
            every => Shape::from(shape.elem_count().div_ceil(every.max(1))),
        };
        let moments = ["exp_avg", "exp_avg_sq"].map(|name| StateForm::new(name, shape.clone()));
        let of_slice = ["s", "p0"].map(|name| StateForm::new(name, of_slice.clone()));
        moments.into_iter().chain(of_slice).chain([StateForm::numbers("estimate", 4)]).collect()
    }

    fn needs_all_states(&self) -> bool {
        true
    }

    fn update(&self, tensors: &Update<'_>, step: &Step) -> Result<()> {
        self.update_parameters(&[(tensors, step)])
    }

    fn update_group(&self, group: &[(Update<'_>, Step)]) -> Result<()> {
        let group: Vec<(&Update<'_>, &Step)> = group.iter().map(|(tensors, step)| (tensors, step)).collect();
        self.update_parameters(&group)
    }
}

impl Prodigy {
    /// Updates parameters that share their estimate, which each has in its state.
    fn update_parameters(&self, group: &[(&Update<'_>, &Step)]) -> Result<()> {
        let Some((first, step)) = group.first().filter(|(_, step)| step.lr > 0.0) else { return Ok(()) };
        let begun = Estimate::of(first.numbers(ESTIMATE)?);
        let is_first = begun.d == 0.0;
        let begun = if is_first { Estimate { d: self.d0, largest: self.d0, ..begun } } else { begun };
        let rate = begun.d * step.lr * self.correction(begun.updates);
        let beta3 = self.beta3.unwrap_or(self.betas[1].sqrt());
        let share = begun.d / self.d0;
        let into_s = share * if self.safeguard_warmup { begun.d } else { rate };
        let means = Means { is_first, betas: self.betas, d: begun.d, beta3, into_s };
        let (mut along, mut size) = (0.0, 0.0);
        for (tensors, _) in group {
            let [of_along, of_size] = match self.slice_p {
                1 => means.update_and_sum(tensors)?,
                every => {
                    Moments(means).update(tensors)?;
                    means.update_slice(tensors, every)?
                }
            };
            along += of_along;
            size += of_size;
        }
        let estimate = match size == 0.0 {
            true => begun,
            false => self.next(begun, begun.numerator * beta3 + share * rate * along, size),
        };
        for (tensors, step) in group {
            if size != 0.0 {
                let shrink = 1.0 - rate * step.weight_decay;
                Move { rate, eps: estimate.d * self.eps, shrink }.update(tensors)?;
            }
            tensors.set_numbers(ESTIMATE, estimate.numbers())?;
        }
        Ok(())
    }

    fn correction(&self, updates: f64) -> f64 {
        match self.use_bias_correction {
            true => {
                let [first, second] = corrections(self.betas, updates as u64);
                second.sqrt() / first
            }
            false => 1.0,
        }
    }

    /// Returns the estimate after an update.
    fn next(&self, begun: Estimate, numerator: f64, denominator: f64) -> Estimate {
        let Estimate { mut d, mut largest, updates, .. } = begun;
        let found = self.d_coef * numerator / denominator;
        if d == self.d0 {
            d = d.max(found);
        }
        largest = largest.max(found);
        d = largest.min(d * self.growth_rate.unwrap_or(f64::INFINITY));
        Estimate { d, largest, numerator, updates: updates + 1.0 }
    }
}

/// The estimate of the rate, the largest one found, its numerator, and the number of updates.
#[derive(Clone, Copy)]
struct Estimate {
    d: f64,
    largest: f64,
    numerator: f64,
    updates: f64,
}

impl Estimate {
    fn of([d, largest, numerator, updates]: [f64; 4]) -> Self {
        Self { d, largest, numerator, updates }
    }

    fn numbers(self) -> [f64; 4] {
        [self.d, self.largest, self.numerator, self.updates]
    }
}

/// The update of the means. Its terms are those of the estimate's numerator and of its denominator.
#[derive(Clone, Copy)]
struct Means {
    is_first: bool,
    betas: [f64; 2],
    d: f64,
    beta3: f64,
    into_s: f64,
}

impl Means {
    #[inline(always)]
    fn moments<X: Number>(self, mean: X, square: X, g: X) -> [X; 2] {
        let [beta1, beta2] = self.betas;
        let mean = mean.times(beta1) + g.clone().times(self.d * (1.0 - beta1));
        [mean, square.times(beta2) + g.square().times(self.d * self.d * (1.0 - beta2))]
    }

    /// Updates the states of every `every`th number. Returns the terms of the estimate that are made from these.
    fn update_slice(self, tensors: &Update<'_>, every: usize) -> Result<[f64; 2]> {
        let [weights, g] = [tensors.weights()?, tensors.gradient()?];
        if weights.elem_count() == 0 {
            return Ok([0.0; 2]);
        }
        let places = Tensor::arange_step(0i64, weights.elem_count() as i64, every as i64, weights.device())?;
        let slice = |of: &Tensor| of.flatten_all()?.index_select(&places, 0);
        let [weights, g] = [slice(&weights)?, slice(&g)?];
        if self.is_first {
            tensors.set_state(START, &weights)?;
        }
        let along = (&g * (tensors.state(START)? - weights)?)?;
        let s = ((tensors.state(SUM)? * self.beta3)? + (g * self.into_s)?)?;
        tensors.set_state(SUM, &s)?;
        let sum = |of: Tensor| of.to_dtype(DType::F64)?.sum_all()?.to_scalar::<f64>();
        Ok([sum(along)?, sum(s.abs()?)?])
    }
}

/// The update of the moments alone.
#[derive(Clone, Copy)]
struct Moments(Means);

impl Formula<3> for Moments {
    #[inline(always)]
    fn apply<X: Number>(self, [weight, mean, square]: [X; 3], g: X) -> [X; 3] {
        let [mean, square] = self.0.moments(mean, square, g);
        [weight, mean, square]
    }
}

impl Summed<5, 2> for Means {
    #[inline(always)]
    fn apply<X: Number>(self, [weight, mean, square, s, start]: [X; 5], g: X) -> ([X; 5], [X; 2]) {
        let start = if self.is_first { weight.clone() } else { start };
        let along = g.clone() * (start.clone() - weight.clone());
        let [mean, square] = self.moments(mean, square, g.clone());
        let s = s.times(self.beta3) + g.times(self.into_s);
        let size = s.clone().size();
        ([weight, mean, square, s, start], [along, size])
    }
}

/// The movement of the weights by the new moments.
#[derive(Clone, Copy)]
struct Move {
    rate: f64,
    eps: f64,
    shrink: f64,
}

impl Formula<3> for Move {
    #[inline(always)]
    fn apply<X: Number>(self, [weight, mean, square]: [X; 3], _: X) -> [X; 3] {
        let direction = mean.clone() / square.clone().root().plus(self.eps);
        [weight.times(self.shrink) - direction.times(self.rate), mean, square]
    }
}
