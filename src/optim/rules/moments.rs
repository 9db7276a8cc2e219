//! The update shared by Adam, AdamW and RAdam, which differ in weight decay and in the size of a step.

use candle_core::Result;

use super::super::formula::Formula;
use super::super::number::Number;
use super::super::together::{Together, update_together};
use super::super::{OptimError, Step, Update};
use super::variants::AdamVariant;
use crate::cuda::Launch;

/// Names of the running means of the gradient and of its square, as in `torch.optim`.
pub(super) const STATES: &[&str] = &["exp_avg", "exp_avg_sq"];

/// The same with the largest second moment so far, for AMSGrad.
const AMSGRAD_STATES: &[&str] = &["exp_avg", "exp_avg_sq", "max_exp_avg_sq"];

pub(super) fn states(amsgrad: bool) -> &'static [&'static str] {
    if amsgrad { AMSGRAD_STATES } else { STATES }
}

pub(super) fn default_betas() -> [f64; 2] {
    [0.9, 0.999]
}

pub(super) fn default_eps() -> f64 {
    1e-8
}

/// Checks the shared hyperparameters.
pub(super) fn check(betas: [f64; 2], eps: f64) -> std::result::Result<(), OptimError> {
    check_betas(betas)?;
    check_eps(eps)
}

pub(super) fn check_betas<const N: usize>(betas: [f64; N]) -> std::result::Result<(), OptimError> {
    let in_range = betas.iter().all(|beta| (0.0..1.0).contains(beta));
    OptimError::require("betas", format!("{betas:?}"), in_range, "each must be at least 0 and below 1")
}

pub(super) fn check_eps(eps: f64) -> std::result::Result<(), OptimError> {
    let is_normal = eps >= f64::from(f32::MIN_POSITIVE) && eps.is_finite();
    OptimError::require("eps", eps, is_normal, "must be positive, and not below what f32 can hold")
}

/// Updates a group of parameters, each by the update that `moments` makes of its hyperparameters.
pub(super) fn update_group(group: &[(Update<'_>, Step)], moments: impl Fn(&Step) -> Moments) -> Result<()> {
    if group.first().is_some_and(|(tensors, _)| keeps_largest(tensors)) {
        return group.iter().try_for_each(|(tensors, step)| moments(step).update(tensors));
    }
    let together = |together: &Together<'_>| moments(together.step()).launch(together);
    update_together(group, together, |tensors, step| moments(step).update(tensors))
}

fn keeps_largest(tensors: &Update<'_>) -> bool {
    tensors.states.len() == AMSGRAD_STATES.len()
}

/// Returns `1 - beta^n` for each beta at update number n, counted from 1: the moments have started at zero.
pub(super) fn corrections<const N: usize>(betas: [f64; N], updates_before: u64) -> [f64; N] {
    let n = (updates_before + 1) as f64;
    betas.map(|beta| 1.0 - beta.powf(n))
}

/// Returns the same as optax computes it: beta, its power and the difference are each rounded to f32. At a beta of 0.999
/// that is 2e-5 off in the first updates.
pub(super) fn corrections_in_f32(betas: [f64; 2], updates_before: u64) -> [f64; 2] {
    let n = (updates_before + 1) as f64;
    betas.map(|beta| {
        let power = f64::from(beta as f32).powf(n) as f32;
        f64::from(1.0 - power)
    })
}

/// Returns both moments after a gradient.
#[inline(always)]
pub(super) fn advanced<X: Number>(betas: [f64; 2], mean: X, square: X, g: X) -> [X; 2] {
    let mean = mean.mean_with(g.clone(), 1.0 - betas[0]);
    [mean, square.times(betas[1]) + g.clone().times(1.0 - betas[1]) * g]
}

/// An update of one parameter, by `step_size * mean / (sqrt(square) / root_correction + eps)`. AdamW multiplies the
/// weights by `shrink`; Adam adds `decay` times the weights to the gradient. AMSGrad takes the largest of
/// `square / square_correction`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moments {
    pub step_size: f64,
    pub root_correction: f64,
    pub square_correction: f64,
    pub betas: [f64; 2],
    pub eps: f64,
    pub shrink: f64,
    pub decay: f64,
}

impl Moments {
    /// Creates an update without decay.
    pub fn new(step: &Step, beta2: f64, eps: f64, amsgrad: bool, variant: AdamVariant) -> Self {
        let betas = [step.momentum, step.beta2.map_or(beta2, |beta2| beta2.value)];
        let [first, second] = match variant {
            AdamVariant::Pytorch | AdamVariant::Keras => corrections(betas, step.updates_before),
            AdamVariant::Optax => corrections_in_f32(betas, step.updates_before),
        };
        // A power of the present beta would be wrong for a beta that changes.
        let second = step.beta2.map_or(second, |beta2| 1.0 - beta2.product);
        let (step_size, root) = (step.lr / first, second.sqrt());
        let [step_size, root_correction, square_correction] = match variant {
            AdamVariant::Pytorch => [step_size, root, 1.0],
            // Keras corrects the rate instead of the root, so that `eps` is not corrected with it.
            AdamVariant::Keras => [step_size * root, 1.0, 1.0],
            // optax keeps the largest of the corrected squares; PyTorch corrects the largest.
            AdamVariant::Optax if amsgrad => [step_size, 1.0, second],
            AdamVariant::Optax => [step_size, root, 1.0],
        };
        Self { step_size, root_correction, square_correction, betas, eps, shrink: 1.0, decay: 0.0 }
    }

    pub fn update(self, tensors: &Update<'_>) -> Result<()> {
        match keeps_largest(tensors) {
            true if self.square_correction == 1.0 => WithLargest::<false>(self).update(tensors),
            true => WithLargest::<true>(self).update(tensors),
            false => Formula::update(self, tensors),
        }
    }

    /// Returns a weight after its movement.
    #[inline(always)]
    pub fn moved<X: Number>(self, weight: X, mean: X, square: X) -> X {
        let denominator = square.root().over(self.root_correction).plus(self.eps);
        weight.times(self.shrink) - (mean / denominator).times(self.step_size)
    }

    /// Updates parameters on a GPU in one launch.
    fn launch(self, together: &Together<'_>) -> Result<()> {
        let Self { step_size, root_correction, betas: [beta1, beta2], eps, shrink, decay, .. } = self;
        let numbers = [step_size, root_correction, beta1, beta2, eps, shrink, decay];
        together.launch("adam", STATES.len(), |launch| numbers.into_iter().fold(launch, Launch::double))
    }
}

impl Formula<3> for Moments {
    #[inline(always)]
    fn apply<X: Number>(self, [weight, mean, square]: [X; 3], gradient: X) -> [X; 3] {
        let g = gradient + weight.clone().times(self.decay);
        let [mean, square] = advanced(self.betas, mean, square, g);
        [self.moved(weight, mean.clone(), square.clone()), mean, square]
    }
}

/// The same with the largest second moment so far in the denominator: Reddi et al., "On the Convergence of Adam and Beyond"
/// (ICLR 2018), algorithm 2, where PyTorch corrects the largest as it would the present one. Squares are divided by their
/// correction only where they are corrected: divisions take the most time here.
#[derive(Clone, Copy)]
struct WithLargest<const CORRECTED: bool>(Moments);

impl<const CORRECTED: bool> Formula<4> for WithLargest<CORRECTED> {
    #[inline(always)]
    fn apply<X: Number>(self, [weight, mean, square, largest]: [X; 4], gradient: X) -> [X; 4] {
        let Self(moments) = self;
        let g = gradient + weight.clone().times(moments.decay);
        let [mean, square] = advanced(moments.betas, mean, square, g);
        // A square that is not a number stays one, as in PyTorch's maximum.
        let present = if CORRECTED { square.clone().over(moments.square_correction) } else { square.clone() };
        let largest = largest.larger(present);
        [moments.moved(weight, mean.clone(), largest.clone()), mean, square, largest]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The numbers are those of `jax.jit(lambda n: 1 - beta**n)` with an int32, on a CPU.
    #[test]
    fn corrections_in_f32_are_those_of_optax() {
        let cases =
            [(1, 0.000_999_987_125_396_728_5), (11, 0.010_945_022_106_170_654), (100, 0.095_206_677_913_665_77)];
        for (n, expected) in cases {
            let [_, correction] = corrections_in_f32([0.9, 0.999], n - 1);
            assert_eq!(correction, expected, "update {n}");
            let [_, exact] = corrections([0.9, 0.999], n - 1);
            assert!((exact / correction - 1.0).abs() > 1e-6, "update {n}: the two differ");
        }
    }
}
