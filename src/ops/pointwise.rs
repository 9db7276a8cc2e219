//! Functions that are applied to every element, or to each pair of two tensors' elements.

use candle_core::{CpuStorage, CustomOp1, CustomOp2, Layout, Result, Shape, Tensor};

use super::cpu::{self, Reading, map, with_float, zip};
use super::math::Real;
use super::tape::{apply1, apply2};

/// `max(x, 0)`, with gradient 0 at 0 as in PyTorch; Candle's own has 1 there.
///
/// # Errors
/// When the device fails.
pub fn relu(x: &Tensor) -> Result<Tensor> {
    apply::<Relu>(x)
}

/// `ln(1 + exp(x))`, computed as `max(x, 0) + ln(1 + exp(-|x|))`, which neither overflows nor loses the tail.
///
/// # Errors
/// When the device fails.
pub fn softplus(x: &Tensor) -> Result<Tensor> {
    apply::<Softplus>(x)
}

/// `x Φ(x)` with the distribution function of the standard normal distribution, as `torch.nn.GELU`: Hendrycks and
/// Gimpel, "Gaussian error linear units", 2016.
///
/// # Errors
/// When the device fails.
pub fn gelu(x: &Tensor) -> Result<Tensor> {
    apply::<Gelu>(x)
}

/// The approximation `x/2 (1 + tanh(√(2/π) (x + 0.044715 x³)))` of [`gelu`] from the same paper, which GPT-2 uses:
/// `torch.nn.GELU(approximate="tanh")`. Computed as `x` times the sigmoid of twice the argument, which is the same.
///
/// # Errors
/// When the device fails.
pub fn gelu_tanh(x: &Tensor) -> Result<Tensor> {
    apply::<GeluTanh>(x)
}

/// `x / (1 + exp(-x))`, as `torch.nn.SiLU`: Elfwing, Uchibe and Doya, Neural Networks 2018.
///
/// # Errors
/// When the device fails.
pub fn silu(x: &Tensor) -> Result<Tensor> {
    apply::<Silu>(x)
}

/// `silu(gate) * up`, the gated unit of Shazeer, "GLU variants improve transformer", 2020, equation 6.
///
/// # Errors
/// When the shapes differ or the device fails.
pub fn swiglu(gate: &Tensor, up: &Tensor) -> Result<Tensor> {
    if is_elementwise(gate, up) {
        return apply2(&gate.contiguous()?, &up.contiguous()?, SwiGlu);
    }
    Silu::composed(gate)? * up
}

/// `a + b`, both of one shape.
///
/// # Errors
/// When the shapes differ or the device fails.
pub fn add(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    if is_elementwise(a, b) { apply2(&a.contiguous()?, &b.contiguous()?, Add) } else { a + b }
}

/// [`add`] without a gradient.
pub(super) fn sum(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    if is_elementwise(a, b) { a.contiguous()?.apply_op2_no_bwd(&b.contiguous()?, &Add) } else { a + b }
}

/// Whether two tensors are worked on element by element here.
fn is_elementwise(a: &Tensor, b: &Tensor) -> bool {
    cpu::is_fused(a) && a.dims() == b.dims() && a.dtype() == b.dtype()
}

/// `max(x, 0)`, written so that a NaN stays one: `max` would turn it into 0 and hide that a run has diverged.
#[inline(always)]
pub(super) fn rectified<T: Real>(x: T) -> T {
    if x <= T::zero() { T::zero() } else { x }
}

/// The gradient `g` that passes through [`rectified`] with the result `y`.
#[inline(always)]
pub(super) fn passed<T: Real>(y: T, g: T) -> T {
    if y <= T::zero() { T::zero() } else { g }
}

/// A function of one number and its derivative.
trait Pointwise: Default + Send + Sync + 'static {
    const NAME: &'static str;
    fn value<T: Real>(x: T) -> T;
    fn derivative<T: Real>(x: T) -> T;
    /// The value from tensor operations that every device has, with the same gradient.
    fn composed(x: &Tensor) -> Result<Tensor>;
}

#[derive(Default)]
struct Relu;

impl Pointwise for Relu {
    const NAME: &'static str = "relu";

    #[inline(always)]
    fn value<T: Real>(x: T) -> T {
        rectified(x)
    }

    #[inline(always)]
    fn derivative<T: Real>(x: T) -> T {
        if x <= T::zero() { T::zero() } else { T::one() }
    }

    fn composed(x: &Tensor) -> Result<Tensor> {
        // A product with 0 would make a NaN of what is infinite; and what is NaN stays so.
        x.le(0f64)?.where_cond(&x.zeros_like()?, x)
    }
}

#[derive(Default)]
struct Softplus;

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

    fn composed(x: &Tensor) -> Result<Tensor> {
        x.relu()? + ((x.abs()?.neg()?.exp()? + 1.0)?).log()?
    }
}

#[derive(Default)]
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

    fn composed(x: &Tensor) -> Result<Tensor> {
        x.gelu_erf()
    }
}

#[derive(Default)]
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

    fn composed(x: &Tensor) -> Result<Tensor> {
        x.gelu()
    }
}

#[derive(Default)]
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

    fn composed(x: &Tensor) -> Result<Tensor> {
        x.silu()
    }
}

fn apply<F: Pointwise>(x: &Tensor) -> Result<Tensor> {
    if cpu::is_fused(x) { apply1(&x.contiguous()?, Apply(F::default())) } else { F::composed(x) }
}

struct Apply<F>(F);

impl<F: Pointwise> CustomOp1 for Apply<F> {
    fn name(&self) -> &'static str {
        F::NAME
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        with_float!(F::NAME, cpu::dtype(x), T => {
            let y = map(cpu::elements::<T>(x, layout)?, F::value);
            Ok((cpu::storage(y), layout.shape().clone()))
        })
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, gradient: &Tensor) -> Result<Option<Tensor>> {
        let gradient = gradient.contiguous()?;
        with_float!(F::NAME, x.dtype(), T => {
            let (read_x, read_g) = (Reading::of(x), Reading::of(&gradient));
            let result = zip(read_x.elements::<T>()?, read_g.elements()?, |x, g| g * F::derivative(x));
            cpu::tensor(result, x).map(Some)
        })
    }
}

/// Candle's own sum runs on one thread.
struct Add;

impl CustomOp2 for Add {
    fn name(&self) -> &'static str {
        "add"
    }

    fn cpu_fwd(&self, a: &CpuStorage, al: &Layout, b: &CpuStorage, bl: &Layout) -> Result<(CpuStorage, Shape)> {
        with_float!("add", cpu::dtype(a), T => {
            let sum = zip(cpu::elements::<T>(a, al)?, cpu::elements(b, bl)?, |a, b| a + b);
            Ok((cpu::storage(sum), al.shape().clone()))
        })
    }

    fn bwd(&self, _: &Tensor, _: &Tensor, _: &Tensor, gradient: &Tensor) -> Result<(Option<Tensor>, Option<Tensor>)> {
        Ok((Some(gradient.clone()), Some(gradient.clone())))
    }
}

struct SwiGlu;

impl CustomOp2 for SwiGlu {
    fn name(&self) -> &'static str {
        "swiglu"
    }

    fn cpu_fwd(&self, gate: &CpuStorage, gl: &Layout, up: &CpuStorage, ul: &Layout) -> Result<(CpuStorage, Shape)> {
        with_float!("swiglu", cpu::dtype(gate), T => {
            let (gate, up) = (cpu::elements::<T>(gate, gl)?, cpu::elements(up, ul)?);
            let y = zip(gate, up, |gate, up| Silu::value(gate) * up);
            Ok((cpu::storage(y), gl.shape().clone()))
        })
    }

    fn bwd(
        &self,
        gate: &Tensor,
        up: &Tensor,
        _: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let gradient = gradient.contiguous()?;
        with_float!("swiglu", gate.dtype(), T => {
            let (read_gate, read_up, read_g) = (Reading::of(gate), Reading::of(up), Reading::of(&gradient));
            let (gates, ups, g) = (read_gate.elements::<T>()?, read_up.elements::<T>()?, read_g.elements::<T>()?);
            let slopes = zip(gates, g, |gate, g| g * Silu::derivative(gate));
            let of_gate = cpu::tensor(zip(&slopes, ups, |slope, up| slope * up), gate)?;
            let of_up = cpu::tensor(zip(gates, g, |gate, g| g * Silu::value(gate)), up)?;
            Ok((Some(of_gate), Some(of_up)))
        })
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Var};

    use super::*;
    use crate::ops::testing::{Reference, assert_gradients, numbers};

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

    /// Central differences in f64 with a step of 1e-6 are good to about 1e-10; 1e-8 leaves room.
    #[test]
    fn gradients_agree_with_finite_differences() {
        let x: Vec<f64> = (-20..20).map(|i| f64::from(i) * 0.3 + 0.05).collect();
        for f in [relu, softplus, gelu, gelu_tanh, silu] {
            let (_, gradient) = value_and_gradient(f, &x);
            for (x, gradient) in x.iter().zip(gradient) {
                let at = |x: f64| f(&Tensor::new(&[x], &Device::Cpu).unwrap()).unwrap().to_vec1::<f64>().unwrap()[0];
                assert!(((at(x + 1e-6) - at(x - 1e-6)) / 2e-6 - gradient).abs() < 1e-8, "at {x}");
            }
        }
    }

    /// The gradients of Candle's own forms of GELU have constants of six digits: 1e-5 for numbers of up to 14.
    #[test]
    fn the_composed_forms_agree_with_the_fused_ones() {
        type Form = fn(&Tensor) -> Result<Tensor>;
        let x: Vec<f64> = (-20..20).map(|i| f64::from(i) * 0.7 + 0.1).collect();
        let forms: [(Form, Form); 5] = [
            (relu, Relu::composed),
            (softplus, Softplus::composed),
            (gelu, Gelu::composed),
            (gelu_tanh, GeluTanh::composed),
            (silu, Silu::composed),
        ];
        for (fused, composed) in forms {
            let ((value, gradient), (other, other_gradient)) =
                (value_and_gradient(fused, &x), value_and_gradient(composed, &x));
            let close = |a: &[f64], b: &[f64]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-5);
            assert!(close(&value, &other) && close(&gradient, &other_gradient), "{value:?} {other:?}");
        }
    }

    #[test]
    fn relu_in_its_composed_form_is_the_fused_one_at_zero_and_at_both_infinities() {
        let x = [f64::NEG_INFINITY, -0.0, 0.0, f64::INFINITY];
        assert_eq!(value_and_gradient(Relu::composed, &x), value_and_gradient(relu, &x));
        assert_eq!(value_and_gradient(relu, &x).1, [0.0, 0.0, 0.0, 1.0]);
        assert!(value_and_gradient(Relu::composed, &[f64::NAN]).0[0].is_nan());
    }

    #[test]
    fn the_gradients_of_swiglu_agree_with_finite_differences() {
        let (gate, up) = (numbers(&[3, 5], 1), numbers(&[3, 5], 2));
        assert_gradients(&[&gate, &up], |x| swiglu(&x[0], &x[1]));
    }

    #[test]
    fn the_gradient_of_a_sum_is_that_of_both() {
        let (a, b) = (numbers(&[3, 5], 1), numbers(&[3, 5], 2));
        assert_gradients(&[&a, &b], |x| add(&x[0], &add(&x[1], &x[0])?));
        assert!(add(&a, &numbers(&[5, 3], 2)).is_err());
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
