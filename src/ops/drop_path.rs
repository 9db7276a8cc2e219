//! Stochastic depth: whole rows of a residual branch are dropped, as a function of the step. Huang et al., "Deep networks
//! with stochastic depth", ECCV 2016.

mod cuda;

use candle_core::{DType, Device, Result, Shape, Tensor};

use super::dropout::Mask;
use super::op::{DeviceKernel, Op, apply};
use super::operand::{Gradient, Operand};
use crate::cpu::Real;
use crate::cuda::Place;
use crate::rng::StepRng;

/// Sets each row of `x`, a residual branch, to zero with probability `p`, and divides the others by `1 - p`, as
/// `timm.layers.drop_path` does; the paper multiplies by `1 - p` in evaluations instead. A row is what belongs to one
/// number of the first dimension.
///
/// Which rows depends only on `(seed, purpose, step, row)`; it is the same on every device, and the backward pass
/// computes it again. `p` is in `[0, 1)`; with 0 the input is returned unchanged.
///
/// # Errors
/// When `x` has no dimension, or the device fails.
pub fn drop_path(x: &Tensor, p: f64, draws: &StepRng, purpose: &str) -> Result<Tensor> {
    match Mask::new(p, draws, purpose) {
        Some(mask) => apply(DropPath(mask), &[x]),
        None => Ok(x.clone()),
    }
}

/// A mask of rows instead of elements.
struct DropPath(Mask);

impl DropPath {
    fn apply<T: Real>(&self, x: Operand<'_, T>) -> Vec<T> {
        let rows = x.dims().first().copied().unwrap_or(1);
        let mut result = x.elements.to_vec();
        let length = (result.len() / rows.max(1)).max(1);
        for (row, factor) in result.chunks_mut(length).zip(self.0.factors::<T>(rows)) {
            // Not a product with 0, which would turn an infinity into a NaN and leave a sign on zero.
            match factor.is_zero() {
                true => row.fill(T::zero()),
                false => row.iter_mut().for_each(|x| *x *= factor),
            }
        }
        result
    }
}

impl Op for DropPath {
    fn name(&self) -> &'static str {
        "drop_path"
    }

    fn shape(&self, inputs: &[&Tensor]) -> Result<Shape> {
        // Refuses a scalar.
        inputs[0].dim(0)?;
        Ok(inputs[0].shape().clone())
    }

    fn forward<T: Real>(&self, inputs: &[Operand<'_, T>]) -> Result<Vec<T>> {
        Ok(self.apply(inputs[0]))
    }

    /// It is linear in its input: its gradient is the same mask applied to the gradient.
    fn backward<T: Real>(
        &self,
        inputs: &[Operand<'_, T>],
        _: Operand<'_, T>,
        dy: Operand<'_, T>,
    ) -> Result<Vec<Gradient<T>>> {
        Ok(vec![Gradient::of(inputs[0], || self.apply(dy))])
    }

    fn reference(&self, inputs: &[&Tensor]) -> Result<Tensor> {
        let x = inputs[0];
        let rows = x.dim(0)?;
        let mut shape = vec![1; x.rank()];
        shape[0] = rows;
        let factors = Tensor::from_vec(self.0.factors::<f32>(rows), shape, x.device())?;
        x.broadcast_mul(&factors.to_dtype(x.dtype())?)
    }

    fn device_kernel(&self, device: &Device, dtype: DType) -> Option<&dyn DeviceKernel> {
        Place::has_kernels(device, dtype).then_some(self)
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device, Var};

    use super::*;
    use crate::ops::Tape;
    use crate::ops::testing::{check, numbers};

    const ROWS: usize = 40_000;

    fn ones(shape: (usize, usize)) -> Var {
        Var::ones(shape, DType::F32, &Device::Cpu).unwrap()
    }

    fn dropped(step: u64, purpose: &str) -> Vec<Vec<f32>> {
        drop_path(&ones((ROWS, 3)), 0.3, &StepRng::at(1, step), purpose).unwrap().to_vec2().unwrap()
    }

    /// 40,000 draws at p = 0.3: five standard errors are 0.0115.
    #[test]
    fn whole_rows_are_dropped_with_probability_p_and_the_mean_is_kept() {
        let rows = dropped(0, "a");
        assert!(rows.iter().all(|row| *row == [0.0; 3] || *row == [1.0 / 0.7; 3]));
        let share = rows.iter().filter(|row| row[0] == 0.0).count() as f64 / ROWS as f64;
        assert!((share - 0.3).abs() < 0.0115, "{share}");
    }

    #[test]
    fn the_rows_depend_on_step_and_purpose_alone() {
        assert_eq!(dropped(3, "a"), dropped(3, "a"));
        assert_ne!(dropped(3, "a"), dropped(4, "a"));
        assert_ne!(dropped(3, "a"), dropped(3, "b"));
        let x = ones((2, 2));
        assert_eq!(drop_path(&x, 0.0, &StepRng::at(1, 3), "a").unwrap().id(), x.id());
    }

    #[test]
    fn the_kernel_has_the_values_and_gradients_of_the_reference() {
        let operation = || DropPath(Mask::new(0.4, &StepRng::at(9, 2), "a").unwrap());
        let x = Var::from_vec((0..96).map(|i| (i as f32).sin()).collect(), (8, 4, 3), &Device::Cpu).unwrap();
        let values = |y: &Tensor| y.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        let gradients = |y: &Tensor| {
            let loss = y.sqr().unwrap().sum_all().unwrap();
            values(loss.backward().unwrap().get(&x).unwrap())
        };
        let (kernel, reference) = (apply(operation(), &[&x]).unwrap(), operation().reference(&[&x]).unwrap());
        assert_eq!(values(&kernel), values(&reference));
        assert_eq!(gradients(&kernel), gradients(&reference));
        let half = Var::from_tensor(&x.to_dtype(DType::BF16).unwrap()).unwrap();
        let rounded = apply(operation(), &[&half]).unwrap().to_dtype(DType::F32).unwrap();
        let dropped = |y: &Tensor| values(y).iter().map(|y| *y == 0.0).collect::<Vec<_>>();
        assert_eq!(dropped(&rounded), dropped(&kernel));
    }

    /// The reference has its factors in f32.
    #[test]
    fn every_kernel_has_the_gradients_of_the_reference() {
        for (shape, p) in [([6, 2, 3], 0.4), ([5, 1, 1], 0.2), ([3, 7, 11], 0.5)] {
            check(DropPath(Mask::new(p, &StepRng::at(3, 5), "a").unwrap()), &[&numbers(&shape, 1)], 1e-6);
        }
    }

    #[test]
    fn it_is_on_the_tape_and_a_dropped_infinity_is_a_zero() {
        let x = Var::from_vec(vec![f32::INFINITY; 64], (64, 1), &Device::Cpu).unwrap();
        let (y, tape) = Tape::record(|| drop_path(&x, 0.5, &StepRng::at(0, 0), "a").unwrap());
        assert!(tape.covers(&y));
        let y = y.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        assert!(y.contains(&0.0) && y.contains(&f32::INFINITY) && !y.iter().any(|y| y.is_nan()));
        assert!(drop_path(&Tensor::new(1f32, &Device::Cpu).unwrap(), 0.5, &StepRng::at(0, 0), "a").is_err());
    }
}
