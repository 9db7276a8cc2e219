//! Binary cross-entropy in which ones weigh more or less than zeros.

use candle_core::{Result, Shape, Tensor, WithDType, bail};

use super::binary_cross_entropy::binary_cross_entropy;
use crate::cpu::{self, Real};
use crate::ops::op::{Op, apply};
use crate::ops::operand::{Gradient, Operand, rows_and_width};
use crate::ops::pointwise::{Pointwise, Softplus, shape_of_both};

/// Returns the mean over all elements of the binary cross-entropy of `logits` `[rows, labels]` with `targets` of the
/// same number of elements, where a target of 1 weighs as much as the label's `positive_weights`, like
/// `torch.nn.BCEWithLogitsLoss` with `pos_weight`. The other arguments are those of [`binary_cross_entropy`].
///
/// # Errors
/// There is not a weight for each label, the shapes do not fit or the device fails.
pub fn weighted_binary_cross_entropy(
    logits: &Tensor,
    targets: &Tensor,
    label_smoothing: f64,
    positive_weights: Option<&[f64]>,
) -> Result<Tensor> {
    let Some(weights) = positive_weights else { return binary_cross_entropy(logits, targets, label_smoothing) };
    if logits.dims().last() != Some(&weights.len()) {
        bail!("binary cross-entropy: {} weights are not one for each label of {:?}", weights.len(), logits.dims());
    }
    let targets = targets.to_dtype(logits.dtype())?.reshape(logits.shape())?;
    let targets = targets.affine(1.0 - label_smoothing, label_smoothing / 2.0)?;
    apply(WeightedBinaryCrossEntropy { weights: weights.to_vec() }, &[logits, &targets])
}

/// Inputs: logits, and probabilities of 1.
pub(super) struct WeightedBinaryCrossEntropy {
    /// One for each column.
    pub weights: Vec<f64>,
}

impl Op for WeightedBinaryCrossEntropy {
    fn name(&self) -> &'static str {
        "binary cross-entropy"
    }

    fn shape(&self, inputs: &[&Tensor]) -> Result<Shape> {
        shape_of_both("binary cross-entropy", inputs)?;
        Ok(Shape::from(()))
    }

    /// Of each logit `x` with a target `t` and a weight `w`: `(1 - t) x + (1 + (w - 1) t) softplus(-x)`.
    fn forward<T: Real>(&self, inputs: &[Operand<'_, T>]) -> Result<Vec<T>> {
        let (rows, labels) = rows_and_width("binary cross-entropy", inputs[0].dims())?;
        let (logits, targets) = (inputs[0].elements, inputs[1].elements);
        let value = |x: T, t: T, w: f64| (T::one() - t) * x + (T::one() + T::of(w - 1.0) * t) * Softplus::value(-x);
        let sums = cpu::map_rows(rows, labels, |range| {
            let places = range.start * labels..range.end * labels;
            let pairs = logits[places.clone()].iter().zip(&targets[places]);
            let losses = pairs.zip(self.weights.iter().cycle()).map(|((&x, &t), &w)| WithDType::to_f64(value(x, t, w)));
            losses.sum::<f64>()
        });
        Ok(vec![T::of(sums.iter().sum::<f64>() / logits.len() as f64)])
    }

    fn backward<T: Real>(
        &self,
        inputs: &[Operand<'_, T>],
        _: Operand<'_, T>,
        dy: Operand<'_, T>,
    ) -> Result<Vec<Gradient<T>>> {
        let (_, labels) = rows_and_width("binary cross-entropy", inputs[0].dims())?;
        let (logits, targets) = (inputs[0], inputs[1]);
        let share = dy.elements[0] / T::of(logits.elements.len() as f64);
        let by_logit = |x: T, t: T, w: f64| (T::one() - t) - (T::one() + T::of(w - 1.0) * t) * (-x).sigmoid();
        let by_target = |x: T, _: T, w: f64| T::of(w - 1.0) * Softplus::value(-x) - x;
        let gradient = |of: &(dyn Fn(T, T, f64) -> T + Sync)| {
            let mut result = vec![T::zero(); logits.elements.len()];
            cpu::for_rows(&mut result, labels, |first, rows| {
                let places = first * labels..first * labels + rows.len();
                let pairs = logits.elements[places.clone()].iter().zip(&targets.elements[places]);
                for ((result, (&x, &t)), &w) in rows.iter_mut().zip(pairs).zip(self.weights.iter().cycle()) {
                    *result = of(x, t, w) * share;
                }
            });
            result
        };
        Ok(vec![Gradient::of(logits, || gradient(&by_logit)), Gradient::of(targets, || gradient(&by_target))])
    }

    fn reference(&self, inputs: &[&Tensor]) -> Result<Tensor> {
        let (logits, targets) = (inputs[0], inputs[1]);
        let extra = self.weights.iter().map(|weight| weight - 1.0).collect::<Vec<_>>();
        let extra = Tensor::new(extra, logits.device())?.to_dtype(logits.dtype())?;
        let factor = targets.broadcast_mul(&extra)?.affine(1.0, 1.0)?;
        let surprise = crate::ops::softplus(&logits.neg()?)?;
        ((targets.affine(-1.0, 1.0)? * logits)? + (factor * surprise)?)?.mean_all()
    }
}
