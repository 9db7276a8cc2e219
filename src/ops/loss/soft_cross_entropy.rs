//! Cross-entropy with a distribution over the classes for each row.

use candle_core::{Result, Shape, Tensor, WithDType};

use super::of_classes::{log_sum, scaled_softmax};
use crate::cpu::{self, Real};
use crate::ops::op::{Op, apply};
use crate::ops::operand::{Gradient, Operand, rows_and_width};
use crate::ops::pointwise::shape_of_both;

/// Returns the mean over the rows of the cross-entropy of `logits` `[rows, classes]` with the probabilities `targets` of
/// the same shape, like `torch.nn.CrossEntropyLoss` with probabilities. With `label_smoothing` ε each is `1 - ε` of it
/// plus ε spread evenly over all classes.
///
/// # Errors
/// The shapes differ or the device fails.
pub fn soft_cross_entropy(logits: &Tensor, targets: &Tensor, label_smoothing: f64) -> Result<Tensor> {
    let targets = targets.to_dtype(logits.dtype())?;
    apply(SoftCrossEntropy { label_smoothing }, &[logits, &targets])
}

/// Writes the gradient of a row from its logits and targets.
type Write<'a, T> = dyn Fn(&[T], &[T], &mut [T]) + Sync + 'a;

/// Inputs: logits, and unsmoothed probabilities.
pub(super) struct SoftCrossEntropy {
    pub label_smoothing: f64,
}

impl SoftCrossEntropy {
    /// Returns the factor and summand that smooth a probability of `classes`.
    fn smoothing<T: Real>(&self, classes: usize) -> (T, T) {
        (T::of(1.0 - self.label_smoothing), T::of(self.label_smoothing / classes as f64))
    }
}

impl Op for SoftCrossEntropy {
    fn name(&self) -> &'static str {
        "cross-entropy"
    }

    fn shape(&self, inputs: &[&Tensor]) -> Result<Shape> {
        rows_and_width("cross-entropy", shape_of_both("cross-entropy", inputs)?.dims())?;
        Ok(Shape::from(()))
    }

    fn forward<T: Real>(&self, inputs: &[Operand<'_, T>]) -> Result<Vec<T>> {
        let (rows, classes) = rows_and_width("cross-entropy", inputs[0].dims())?;
        let (logits, targets) = (inputs[0].elements, inputs[1].elements);
        let (factor, summand) = self.smoothing::<T>(classes);
        let sums = cpu::map_rows(rows, classes, |range| {
            cpu::vectorized(
                #[inline(always)]
                || {
                    let of_row = |row: usize| {
                        let places = row * classes..(row + 1) * classes;
                        let (largest, log_sum) = log_sum(&logits[places.clone()]);
                        let surprise = |x: T, target: T| (target * factor + summand) * ((largest - x) + log_sum);
                        cpu::sum2(&logits[places.clone()], &targets[places], surprise)
                    };
                    range.map(|row| WithDType::to_f64(of_row(row))).sum::<f64>()
                },
            )
        });
        Ok(vec![T::of(sums.iter().sum::<f64>() / rows as f64)])
    }

    /// The probabilities times the sum of the targets, minus the targets, divided by the number of rows.
    fn backward<T: Real>(
        &self,
        inputs: &[Operand<'_, T>],
        _: Operand<'_, T>,
        dy: Operand<'_, T>,
    ) -> Result<Vec<Gradient<T>>> {
        let (rows, classes) = rows_and_width("cross-entropy", inputs[0].dims())?;
        let (logits, targets) = (inputs[0], inputs[1]);
        let (factor, summand) = self.smoothing::<T>(classes);
        let share = dy.elements[0] / T::of(rows as f64);
        let each_row = |write: &Write<'_, T>| {
            let mut result = vec![T::zero(); logits.elements.len()];
            cpu::for_rows(&mut result, classes, |first, rows| {
                for (row, result) in (first..).zip(rows.chunks_exact_mut(classes)) {
                    let places = row * classes..(row + 1) * classes;
                    write(&logits.elements[places.clone()], &targets.elements[places], result);
                }
            });
            result
        };
        let by_logits = |logits: &[T], targets: &[T], result: &mut [T]| {
            let all = cpu::sum(targets, |target| target * factor + summand);
            scaled_softmax(logits, share * all, result);
            for (result, &target) in result.iter_mut().zip(targets) {
                *result -= share * (target * factor + summand);
            }
        };
        let by_targets = |logits: &[T], _: &[T], result: &mut [T]| {
            let (largest, log_sum) = log_sum(logits);
            for (result, &x) in result.iter_mut().zip(logits) {
                *result = share * factor * ((largest - x) + log_sum);
            }
        };
        Ok(vec![Gradient::of(logits, || each_row(&by_logits)), Gradient::of(targets, || each_row(&by_targets))])
    }

    fn reference(&self, inputs: &[&Tensor]) -> Result<Tensor> {
        let (rows, classes) = rows_and_width("cross-entropy", inputs[0].dims())?;
        let targets = inputs[1].affine(1.0 - self.label_smoothing, self.label_smoothing / classes as f64)?;
        (super::cross_entropy::log_softmax(inputs[0])? * targets)?.sum_all()? * (-1.0 / rows as f64)
    }
}
