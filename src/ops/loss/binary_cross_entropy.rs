//! Binary cross-entropy of logits.

use candle_core::{DType, Device, Result, Shape, Tensor};

use super::mean;
use crate::cpu::{Real, zip};
use crate::cuda::Place;
use crate::ops::op::{DeviceKernel, Op, apply};
use crate::ops::operand::{Gradient, Operand};
use crate::ops::pointwise::{Pointwise, Softplus, shape_of_both};

/// Returns the binary cross-entropy of `logits` `[rows, 1]` with `targets` `[rows]`, which are classes 0 and 1, or
/// floats that are probabilities of class 1, like `torch.nn.BCEWithLogitsLoss`. With `label_smoothing` ε the targets
/// are `ε/2` and `1 - ε/2`. Exact for logits of any size: `softplus(x) - x * target`.
///
/// # Errors
/// The shapes do not fit or the device fails.
pub fn binary_cross_entropy(logits: &Tensor, targets: &Tensor, label_smoothing: f64) -> Result<Tensor> {
    let targets = targets.to_dtype(logits.dtype())?.reshape(logits.shape())?;
    apply(BinaryCrossEntropy { label_smoothing }, &[logits, &targets])
}

/// Inputs: logits, and unsmoothed probabilities of class 1.
pub(super) struct BinaryCrossEntropy {
    pub label_smoothing: f64,
}

impl BinaryCrossEntropy {
    /// Returns the factor and summand that smooth a target.
    fn smoothing<T: Real>(&self) -> (T, T) {
        (T::of(1.0 - self.label_smoothing), T::of(self.label_smoothing / 2.0))
    }
}

impl Op for BinaryCrossEntropy {
    fn name(&self) -> &'static str {
        "binary cross-entropy"
    }

    fn shape(&self, inputs: &[&Tensor]) -> Result<Shape> {
        shape_of_both("binary cross-entropy", inputs)?;
        Ok(Shape::from(()))
    }

    fn forward<T: Real>(&self, inputs: &[Operand<'_, T>]) -> Result<Vec<T>> {
        let (factor, summand) = self.smoothing::<T>();
        let loss = |x: T, target: T| Softplus::value(x) - x * (target * factor + summand);
        Ok(vec![mean(inputs[0].elements, inputs[1].elements, loss)])
    }

    /// The gradient of a logit is its probability minus the smoothed target, divided by the number of rows.
    fn backward<T: Real>(
        &self,
        inputs: &[Operand<'_, T>],
        _: Operand<'_, T>,
        dy: Operand<'_, T>,
    ) -> Result<Vec<Gradient<T>>> {
        let (logits, targets) = (inputs[0], inputs[1]);
        let (factor, summand) = self.smoothing::<T>();
        let share = dy.elements[0] / T::of(logits.elements.len() as f64);
        let dlogit = |x: T, target: T| (Softplus::derivative(x) - (target * factor + summand)) * share;
        let dtarget = |x: T, _: T| -x * factor * share;
        Ok(vec![
            Gradient::of(logits, || zip(logits.elements, targets.elements, dlogit)),
            Gradient::of(targets, || zip(logits.elements, targets.elements, dtarget)),
        ])
    }

    fn reference(&self, inputs: &[&Tensor]) -> Result<Tensor> {
        let targets = inputs[1].affine(1.0 - self.label_smoothing, self.label_smoothing / 2.0)?;
        (super::super::softplus(inputs[0])? - (inputs[0] * targets)?)?.mean_all()
    }

    fn device_kernel(&self, device: &Device, dtype: DType) -> Option<&dyn DeviceKernel> {
        Place::has_kernels(device, dtype).then_some(self)
    }
}
