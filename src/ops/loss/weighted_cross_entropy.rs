//! Cross-entropy with weights of classes, and with a class that does not count.

use candle_core::{D, Result, Tensor};

use super::of_classes::{OfClasses, RowLoss, log_sum, of_targets, scaled_softmax, weights_of};
use crate::cpu::{self, Real};
use crate::ops::op::apply;

/// How rows count in [`weighted_cross_entropy`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RowWeights {
    /// The weight of each class; 1 for each without.
    pub class_weights: Option<Vec<f64>>,
    /// The class of rows that do not count. It need not be below the number of classes.
    pub ignored: Option<u32>,
}

/// Returns the cross-entropy of `logits` `[…, classes]` with class numbers `targets` `[…]`, like
/// `torch.nn.CrossEntropyLoss` with `weight`, `ignore_index` and `label_smoothing`: the sum of `w[target]` times the
/// loss of each row, over the sum of `w[target]`. With `label_smoothing` ε each row has `1 - ε` of that, and ε times the
/// mean over all classes of their losses, each with its own weight. Rows of the ignored class are not counted; without
/// others the loss is 0, where PyTorch has NaN.
///
/// # Errors
/// The targets are floats, there is not a weight for each class, the shapes do not fit or the device fails.
pub fn weighted_cross_entropy(
    logits: &Tensor,
    targets: &Tensor,
    label_smoothing: f64,
    rows: &RowWeights,
) -> Result<Tensor> {
    let classes = logits.dims().last().copied().unwrap_or_default();
    check_weights("cross-entropy", rows.class_weights.as_deref(), classes)?;
    let (class_weights, ignored) = (rows.class_weights.clone(), rows.ignored);
    apply(OfClasses::new(targets, WeightedCrossEntropy { label_smoothing, class_weights, ignored })?, &[logits])
}

/// Checks that there is a weight for each class.
pub(super) fn check_weights(name: &str, weights: Option<&[f64]>, classes: usize) -> Result<()> {
    match weights {
        Some(weights) if weights.len() != classes => {
            candle_core::bail!("{name}: {} weights are not one for each of {classes} classes", weights.len())
        }
        _ => Ok(()),
    }
}

pub(super) struct WeightedCrossEntropy {
    pub label_smoothing: f64,
    pub class_weights: Option<Vec<f64>>,
    pub ignored: Option<u32>,
}

impl WeightedCrossEntropy {
    fn weight(&self, class: usize) -> f64 {
        self.class_weights.as_ref().map_or(1.0, |weights| weights[class])
    }

    /// The weights of all classes, added.
    fn all(&self, classes: usize) -> f64 {
        self.class_weights.as_ref().map_or(classes as f64, |weights| weights.iter().sum())
    }
}

impl RowLoss for WeightedCrossEntropy {
    const NAME: &'static str = "cross-entropy";

    fn share(&self, class: usize) -> f64 {
        self.weight(class)
    }

    fn ignored(&self) -> Option<u32> {
        self.ignored
    }

    #[inline(always)]
    fn value<T: Real>(&self, row: &[T], class: usize) -> T {
        let (largest, log_sum) = log_sum(row);
        let of_target = T::of(self.weight(class)) * ((largest - row[class]) + log_sum);
        if self.label_smoothing == 0.0 {
            return of_target;
        }
        let distances = match &self.class_weights {
            Some(weights) => row.iter().zip(weights).map(|(&x, &weight)| T::of(weight) * (largest - x)).sum(),
            None => cpu::sum(row, |x| largest - x),
        };
        let uniform = distances + T::of(self.all(row.len())) * log_sum;
        T::of(1.0 - self.label_smoothing) * of_target + T::of(self.label_smoothing / row.len() as f64) * uniform
    }

    /// The probabilities times the sum of the target distribution, minus that distribution.
    #[inline(always)]
    fn gradient<T: Real>(&self, row: &[T], class: usize, scale: T, result: &mut [T]) {
        let uniform = self.label_smoothing / row.len() as f64;
        let of_class = (1.0 - self.label_smoothing) * self.weight(class);
        scaled_softmax(row, scale * T::of(of_class + uniform * self.all(row.len())), result);
        if self.label_smoothing != 0.0 {
            for (class, result) in result.iter_mut().enumerate() {
                *result -= scale * T::of(uniform * self.weight(class));
            }
        }
        result[class] -= scale * T::of(of_class);
    }

    fn reference(&self, log_probabilities: &Tensor, classes: &Tensor) -> Result<Tensor> {
        let (dtype, count) = (log_probabilities.dtype(), log_probabilities.dim(D::Minus1)?);
        let weights = weights_of(self.class_weights.as_deref(), classes, dtype)?;
        let of_target = (of_targets(log_probabilities, classes)?.neg()? * weights)?;
        let every = Tensor::arange(0u32, count as u32, classes.device())?;
        let every = weights_of(self.class_weights.as_deref(), &every, dtype)?;
        let uniform = log_probabilities.broadcast_mul(&every)?.sum(D::Minus1)?.neg()?;
        (of_target * (1.0 - self.label_smoothing))? + (uniform * (self.label_smoothing / count as f64))?
    }
}
