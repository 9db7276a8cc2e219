//! The averages of schedule-free rules: Defazio et al., "The Road Less Scheduled" (NeurIPS 2024), in the forms of
//! the packages `schedulefree` and `optax`.
//!
//! A rule has two sequences besides the average x that is evaluated: z, which takes plain steps, and y, between the two,
//! at which gradients are computed. The parameter holds y.

use candle_core::{Result, Shape, Tensor, Var};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::super::{OptimError, StateForm, Step, Update};

/// The settings that schedule-free rules share.
#[derive(Clone, Copy)]
pub(super) struct Averaging {
    pub beta: f64,
    pub warmup_steps: u64,
    pub r: f64,
    pub weight_lr_power: f64,
    pub variant: ScheduleFreeVariant,
}

/// The package whose form of a schedule-free rule is computed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum ScheduleFreeVariant {
    /// `schedulefree`.
    #[default]
    Schedulefree,
    /// `optax`: a warm-up begins with a rate of 0 and is one update later, but an update counts in the average by the rate of
    /// the next. AdamW corrects the second moment by numbers of f32. With a schedule beside the warm-up it is not that of
    /// `optax`, which would ask it for the next rate too.
    Optax,
}

/// The part of the averages that an update of one parameter needs.
#[derive(Clone, Copy)]
pub(super) struct Averaged {
    /// Whether it is the first.
    pub is_first: bool,
    /// The rate, with the warm-up.
    pub lr: f64,
    /// The share of the average that the new z takes.
    pub taken: f64,
    /// Multiple of the step by which y moves, besides towards z.
    pub along: f64,
}

/// The number of updates, the sum of the weights of all z so far, and the largest rate.
const NUMBERS: &str = "averaging";

impl Averaging {
    pub fn check(self) -> std::result::Result<(), OptimError> {
        OptimError::require_at_least_0("r", self.r)?;
        OptimError::require_at_least_0("weight_lr_power", self.weight_lr_power)?;
        let is_above_0 = self.beta > 0.0;
        OptimError::require("betas", self.beta, is_above_0, "the average needs a first beta above 0")
    }

    /// Returns the states of a parameter, of which those of `names` have its shape.
    pub fn forms(names: &[&'static str], shape: &Shape) -> Vec<StateForm> {
        let of_weights = names.iter().map(|name| StateForm::new(name, shape.clone()));
        of_weights.chain([StateForm::numbers(NUMBERS, 3)]).collect()
    }

    /// Begins an update, and remembers the numbers in state tensor `index`.
    pub fn advance(self, tensors: &Update<'_>, step: &Step, index: usize) -> Result<Averaged> {
        let [updates, sum, largest]: [f64; 3] = tensors.numbers(index)?;
        let n = updates + 1.0;
        let warmed = |n: f64| if self.warmup_steps > 0 { (n / self.warmup_steps as f64).min(1.0) } else { 1.0 };
        let lr = match self.variant {
            ScheduleFreeVariant::Schedulefree => step.lr * warmed(n),
            ScheduleFreeVariant::Optax => step.lr * warmed(updates),
        };
        let largest = largest.max(step.lr * warmed(n));
        let weight = n.powf(self.r) * largest.powf(self.weight_lr_power);
        let sum = sum + weight;
        let taken = if sum > 0.0 { weight / sum } else { 0.0 };
        tensors.set_numbers(index, [n, sum, largest])?;
        Ok(Averaged { is_first: updates == 0.0, lr, taken, along: lr * (self.beta * (1.0 - taken) - 1.0) })
    }

    /// Returns the average x of the weights y and the state z. Before the first update all three are equal.
    pub fn average(self, weights: &Tensor, z: &Var, numbers: &Var) -> Result<Tensor> {
        let updates: f64 = numbers.as_tensor().get(0)?.to_scalar()?;
        if updates == 0.0 {
            return Ok(weights.clone());
        }
        let y = weights.to_dtype(z.dtype())?;
        let apart = (z.as_detached_tensor() - &y)?;
        (y + (apart * (1.0 - 1.0 / self.beta))?)?.to_dtype(weights.dtype())
    }
}
