//! Focal loss.

use candle_core::{Result, Tensor};

use super::of_classes::{OfClasses, RowLoss, log_sum, of_targets, scaled_softmax, weights_of};
use super::weighted_cross_entropy::check_weights;
use crate::cpu::Real;
use crate::ops::op::apply;

/// Returns the focal loss of `logits` `[…, classes]` with class numbers `targets` `[…]`: the mean over the rows of
/// `α (1 - p)^γ (-ln p)`, where `p` is the probability of the row's class and `α` its weight (Lin and others, "Focal
/// Loss for Dense Object Detection", ICCV 2017, equation 5). With `gamma` 0 it is the cross-entropy.
///
/// # Errors
/// The targets are floats, there is not a weight for each class, the shapes do not fit or the device fails.
pub fn focal(logits: &Tensor, targets: &Tensor, gamma: f64, class_weights: Option<&[f64]>) -> Result<Tensor> {
    check_weights(Focal::NAME, class_weights, logits.dims().last().copied().unwrap_or_default())?;
    apply(OfClasses::new(targets, Focal { gamma, class_weights: class_weights.map(<[f64]>::to_vec) })?, &[logits])
}

pub(super) struct Focal {
    pub gamma: f64,
    pub class_weights: Option<Vec<f64>>,
}

impl Focal {
    fn weight(&self, class: usize) -> f64 {
        self.class_weights.as_ref().map_or(1.0, |weights| weights[class])
    }
}

impl RowLoss for Focal {
    const NAME: &'static str = "focal loss";

    /// Weights are not divided out, as in the paper.
    fn share(&self, _: usize) -> f64 {
        1.0
    }

    fn ignored(&self) -> Option<u32> {
        None
    }

    #[inline(always)]
    fn value<T: Real>(&self, row: &[T], class: usize) -> T {
        let (largest, log_sum) = log_sum(row);
        let surprise = (largest - row[class]) + log_sum;
        T::of(self.weight(class)) * (-(-surprise).exp_m1()).powf(T::of(self.gamma)) * surprise
    }

    /// With `q = 1 - p` and `s = -ln p`: the distance of the probabilities from the class, times
    /// `α (q^γ + γ q^(γ-1) p s)`.
    #[inline(always)]
    fn gradient<T: Real>(&self, row: &[T], class: usize, scale: T, result: &mut [T]) {
        let (largest, log_sum) = log_sum(row);
        let surprise = (largest - row[class]) + log_sum;
        let (gamma, q) = (T::of(self.gamma), -(-surprise).exp_m1());
        // Where the class is certain, both terms end in 0.
        let of_power = if q > T::zero() && self.gamma != 0.0 {
            gamma * q.powf(gamma - T::one()) * (-surprise).exp() * surprise
        } else {
            T::zero()
        };
        let factor = scale * T::of(self.weight(class)) * (q.powf(gamma) + of_power);
        scaled_softmax(row, factor, result);
        result[class] -= factor;
    }

    fn reference(&self, log_probabilities: &Tensor, classes: &Tensor) -> Result<Tensor> {
        let weights = weights_of(self.class_weights.as_deref(), classes, log_probabilities.dtype())?;
        let log_p = of_targets(log_probabilities, classes)?;
        let others = log_p.exp()?.affine(-1.0, 1.0)?;
        (weights * others.powf(self.gamma)?)? * log_p.neg()?
    }
}
