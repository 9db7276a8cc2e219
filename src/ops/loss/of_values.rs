//! Losses of values: means over all elements of a function of an output and its target.

use candle_core::{DType, Result, Shape, Tensor};

use super::mean;
use crate::cpu::{Real, zip};
use crate::ops::op::{Op, apply};
use crate::ops::operand::{Gradient, Operand};
use crate::ops::pointwise::shape_of_both;

/// Returns the mean of `|output - target|` over all elements, like `torch.nn.L1Loss`, with gradient 0 where both are
/// equal. Both are `[rows, width]`.
///
/// # Errors
/// The shapes differ or the device fails.
pub fn mean_absolute_error(outputs: &Tensor, targets: &Tensor) -> Result<Tensor> {
    apply(OfValues(AbsoluteError), &[outputs, targets])
}

/// Returns the mean over all elements of half the squared distance of output and target up to a distance of `delta`,
/// and of `delta * (distance - delta / 2)` beyond it, like `torch.nn.HuberLoss` (Huber, Annals of Mathematical
/// Statistics 35, 1964). Both are `[rows, width]`.
///
/// # Errors
/// The shapes differ or the device fails.
pub fn huber(outputs: &Tensor, targets: &Tensor, delta: f64) -> Result<Tensor> {
    apply(OfValues(Huber { delta }), &[outputs, targets])
}

/// Returns the mean of `exp(output) - target * output` over all elements: the negative logarithm of the probability of
/// counts whose expected value has the logarithm `output`, up to a constant, like `torch.nn.PoissonNLLLoss`. Both are
/// `[rows, width]`.
///
/// # Errors
/// The shapes differ or the device fails.
pub fn poisson(outputs: &Tensor, targets: &Tensor) -> Result<Tensor> {
    apply(OfValues(Poisson), &[outputs, targets])
}

/// The loss of one element.
pub(super) trait ElementLoss: Copy + Send + Sync + 'static {
    /// Its name in messages.
    const NAME: &'static str;

    fn value<T: Real>(self, output: T, target: T) -> T;

    /// Returns the derivatives by output and target.
    fn derivatives<T: Real>(self, output: T, target: T) -> (T, T);

    /// Returns the loss of each element, computed with Candle's operations.
    fn reference(self, outputs: &Tensor, targets: &Tensor) -> Result<Tensor>;
}

/// The mean of a loss over all elements.
pub(super) struct OfValues<L>(pub L);

impl<L: ElementLoss> Op for OfValues<L> {
    fn name(&self) -> &'static str {
        L::NAME
    }

    fn shape(&self, inputs: &[&Tensor]) -> Result<Shape> {
        shape_of_both(L::NAME, inputs)?;
        Ok(Shape::from(()))
    }

    fn forward<T: Real>(&self, inputs: &[Operand<'_, T>]) -> Result<Vec<T>> {
        let loss = self.0;
        Ok(vec![mean(inputs[0].elements, inputs[1].elements, move |output, target| loss.value(output, target))])
    }

    fn backward<T: Real>(
        &self,
        inputs: &[Operand<'_, T>],
        _: Operand<'_, T>,
        dy: Operand<'_, T>,
    ) -> Result<Vec<Gradient<T>>> {
        let (loss, outputs, targets) = (self.0, inputs[0], inputs[1]);
        let share = dy.elements[0] / T::of(outputs.elements.len() as f64);
        let by_output = |output, target| loss.derivatives(output, target).0 * share;
        let by_target = |output, target| loss.derivatives(output, target).1 * share;
        Ok(vec![
            Gradient::of(outputs, || zip(outputs.elements, targets.elements, by_output)),
            Gradient::of(targets, || zip(outputs.elements, targets.elements, by_target)),
        ])
    }

    fn reference(&self, inputs: &[&Tensor]) -> Result<Tensor> {
        self.0.reference(inputs[0], inputs[1])?.mean_all()
    }
}

#[derive(Clone, Copy)]
pub(super) struct AbsoluteError;

impl ElementLoss for AbsoluteError {
    const NAME: &'static str = "mean absolute error";

    #[inline(always)]
    fn value<T: Real>(self, output: T, target: T) -> T {
        (output - target).abs()
    }

    #[inline(always)]
    fn derivatives<T: Real>(self, output: T, target: T) -> (T, T) {
        let sign = sign(output - target);
        (sign, -sign)
    }

    fn reference(self, outputs: &Tensor, targets: &Tensor) -> Result<Tensor> {
        (outputs - targets)?.abs()
    }
}

/// The sign of a number: 0 for 0, and NaN for NaN.
#[inline(always)]
fn sign<T: Real>(x: T) -> T {
    if x == T::zero() { x } else { x.signum() }
}

#[derive(Clone, Copy)]
pub(super) struct Huber {
    pub delta: f64,
}

impl ElementLoss for Huber {
    const NAME: &'static str = "Huber loss";

    #[inline(always)]
    fn value<T: Real>(self, output: T, target: T) -> T {
        let (half, delta, distance) = (T::of(0.5), T::of(self.delta), (output - target).abs());
        if distance < delta { half * distance * distance } else { delta * (distance - half * delta) }
    }

    #[inline(always)]
    fn derivatives<T: Real>(self, output: T, target: T) -> (T, T) {
        let (delta, distance) = (T::of(self.delta), output - target);
        // Written so that NaN is preserved.
        let below = if distance > delta { delta } else { distance };
        let by_output = if below < -delta { -delta } else { below };
        (by_output, -by_output)
    }

    fn reference(self, outputs: &Tensor, targets: &Tensor) -> Result<Tensor> {
        let distance = (outputs - targets)?.abs()?;
        // Half the square of the part up to delta, plus delta times the rest.
        let near = distance.minimum(self.delta)?;
        (near.sqr()? * 0.5)? + ((&distance - &near)? * self.delta)?
    }
}

#[derive(Clone, Copy)]
pub(super) struct Poisson;

impl ElementLoss for Poisson {
    const NAME: &'static str = "Poisson loss";

    #[inline(always)]
    fn value<T: Real>(self, output: T, target: T) -> T {
        output.exponential() - target * output
    }

    #[inline(always)]
    fn derivatives<T: Real>(self, output: T, target: T) -> (T, T) {
        (output.exponential() - target, -output)
    }

    fn reference(self, outputs: &Tensor, targets: &Tensor) -> Result<Tensor> {
        outputs.exp()? - (targets * outputs)?
    }
}

/// Refuses numbers that a loss is not defined for, in targets on the CPU: elsewhere it would take a copy.
pub(crate) fn check_targets(name: &str, targets: &Tensor, needed: &str, fits: impl Fn(f32) -> bool) -> Result<()> {
    if !targets.device().is_cpu() || !targets.dtype().is_float() {
        return Ok(());
    }
    let numbers: Vec<f32> = targets.to_dtype(DType::F32)?.flatten_all()?.to_vec1()?;
    match numbers.into_iter().find(|number| !fits(*number)) {
        Some(number) => candle_core::bail!("{name}: a target is {number}, and must be {needed}"),
        None => Ok(()),
    }
}
