//! Cross-entropy of logits with classes.

use candle_core::{D, DType, Device, Result, Shape, Tensor, WithDType, bail};

use crate::cpu::{self, Real};
use crate::cuda::Place;
use crate::ops::op::{DeviceKernel, Op, apply};
use crate::ops::operand::{Gradient, Operand, Reading, rows_and_width, whole_numbers};

/// Returns the cross-entropy of `logits` `[…, classes]` with class numbers `targets` `[…]` (integers of any type), like
/// `torch.nn.CrossEntropyLoss`: with `label_smoothing` ε the target distribution is `1 - ε` on the class plus `ε`
/// spread evenly over all classes (Szegedy et al., CVPR 2016, section 7).
///
/// # Errors
/// The targets are floats, the shapes do not fit or the device fails.
pub fn cross_entropy(logits: &Tensor, targets: &Tensor, label_smoothing: f64) -> Result<Tensor> {
    apply(CrossEntropy::new(targets, label_smoothing)?, &[logits])
}

/// Only the loss is kept: the backward pass computes the probabilities again.
pub(super) struct CrossEntropy {
    /// u32, contiguous.
    pub targets: Tensor,
    pub label_smoothing: f64,
}

impl CrossEntropy {
    pub fn new(targets: &Tensor, label_smoothing: f64) -> Result<Self> {
        let targets = whole_numbers("cross-entropy: targets", targets)?.contiguous()?;
        Ok(Self { targets, label_smoothing })
    }

    /// Returns the loss of one row: the logarithm of the sum of the exponentials, minus the target's logit, minus the
    /// mean for smoothing.
    #[inline(always)]
    fn of_row<T: Real>(&self, row: &[T], target: usize) -> T {
        let smoothing = T::of(self.label_smoothing);
        let largest = cpu::max(row);
        let log_sum = cpu::sum(row, |x| (x - largest).exponential()).ln();
        let of_target = (largest - row[target]) + log_sum;
        if smoothing == T::zero() {
            return of_target;
        }
        let mean = cpu::sum(row, |x| largest - x) / T::of(row.len() as f64) + log_sum;
        of_target + smoothing * (mean - of_target)
    }

    /// Writes the gradient of one row: its probabilities minus the target distribution, times `scale`.
    #[inline(always)]
    fn gradient_of_row<T: Real>(&self, row: &[T], target: usize, scale: T, result: &mut [T]) {
        let largest = cpu::max(row);
        for (result, &x) in result.iter_mut().zip(row) {
            *result = (x - largest).exponential();
        }
        let factor = scale / cpu::sum(result, |x| x);
        let uniform = scale * T::of(self.label_smoothing / row.len() as f64);
        for result in result.iter_mut() {
            *result = *result * factor - uniform;
        }
        result[target] -= scale * T::of(1.0 - self.label_smoothing);
    }
}

impl Op for CrossEntropy {
    fn name(&self) -> &'static str {
        "cross-entropy"
    }

    fn shape(&self, inputs: &[&Tensor]) -> Result<Shape> {
        let (logits, targets) = (inputs[0].dims(), self.targets.dims());
        if logits.split_last().is_none_or(|(_, rows)| rows != targets) {
            bail!("cross-entropy: logits {logits:?} and targets {targets:?} do not fit together");
        }
        rows_and_width("cross-entropy", logits)?;
        Ok(Shape::from(()))
    }

    fn forward<T: Real>(&self, inputs: &[Operand<'_, T>]) -> Result<Vec<T>> {
        let (rows, classes) = rows_and_width("cross-entropy", inputs[0].dims())?;
        let (x, read) = (inputs[0].elements, Reading::of(&self.targets));
        let targets = read.elements::<u32>()?;
        if let Some(target) = targets.iter().find(|&&target| target as usize >= classes) {
            bail!("cross-entropy: class {target} is not below the number of classes, {classes}");
        }
        let sums = cpu::map_rows(rows, classes, |range| {
            cpu::vectorized(
                #[inline(always)]
                || {
                    let of_row = |row: usize| self.of_row(&x[row * classes..][..classes], targets[row] as usize);
                    range.map(|row| WithDType::to_f64(of_row(row))).sum::<f64>()
                },
            )
        });
        Ok(vec![T::of(sums.iter().sum::<f64>() / rows as f64)])
    }

    fn backward<T: Real>(
        &self,
        inputs: &[Operand<'_, T>],
        _: Operand<'_, T>,
        dy: Operand<'_, T>,
    ) -> Result<Vec<Gradient<T>>> {
        let (rows, classes) = rows_and_width("cross-entropy", inputs[0].dims())?;
        let (logits, read) = (inputs[0].elements, Reading::of(&self.targets));
        let targets = read.elements::<u32>()?;
        let scale = dy.elements[0] / T::of(rows as f64);
        let mut dlogits = vec![T::of(0.0); logits.len()];
        cpu::for_rows(&mut dlogits, classes, |first, rows| {
            cpu::vectorized(
                #[inline(always)]
                || {
                    for (row, result) in (first..).zip(rows.chunks_exact_mut(classes)) {
                        self.gradient_of_row(&logits[row * classes..][..classes], targets[row] as usize, scale, result);
                    }
                },
            );
        });
        Ok(vec![Gradient::Elements(dlogits)])
    }

    fn reference(&self, inputs: &[&Tensor]) -> Result<Tensor> {
        let log_probabilities = log_softmax(inputs[0])?;
        let of_targets = log_probabilities.gather(&self.targets.unsqueeze(D::Minus1)?, D::Minus1)?;
        let nll = of_targets.mean_all()?.neg()?;
        if self.label_smoothing == 0.0 {
            return Ok(nll);
        }
        (nll * (1.0 - self.label_smoothing))? - (log_probabilities.mean_all()? * self.label_smoothing)?
    }

    fn device_kernel(&self, device: &Device, dtype: DType) -> Option<&dyn DeviceKernel> {
        Place::has_kernels(device, dtype).then_some(self)
    }
}

/// Returns `x - ln(sum(exp(x)))` over the last dimension. The subtracted maximum is detached, because the result does
/// not depend on it.
pub(super) fn log_softmax(x: &Tensor) -> Result<Tensor> {
    let shifted = x.broadcast_sub(&x.max_keepdim(D::Minus1)?.detach())?;
    shifted.broadcast_sub(&shifted.exp()?.sum_keepdim(D::Minus1)?.log()?)
}
