//! Functions of one number, applied to every element.

use candle_core::{CpuStorage, CustomOp1, CustomOp2, Layout, Result, Shape, Tensor, bail};
use num_traits::Float;

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

/// `max(x, 0)`, written so that a NaN stays one: `max` would turn it into 0 and hide that a run has diverged.
pub(super) fn rectified<T: Float>(x: T) -> T {
    if x <= T::zero() { T::zero() } else { x }
}

/// A function of one number and its derivative.
trait Pointwise: Default + Send + Sync + 'static {
    const NAME: &'static str;
    fn value<T: Float>(x: T) -> T;
    fn derivative<T: Float>(x: T) -> T;
    /// The value from tensor operations that every device has, with the same gradient.
    fn composed(x: &Tensor) -> Result<Tensor>;
}

#[derive(Default)]
struct Relu;

impl Pointwise for Relu {
    const NAME: &'static str = "relu";

    fn value<T: Float>(x: T) -> T {
        rectified(x)
    }

    fn derivative<T: Float>(x: T) -> T {
        if x <= T::zero() { T::zero() } else { T::one() }
    }

    fn composed(x: &Tensor) -> Result<Tensor> {
        x * x.gt(0f64)?.to_dtype(x.dtype())?
    }
}

#[derive(Default)]
struct Softplus;

impl Pointwise for Softplus {
    const NAME: &'static str = "softplus";

    fn value<T: Float>(x: T) -> T {
        x.max(T::zero()) + (-x.abs()).exp().ln_1p()
    }

    fn derivative<T: Float>(x: T) -> T {
        let tail = (-x.abs()).exp();
        (if x < T::zero() { tail } else { T::one() }) / (T::one() + tail)
    }

    fn composed(x: &Tensor) -> Result<Tensor> {
        x.relu()? + ((x.abs()?.neg()?.exp()? + 1.0)?).log()?
    }
}

fn apply<F: Pointwise>(x: &Tensor) -> Result<Tensor> {
    if x.device().is_cpu() { x.contiguous()?.apply_op1(Apply(F::default())) } else { F::composed(x) }
}

struct Apply<F>(F);

impl<F: Pointwise> CustomOp1 for Apply<F> {
    fn name(&self) -> &'static str {
        F::NAME
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let Some((start, end)) = layout.contiguous_offsets() else { bail!("{}: not contiguous", F::NAME) };
        let result = match storage {
            CpuStorage::F32(x) => CpuStorage::F32(super::map(&x[start..end], |_, x| F::value(x))),
            CpuStorage::F64(x) => CpuStorage::F64(super::map(&x[start..end], |_, x| F::value(x))),
            _ => bail!("{} needs f32 or f64", F::NAME),
        };
        Ok((result, layout.shape().clone()))
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, gradient: &Tensor) -> Result<Option<Tensor>> {
        Ok(Some(x.contiguous()?.apply_op2_no_bwd(&gradient.contiguous()?, &Backward(std::marker::PhantomData::<F>))?))
    }
}

/// The derivative at the first operand times the second.
struct Backward<F>(std::marker::PhantomData<F>);

impl<F: Pointwise> CustomOp2 for Backward<F> {
    fn name(&self) -> &'static str {
        F::NAME
    }

    fn cpu_fwd(&self, x: &CpuStorage, xl: &Layout, g: &CpuStorage, gl: &Layout) -> Result<(CpuStorage, Shape)> {
        let (Some((xs, xe)), Some((gs, ge))) = (xl.contiguous_offsets(), gl.contiguous_offsets()) else {
            bail!("{}: not contiguous", F::NAME)
        };
        let result = match (x, g) {
            (CpuStorage::F32(x), CpuStorage::F32(g)) => CpuStorage::F32(chain::<F, f32>(&x[xs..xe], &g[gs..ge])),
            (CpuStorage::F64(x), CpuStorage::F64(g)) => CpuStorage::F64(chain::<F, f64>(&x[xs..xe], &g[gs..ge])),
            _ => bail!("{} needs f32 or f64", F::NAME),
        };
        Ok((result, xl.shape().clone()))
    }
}

fn chain<F: Pointwise, T: Float + Send + Sync>(x: &[T], gradient: &[T]) -> Vec<T> {
    super::map(gradient, |i, g| g * F::derivative(x[i]))
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Var};

    use super::*;

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
        for f in [relu, softplus] {
            let (_, gradient) = value_and_gradient(f, &x);
            for (x, gradient) in x.iter().zip(gradient) {
                let at = |x: f64| f(&Tensor::new(&[x], &Device::Cpu).unwrap()).unwrap().to_vec1::<f64>().unwrap()[0];
                assert!(((at(x + 1e-6) - at(x - 1e-6)) / 2e-6 - gradient).abs() < 1e-8, "at {x}");
            }
        }
    }

    #[test]
    fn the_composed_forms_agree_with_the_fused_ones() {
        let x: Vec<f64> = (-20..20).map(|i| f64::from(i) * 0.7 + 0.1).collect();
        let pairs = [(value_and_gradient(relu, &x), value_and_gradient(Relu::composed, &x))];
        for ((value, gradient), (other_value, other_gradient)) in
            pairs.into_iter().chain([(value_and_gradient(softplus, &x), value_and_gradient(Softplus::composed, &x))])
        {
            let close = |a: &[f64], b: &[f64]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-12);
            assert!(close(&value, &other_value) && close(&gradient, &other_gradient));
        }
    }
}
