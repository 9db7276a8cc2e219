//! Functions applied to every element, or to pairs of elements of two tensors.

mod cuda;
mod pairs;

use candle_core::{DType, Device, Result, Shape, Tensor};

use super::op::{DeviceKernel, Op, apply};
use super::operand::{Gradient, Operand};
use crate::cpu::{Half, Real, map, zip};
use crate::cuda::Place;
pub(super) use cuda::{map_on_gpu, through_relu};
pub(super) use pairs::shape_of_both;
use pairs::{Add, SwiGlu};

/// `max(x, 0)`, with gradient 0 at 0 as in PyTorch; Candle's own has 1 there.
///
/// # Errors
/// When the device fails.
pub fn relu(x: &Tensor) -> Result<Tensor> {
    apply(Elementwise(Relu), &[x])
}

/// The hyperbolic tangent.
///
/// # Errors
/// When the device fails.
pub fn tanh(x: &Tensor) -> Result<Tensor> {
    apply(Elementwise(Tanh), &[x])
}

/// `ln(1 + exp(x))`, computed as `max(x, 0) + ln(1 + exp(-|x|))`, which neither overflows nor loses the tail.
///
/// # Errors
/// When the device fails.
pub fn softplus(x: &Tensor) -> Result<Tensor> {
    apply(Elementwise(Softplus), &[x])
}

/// `x Φ(x)` with the distribution function of the standard normal distribution, as `torch.nn.GELU`: Hendrycks and
/// Gimpel, "Gaussian error linear units", 2016.
///
/// # Errors
/// When the device fails.
pub fn gelu(x: &Tensor) -> Result<Tensor> {
    apply(Elementwise(Gelu), &[x])
}

/// The approximation `x/2 (1 + tanh(√(2/π) (x + 0.044715 x³)))` of [`gelu`] from the same paper, which GPT-2 uses:
/// `torch.nn.GELU(approximate="tanh")`. Computed as `x` times the sigmoid of twice the argument, which is the same.
///
/// # Errors
/// When the device fails.
pub fn gelu_tanh(x: &Tensor) -> Result<Tensor> {
    apply(Elementwise(GeluTanh), &[x])
}

/// `x / (1 + exp(-x))`, as `torch.nn.SiLU`: Elfwing, Uchibe and Doya, Neural Networks 2018.
///
/// # Errors
/// When the device fails.
pub fn silu(x: &Tensor) -> Result<Tensor> {
    apply(Elementwise(Silu), &[x])
}

/// `silu(gate) * up`, the gated unit of Shazeer, "GLU variants improve transformer", 2020, equation 6.
///
/// # Errors
/// When the shapes differ or the device fails.
pub fn swiglu(gate: &Tensor, up: &Tensor) -> Result<Tensor> {
    apply(SwiGlu, &[gate, up])
}

/// `a + b`, both of one shape.
///
/// # Errors
/// When the shapes differ or the device fails.
pub fn add(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    apply(Add, &[a, b])
}

/// `max(x, 0)` that preserves NaN: `max` would turn it into 0 and hide that a run has diverged.
#[inline(always)]
pub(super) fn relu_value<T: Real>(x: T) -> T {
    if x <= T::zero() { T::zero() } else { x }
}

/// Returns the gradient of [`relu_value`], given its result `y` and the gradient `g` of the result.
#[inline(always)]
pub(super) fn relu_grad<T: Real>(y: T, g: T) -> T {
    if y <= T::zero() { T::zero() } else { g }
}

/// A function of one number and its derivative.
pub(super) trait Pointwise: Send + Sync + 'static {
    const NAME: &'static str;
    fn value<T: Real>(x: T) -> T;
    fn derivative<T: Real>(x: T) -> T;
    /// Computes the value with Candle operations, with the same gradient.
    fn reference(x: &Tensor) -> Result<Tensor>;
}

struct Relu;

impl Pointwise for Relu {
    const NAME: &'static str = "relu";

    #[inline(always)]
    fn value<T: Real>(x: T) -> T {
        relu_value(x)
    }

    #[inline(always)]
    fn derivative<T: Real>(x: T) -> T {
        if x <= T::zero() { T::zero() } else { T::one() }
    }

    fn reference(x: &Tensor) -> Result<Tensor> {
        // A product with 0 would turn infinity into NaN. NaN is preserved.
        x.le(0f64)?.where_cond(&x.zeros_like()?, x)
    }
}

struct Tanh;

impl Pointwise for Tanh {
    const NAME: &'static str = "tanh";

    #[inline(always)]
    fn value<T: Real>(x: T) -> T {
        x.hyperbolic_tangent()
    }

    #[inline(always)]
    fn derivative<T: Real>(x: T) -> T {
        let y = x.hyperbolic_tangent();
        T::one() - y * y
    }

    fn reference(x: &Tensor) -> Result<Tensor> {
        x.tanh()
    }
}

pub(super) struct Softplus;

impl Pointwise for Softplus {
    const NAME: &'static str = "softplus";

    #[inline(always)]
    fn value<T: Real>(x: T) -> T {
        num_traits::Float::max(x, T::zero()) + (-x.abs()).exp().ln_1p()
    }

    #[inline(always)]
    fn derivative<T: Real>(x: T) -> T {
        let tail = (-x.abs()).exp();
        (if x < T::zero() { tail } else { T::one() }) / (T::one() + tail)
    }

    fn reference(x: &Tensor) -> Result<Tensor> {
        x.relu()? + ((x.abs()?.neg()?.exp()? + 1.0)?).log()?
    }
}

struct Gelu;

impl Pointwise for Gelu {
    const NAME: &'static str = "gelu";

    #[inline(always)]
    fn value<T: Real>(x: T) -> T {
        x * x.normal().0
    }

    #[inline(always)]
    fn derivative<T: Real>(x: T) -> T {
        let (distribution, density) = x.normal();
        distribution + x * density
    }

    fn reference(x: &Tensor) -> Result<Tensor> {
        x.gelu_erf()
    }
}

struct GeluTanh;

impl GeluTanh {
    /// Twice `√(2/π)`, and the same times 0.044715.
    const FACTORS: [f64; 2] = [1.595_769_121_605_730_7, 0.071_354_816_272_600_25];
}

impl Pointwise for GeluTanh {
    const NAME: &'static str = "gelu_tanh";

    #[inline(always)]
    fn value<T: Real>(x: T) -> T {
        let [linear, cubic] = Self::FACTORS.map(T::of);
        x * (x * (linear + cubic * x * x)).sigmoid()
    }

    #[inline(always)]
    fn derivative<T: Real>(x: T) -> T {
        let [linear, cubic] = Self::FACTORS.map(T::of);
        let (square, sigmoid) = (x * x, (x * (linear + cubic * x * x)).sigmoid());
        sigmoid + x * sigmoid * (T::one() - sigmoid) * (linear + T::of(3.0) * cubic * square)
    }

    fn reference(x: &Tensor) -> Result<Tensor> {
        x.gelu()
    }
}

struct Silu;

impl Pointwise for Silu {
    const NAME: &'static str = "silu";

    #[inline(always)]
    fn value<T: Real>(x: T) -> T {
        x * x.sigmoid()
    }

    #[inline(always)]
    fn derivative<T: Real>(x: T) -> T {
        let sigmoid = x.sigmoid();
        sigmoid + x * sigmoid * (T::one() - sigmoid)
    }

    fn reference(x: &Tensor) -> Result<Tensor> {
        x.silu()
    }
}

struct Elementwise<F>(F);

impl<F: Pointwise> Op for Elementwise<F> {
    fn name(&self) -> &'static str {
        F::NAME
    }

    fn shape(&self, inputs: &[&Tensor]) -> Result<Shape> {
        Ok(inputs[0].shape().clone())
    }

    fn forward<T: Real>(&self, inputs: &[Operand<'_, T>]) -> Result<Vec<T>> {
        Ok(map(inputs[0].elements, F::value))
    }

    fn backward<T: Real>(
        &self,
        inputs: &[Operand<'_, T>],
        _: Operand<'_, T>,
        dy: Operand<'_, T>,
    ) -> Result<Vec<Gradient<T>>> {
        let x = inputs[0];
        Ok(vec![Gradient::of(x, || zip(x.elements, dy.elements, |x, dy| dy * F::derivative(x)))])
    }

    fn forward_in_half<H: Half>(&self, inputs: &[Operand<'_, H>]) -> Option<Vec<H>> {
        Some(map(inputs[0].elements, |x: H| H::rounded(F::value(x.widened()))))
    }

    fn backward_in_half<H: Half>(
        &self,
        inputs: &[Operand<'_, H>],
        _: Operand<'_, H>,
        dy: Operand<'_, H>,
    ) -> Option<Vec<Gradient<H>>> {
        let dx = |x: H, dy: H| H::rounded(dy.widened() * F::derivative(x.widened()));
        Some(vec![Gradient::of(inputs[0], || zip(inputs[0].elements, dy.elements, dx))])
    }

    fn reference(&self, inputs: &[&Tensor]) -> Result<Tensor> {
        F::reference(inputs[0])
    }

    fn device_kernel(&self, device: &Device, dtype: DType) -> Option<&dyn DeviceKernel> {
        Place::has_kernels(device, dtype).then_some(self)
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Var};

    use super::*;
    use crate::ops::testing::{Reference, assert_gradients, check, numbers};

    fn value_and_gradient(f: impl Fn(&Tensor) -> Result<Tensor>, x: &[f64]) -> (Vec<f64>, Vec<f64>) {
        let x = Var::from_slice(x, x.len(), &Device::Cpu).unwrap();
        let y = f(&x).unwrap();
        let gradient = y.sum_all().unwrap().backward().unwrap().get(&x).unwrap().to_vec1().unwrap();
        (y.to_vec1().unwrap(), gradient)
    }

    #[test]
    fn the_gradient_of_relu_at_zero_is_zero() {
        let (value, gradient) = value_and_gradient(relu, &[-1.0, 0.0, 2.0]);
        assert_eq!((value, gradient), (vec![0.0, 0.0, 2.0], vec![0.0, 0.0, 1.0]));
        assert!(relu(&Tensor::new(&[f32::NAN], &Device::Cpu).unwrap()).unwrap().to_vec1::<f32>().unwrap()[0].is_nan());
    }

    #[test]
    fn softplus_is_exact_at_both_ends() {
        let (value, gradient) = value_and_gradient(softplus, &[-800.0, -40.0, 0.0, 40.0, 800.0]);
        assert_eq!(value, [0.0, (-40f64).exp(), 2f64.ln(), 40.0, 800.0]);
        assert_eq!(gradient[2], 0.5);
        assert!(gradient.iter().all(|g| (0.0..=1.0).contains(g)));
    }

    /// Candle's forms of GELU use constants with six digits, so gradients agree to 1e-5 for numbers of up to 14.
    #[test]
    fn every_function_has_its_gradient() {
        let x: Vec<f64> = (-20..20).map(|i| f64::from(i) * 0.7 + 0.05).collect();
        let x = Tensor::new(x, &Device::Cpu).unwrap();
        check(Elementwise(Relu), &[&x], 1e-14);
        check(Elementwise(Tanh), &[&x], 1e-14);
        check(Elementwise(Softplus), &[&x], 1e-13);
        check(Elementwise(Gelu), &[&x], 1e-5);
        check(Elementwise(GeluTanh), &[&x], 1e-5);
        check(Elementwise(Silu), &[&x], 1e-13);
    }

    #[test]
    fn the_reference_of_relu_is_the_kernel_at_zero_and_at_both_infinities() {
        let x = [f64::NEG_INFINITY, -0.0, 0.0, f64::INFINITY];
        assert_eq!(value_and_gradient(Relu::reference, &x), value_and_gradient(relu, &x));
        assert_eq!(value_and_gradient(relu, &x).1, [0.0, 0.0, 0.0, 1.0]);
        assert!(value_and_gradient(Relu::reference, &[f64::NAN]).0[0].is_nan());
    }

    #[test]
    fn every_function_of_two_has_its_gradients() {
        let (a, b) = (numbers(&[3, 5], 1), numbers(&[3, 5], 2));
        check(SwiGlu, &[&a, &b], 1e-13);
        check(Add, &[&a, &b], 0.0);
        assert_gradients(&[&a, &b], |x| add(&x[0], &add(&x[1], &x[0])?));
        let message = add(&a, &numbers(&[5, 3], 2)).unwrap_err().to_string();
        assert!(message.contains("[3, 5]") && message.contains("[5, 3]"), "{message}");
    }

    #[test]
    fn values_and_gradients_are_those_of_pytorch() {
        let reference = Reference::open("gpt_reference.safetensors");
        reference.assert("gelu", 1e-12, |x| gelu(&x[0]));
        reference.assert("gelu_tanh", 1e-12, |x| gelu_tanh(&x[0]));
        reference.assert("silu", 1e-12, |x| silu(&x[0]));
        reference.assert("swiglu", 1e-12, |x| swiglu(&x[0], &x[1]));
    }
}
