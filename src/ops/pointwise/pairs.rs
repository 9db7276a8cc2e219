//! Functions of two numbers: the sum, and the gated unit.

use candle_core::{DType, Device, Result, Shape, Tensor, bail};

use super::{Pointwise, Silu};
use crate::cpu::{Half, Real, zip, zip3};
use crate::cuda::Place;
use crate::ops::op::{DeviceKernel, Op};
use crate::ops::operand::{Gradient, Operand};

/// Returns the shape of two tensors, which must be the same.
pub(in crate::ops) fn shape_of_both(name: &str, inputs: &[&Tensor]) -> Result<Shape> {
    let (a, b) = (inputs[0].shape(), inputs[1].shape());
    if a != b {
        bail!("{name}: tensors of one shape were expected, not of {a:?} and {b:?}");
    }
    Ok(a.clone())
}

/// Candle's sum runs on one thread.
pub(super) struct Add;

impl Op for Add {
    fn name(&self) -> &'static str {
        "add"
    }

    fn shape(&self, inputs: &[&Tensor]) -> Result<Shape> {
        shape_of_both("add", inputs)
    }

    fn forward<T: Real>(&self, inputs: &[Operand<'_, T>]) -> Result<Vec<T>> {
        Ok(zip(inputs[0].elements, inputs[1].elements, |a, b| a + b))
    }

    fn backward<T: Real>(
        &self,
        _: &[Operand<'_, T>],
        _: Operand<'_, T>,
        _: Operand<'_, T>,
    ) -> Result<Vec<Gradient<T>>> {
        Ok(vec![Gradient::OfResult, Gradient::OfResult])
    }

    fn forward_in_half<H: Half>(&self, inputs: &[Operand<'_, H>]) -> Option<Vec<H>> {
        Some(zip(inputs[0].elements, inputs[1].elements, |a: H, b: H| H::rounded(a.widened() + b.widened())))
    }

    fn backward_in_half<H: Half>(
        &self,
        _: &[Operand<'_, H>],
        _: Operand<'_, H>,
        _: Operand<'_, H>,
    ) -> Option<Vec<Gradient<H>>> {
        Some(vec![Gradient::OfResult, Gradient::OfResult])
    }

    fn reference(&self, inputs: &[&Tensor]) -> Result<Tensor> {
        inputs[0] + inputs[1]
    }

    fn device_kernel(&self, device: &Device, dtype: DType) -> Option<&dyn DeviceKernel> {
        Place::has_kernels(device, dtype).then_some(self)
    }
}

pub(super) struct SwiGlu;

impl Op for SwiGlu {
    fn name(&self) -> &'static str {
        "swiglu"
    }

    fn shape(&self, inputs: &[&Tensor]) -> Result<Shape> {
        shape_of_both("swiglu", inputs)
    }

    fn forward<T: Real>(&self, inputs: &[Operand<'_, T>]) -> Result<Vec<T>> {
        Ok(zip(inputs[0].elements, inputs[1].elements, |gate, up| Silu::value(gate) * up))
    }

    fn backward<T: Real>(
        &self,
        inputs: &[Operand<'_, T>],
        _: Operand<'_, T>,
        dy: Operand<'_, T>,
    ) -> Result<Vec<Gradient<T>>> {
        let (gate, up) = (inputs[0], inputs[1]);
        let dgate = || {
            let dsilu = zip(gate.elements, dy.elements, |gate, dy| dy * Silu::derivative(gate));
            zip(&dsilu, up.elements, |dsilu, up| dsilu * up)
        };
        let dup = || zip(gate.elements, dy.elements, |gate, dy| dy * Silu::value(gate));
        Ok(vec![Gradient::of(gate, dgate), Gradient::of(up, dup)])
    }

    fn forward_in_half<H: Half>(&self, inputs: &[Operand<'_, H>]) -> Option<Vec<H>> {
        let unit = |gate: H, up: H| H::rounded(Silu::value(gate.widened()) * up.widened());
        Some(zip(inputs[0].elements, inputs[1].elements, unit))
    }

    fn backward_in_half<H: Half>(
        &self,
        inputs: &[Operand<'_, H>],
        _: Operand<'_, H>,
        dy: Operand<'_, H>,
    ) -> Option<Vec<Gradient<H>>> {
        let (gate, up) = (inputs[0], inputs[1]);
        let dgate = |gate: H, dy: H, up: H| H::rounded(dy.widened() * Silu::derivative(gate.widened()) * up.widened());
        let dup = |gate: H, dy: H| H::rounded(dy.widened() * Silu::value(gate.widened()));
        Some(vec![
            Gradient::of(gate, || zip3(gate.elements, dy.elements, up.elements, dgate)),
            Gradient::of(up, || zip(gate.elements, dy.elements, dup)),
        ])
    }

    fn reference(&self, inputs: &[&Tensor]) -> Result<Tensor> {
        Silu::reference(inputs[0])? * inputs[1]
    }

    fn device_kernel(&self, device: &Device, dtype: DType) -> Option<&dyn DeviceKernel> {
        Place::has_kernels(device, dtype).then_some(self)
    }
}
