//! The update shared by Adam and AdamW, which differ in weight decay.

use candle_core::{DType, Result, WithDType};

use super::super::together::{Together, update_together};
use super::super::{OptimError, Step, Update};
use crate::cpu::Element;
use crate::cuda::Launch;

/// Names of the running means of the gradient and of its square, as in `torch.optim`.
pub(super) const STATES: &[&str] = &["exp_avg", "exp_avg_sq"];

pub(super) fn default_betas() -> [f64; 2] {
    [0.9, 0.999]
}

pub(super) fn default_eps() -> f64 {
    1e-8
}

/// Checks the shared hyperparameters.
pub(super) fn check(betas: [f64; 2], eps: f64) -> std::result::Result<(), OptimError> {
    let in_range = betas.iter().all(|beta| (0.0..1.0).contains(beta));
    OptimError::require("betas", format!("{betas:?}"), in_range, "each must be at least 0 and below 1")?;
    let is_normal = eps >= f64::from(f32::MIN_POSITIVE) && eps.is_finite();
    OptimError::require("eps", eps, is_normal, "must be positive, and not below what f32 can hold")
}

/// Updates a group of parameters, each by the update that `moments` makes of its hyperparameters.
pub(super) fn update_group(group: &[(Update<'_>, Step)], moments: impl Fn(&Step) -> Moments) -> Result<()> {
    let together = |together: &Together<'_>| moments(together.step()).launch(together);
    update_together(group, together, |tensors, step| moments(step).update(tensors))
}

/// An update of one parameter. AdamW multiplies the weights by `shrink`; Adam adds `decay` times the weights to the
/// gradient.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moments {
    pub lr: f64,
    pub betas: [f64; 2],
    pub eps: f64,
    pub shrink: f64,
    pub decay: f64,
    /// Number of updates before this one; the moments are corrected for having started at zero.
    pub updates_before: u64,
}

impl Moments {
    /// Creates an update without decay.
    pub fn new(step: &Step, beta2: f64, eps: f64) -> Self {
        let (lr, updates_before) = (step.lr, step.updates_before);
        Self { lr, betas: [step.momentum, beta2], eps, shrink: 1.0, decay: 0.0, updates_before }
    }

    pub fn update(self, tensors: &Update<'_>) -> Result<()> {
        match tensors.slice_dtype() {
            Some(DType::F32) => self.fused::<f32>(tensors),
            Some(DType::F64) => self.fused::<f64>(tensors),
            _ => self.reference(tensors),
        }
    }

    /// Returns `1 - beta^n` for the first and the second moment at update number n, counted from 1.
    fn corrections(&self) -> [f64; 2] {
        let n = (self.updates_before + 1) as f64;
        self.betas.map(|beta| 1.0 - beta.powf(n))
    }

    /// Makes one pass over the slices of the parameter.
    fn fused<T: Element>(self, tensors: &Update<'_>) -> Result<()> {
        let of = <T as WithDType>::from_f64;
        let [first_correction, second_correction] = self.corrections();
        let step_size = of(self.lr / first_correction);
        let root_correction = of(second_correction.sqrt());
        let (beta2, take1, take2) = (of(self.betas[1]), of(1.0 - self.betas[0]), of(1.0 - self.betas[1]));
        let (scale, shrink, decay, eps) = (of(tensors.gradient_scale), of(self.shrink), of(self.decay), of(self.eps));
        tensors.in_place(|[p, m, v]: [&mut [T]; 3], g| {
            for (((p, m), v), g) in p.iter_mut().zip(m).zip(v).zip(g) {
                // Read once: the compiler does not know that the slices are apart.
                let (weight, mean, square) = (*p, *m, *v);
                let g = *g * scale + decay * weight;
                let mean = mean + take1 * (g - mean);
                let square = square * beta2 + take2 * g * g;
                let denominator = square.sqrt() / root_correction + eps;
                *m = mean;
                *v = square;
                *p = weight * shrink - step_size * (mean / denominator);
            }
        })
    }

    /// Updates parameters on a GPU in one launch.
    fn launch(self, together: &Together<'_>) -> Result<()> {
        let [first_correction, second_correction] = self.corrections();
        let Self { lr, betas: [beta1, beta2], eps, shrink, decay, .. } = self;
        let numbers = [lr / first_correction, second_correction.sqrt(), beta1, beta2, eps, shrink, decay];
        together.launch("adam", STATES.len(), |launch| numbers.into_iter().fold(launch, Launch::double))
    }

    /// Makes the same update with tensor operations, for half precision and for devices whose memory is not accessible.
    pub fn reference(self, tensors: &Update<'_>) -> Result<()> {
        let [first_correction, second_correction] = self.corrections();
        let p = tensors.weights()?;
        let g = (tensors.gradient()? + (&p * self.decay)?)?;
        let m = tensors.state(0)?;
        let m = (&m + ((&g - &m)? * (1.0 - self.betas[0]))?)?;
        let v = ((tensors.state(1)? * self.betas[1])? + (g.sqr()? * (1.0 - self.betas[1]))?)?;
        tensors.set_state(0, &m)?;
        tensors.set_state(1, &v)?;
        let denominator = ((v.sqrt()? / second_correction.sqrt())? + self.eps)?;
        tensors.set_weights(&((p * self.shrink)? - ((m / denominator)? * (self.lr / first_correction))?)?)
    }
}
