//! A product with a number that is not trained.

mod cuda;

use candle_core::{DType, Device, Result, Shape, Tensor};

use super::op::{DeviceKernel, Op, apply};
use super::operand::{Gradient, Operand};
use crate::cpu::{Real, map};
use crate::cuda::Place;

/// `factor * x`.
///
/// # Errors
/// When the device fails.
pub fn scaled(x: &Tensor, factor: f64) -> Result<Tensor> {
    apply(Scaled(factor), &[x])
}

struct Scaled(f64);

impl Op for Scaled {
    fn name(&self) -> &'static str {
        "scaled"
    }

    fn shape(&self, inputs: &[&Tensor]) -> Result<Shape> {
        Ok(inputs[0].shape().clone())
    }

    fn forward<T: Real>(&self, inputs: &[Operand<'_, T>]) -> Result<Vec<T>> {
        let factor = T::of(self.0);
        Ok(map(inputs[0].elements, |x| x * factor))
    }

    fn backward<T: Real>(
        &self,
        inputs: &[Operand<'_, T>],
        _: Operand<'_, T>,
        dy: Operand<'_, T>,
    ) -> Result<Vec<Gradient<T>>> {
        let factor = T::of(self.0);
        Ok(vec![Gradient::of(inputs[0], || map(dy.elements, |dy| dy * factor))])
    }

    fn reference(&self, inputs: &[&Tensor]) -> Result<Tensor> {
        inputs[0] * self.0
    }

    fn device_kernel(&self, device: &Device, dtype: DType) -> Option<&dyn DeviceKernel> {
        Place::has_kernels(device, dtype).then_some(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::testing::{assert_gradients, check, numbers};

    #[test]
    fn a_scaled_tensor_has_a_scaled_gradient() {
        let x = numbers(&[3, 5], 1);
        check(Scaled(-0.75), &[&x], 1e-13);
        assert_gradients(&[&x], |x| scaled(&x[0], 2.5));
    }
}
