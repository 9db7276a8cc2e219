//! Mean squared error.

use candle_core::{DType, Device, Result, Shape, Tensor};

use super::mean;
use crate::cpu::{Real, zip};
use crate::cuda::Place;
use crate::ops::op::{DeviceKernel, Op, apply};
use crate::ops::operand::{Gradient, Operand};
use crate::ops::pointwise::shape_of_both;

/// Returns the mean of `(output - target)^2` over all elements, like `torch.nn.MSELoss`. Both are `[rows, width]`.
///
/// # Errors
/// The shapes differ or the device fails.
pub fn mean_squared_error(outputs: &Tensor, targets: &Tensor) -> Result<Tensor> {
    apply(SquaredError, &[outputs, targets])
}

pub(super) struct SquaredError;

impl Op for SquaredError {
    fn name(&self) -> &'static str {
        "mean squared error"
    }

    fn shape(&self, inputs: &[&Tensor]) -> Result<Shape> {
        shape_of_both("mean squared error", inputs)?;
        Ok(Shape::from(()))
    }

    fn forward<T: Real>(&self, inputs: &[Operand<'_, T>]) -> Result<Vec<T>> {
        let square = |x: T, target: T| (x - target) * (x - target);
        Ok(vec![mean(inputs[0].elements, inputs[1].elements, square)])
    }

    fn backward<T: Real>(
        &self,
        inputs: &[Operand<'_, T>],
        _: Operand<'_, T>,
        dy: Operand<'_, T>,
    ) -> Result<Vec<Gradient<T>>> {
        let (outputs, targets) = (inputs[0], inputs[1]);
        let factor = T::of(2.0) * dy.elements[0] / T::of(outputs.elements.len() as f64);
        let doutputs = || zip(outputs.elements, targets.elements, |x, target| (x - target) * factor);
        let dtargets = || zip(outputs.elements, targets.elements, |x, target| (target - x) * factor);
        Ok(vec![Gradient::of(outputs, doutputs), Gradient::of(targets, dtargets)])
    }

    fn reference(&self, inputs: &[&Tensor]) -> Result<Tensor> {
        (inputs[0] - inputs[1])?.sqr()?.mean_all()
    }

    fn device_kernel(&self, device: &Device, dtype: DType) -> Option<&dyn DeviceKernel> {
        Place::has_kernels(device, dtype).then_some(self)
    }
}
