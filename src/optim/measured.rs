//! Gradients with their norm, which is computed with one read from a device.

use candle_core::{DType, Tensor};

use super::numbers::Numbers;
use super::squares::add_squares;
use super::{Gradients, OptimError};

/// The number that PyTorch adds to the norm before it divides by it.
pub(crate) const CLIP_EPS: f64 = 1e-6;

/// The least limit of gradients. Below it the numbers of an update in f32 lose their digits, and are soon 0.
pub(crate) const LEAST_LIMIT: f64 = f32::MIN_POSITIVE as f64;

/// The rule for limits of gradients in a configuration.
pub(crate) const LIMIT_RULE: &str = "must be positive, and at least 1.2e-38: less would be 0 in f32";

/// Gradients with a known norm, so it is also known whether they are finite. [`Gradients::measure`] computes them; an
/// update takes them.
#[derive(Debug)]
pub struct MeasuredGradients {
    gradients: Gradients,
    /// The sum of the squares of each.
    squares: Vec<f64>,
    norm: f64,
    /// The norm after the elements were limited.
    limited_norm: f64,
    scale: f64,
    /// The part of the scale that is from clipping.
    clipping: f64,
}

impl MeasuredGradients {
    /// `gradients` with their norm, and the values of `scalars`.
    pub(super) fn new(gradients: Gradients, scalars: &[Tensor]) -> Result<(Self, Vec<f64>), OptimError> {
        let count = gradients.tensors().len();
        let mut numbers = Numbers::with_capacity(count + scalars.len());
        add_squares(&mut numbers, gradients.tensors())?;
        scalars.iter().try_for_each(|scalar| numbers.push_later(scalar.clone()))?;
        let mut squares = numbers.read()?;
        let scalars = squares.split_off(count);
        let norm = squares.iter().fold(0.0, |sum, square| sum + square).sqrt();
        Ok((Self { gradients, squares, norm, limited_norm: norm, scale: 1.0, clipping: 1.0 }, scalars))
    }

    /// Returns the Euclidean norm of all gradients as one vector, before clipping. Summed in f64 in name order; on a device
    /// other than the CPU, and in half precision, the squares of one gradient are summed in f32.
    pub fn norm(&self) -> f64 {
        self.norm
    }

    /// Scales all gradients so that their norm is at most `max_norm`, as PyTorch's `clip_grad_norm_` does: by
    /// `max_norm / (norm + 1e-6)` where that is below 1. The factor is applied by the update, not by a pass here.
    ///
    /// # Errors
    /// `max_norm` is not positive: scaling by it would reverse or erase the gradients.
    pub fn clip(self, max_norm: f64) -> Result<Self, OptimError> {
        self.clip_with(max_norm, CLIP_EPS)
    }

    /// [`MeasuredGradients::clip`] with another number added to the norm. optax and Keras add 0.
    ///
    /// # Errors
    /// `max_norm` is not positive, or `eps` is negative or not finite.
    pub fn clip_with(mut self, max_norm: f64, eps: f64) -> Result<Self, OptimError> {
        if max_norm.is_nan() || max_norm <= 0.0 {
            return Err(OptimError::MaxNorm(max_norm));
        }
        if !(eps >= 0.0 && eps.is_finite()) {
            return Err(OptimError::ClipEps(eps));
        }
        // A norm of 0 without `eps` divides to infinity, and the factor is 1.
        let factor = (max_norm / (self.limited_norm + eps)).min(1.0);
        self.scale *= factor;
        self.clipping *= factor;
        Ok(self)
    }

    /// Limits each element to `-limit..=limit`, as PyTorch's `clip_grad_value_` does. Clipping then goes by the norm of
    /// what is left, and [`MeasuredGradients::norm`] is still that of before. Gradients that are not finite are left as
    /// they are, because limits would hide that. Call this after [`MeasuredGradients::unscaled`].
    ///
    /// # Errors
    /// `limit` is not positive, or the device fails.
    pub fn clip_value(mut self, limit: f64) -> Result<Self, OptimError> {
        if limit.is_nan() || limit <= 0.0 {
            return Err(OptimError::MaxNorm(limit));
        }
        if !self.norm.is_finite() {
            return Ok(self);
        }
        let stored = limit / self.scale;
        self.gradients = self.gradients.each(|_, gradient| gradient.clamp(-stored, stored))?;
        let mut numbers = Numbers::with_capacity(self.squares.len());
        add_squares(&mut numbers, self.gradients.tensors())?;
        self.squares = numbers.read()?.into_iter().map(|square| square * self.scale * self.scale).collect();
        self.limited_norm = self.squares.iter().fold(0.0, |sum, square| sum + square).sqrt();
        Ok(self)
    }

    /// Divides all gradients by `scale`, with which the loss was multiplied. Like that of clipping, the factor is
    /// applied by the update. Call this before [`MeasuredGradients::clip`].
    #[must_use]
    pub fn unscaled(mut self, scale: f64) -> Self {
        self.squares.iter_mut().for_each(|square| *square /= scale * scale);
        self.norm /= scale;
        self.limited_norm /= scale;
        self.scale /= scale;
        self
    }

    /// Checks that every gradient is finite.
    ///
    /// # Errors
    /// The parameters whose gradient is not finite.
    pub fn check_finite(&self) -> Result<(), OptimError> {
        if self.norm.is_finite() {
            return Ok(());
        }
        let bad = self.names().zip(&self.squares).filter(|(_, square)| !square.is_finite());
        Err(OptimError::NotFinite(bad.map(|(name, _)| name.to_owned()).collect()))
    }

    /// Returns the factor that an update multiplies each gradient by: that of clipping and of
    /// [`MeasuredGradients::unscaled`]; 1 without both.
    pub fn scale(&self) -> f64 {
        self.scale
    }

    /// Returns the factor of clipping alone.
    pub(super) fn clipping(&self) -> f64 {
        self.clipping
    }

    /// Returns the sum of the squares of each gradient, in name order, before clipping.
    pub(super) fn squares(&self) -> &[f64] {
        &self.squares
    }

    /// Returns the names of their parameters, in name order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.gradients.names()
    }

    /// The gradients, in name order, before clipping, and scaled as the loss was. All are contiguous.
    pub fn tensors(&self) -> &[Tensor] {
        self.gradients.tensors()
    }
}

/// Reads a tensor of one float.
pub(crate) fn to_f64(scalar: &Tensor) -> candle_core::Result<f64> {
    match scalar.dtype() {
        DType::F64 => scalar.to_scalar::<f64>(),
        _ => Ok(f64::from(scalar.to_dtype(DType::F32)?.to_scalar::<f32>()?)),
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Var};

    use super::super::numbers::READS;
    use super::*;
    use crate::cuda::{host, kernel_launches};
    use crate::parameters::Parameters;

    fn parameters(dtype: DType) -> Parameters {
        let var = |values: &[f32]| {
            Var::from_tensor(&Tensor::new(values, &Device::Cpu).unwrap().to_dtype(dtype).unwrap()).unwrap()
        };
        [("a".to_owned(), var(&[3.0])), ("b".to_owned(), var(&[2.0, -2.0]))].into_iter().collect()
    }

    /// A loss whose gradients are the parameters themselves.
    fn squares(parameters: &Parameters) -> Tensor {
        let sum = |name: &str| parameters.get(name).unwrap().sqr().unwrap().sum_all().unwrap();
        ((sum("a") + sum("b")).unwrap() * 0.5).unwrap()
    }

    fn gradients(dtype: DType) -> Gradients {
        let parameters = parameters(dtype);
        Gradients::from_loss(&squares(&parameters), &parameters).unwrap()
    }

    /// The norm of before stays the one that is logged; clipping goes by that of the limited elements.
    #[test]
    fn elements_are_limited_from_both_sides_and_then_clipped_by_the_norm_that_is_left() {
        let parameters = parameters(DType::F32);
        let gradients =
            vec![Tensor::new(&[6.0_f32], &Device::Cpu).unwrap(), Tensor::new(&[-8.0_f32, 2.0], &Device::Cpu).unwrap()];
        let measured = Gradients::of_tensors(&parameters, gradients).unwrap().measure().unwrap().unscaled(2.0);
        let limited = measured.clip_value(2.0).unwrap();
        assert_eq!(limited.norm(), 26f64.sqrt());
        assert_eq!(limited.tensors()[1].to_vec1::<f32>().unwrap(), [-4.0, 2.0]);
        assert_eq!(limited.squares(), [4.0, 5.0]);
        let clipped = limited.clip_with(1.5, 0.0).unwrap();
        assert_eq!((clipped.scale(), clipped.clipping()), (0.25, 0.5));
        let infinite = vec![
            Tensor::new(&[f32::INFINITY], &Device::Cpu).unwrap(),
            Tensor::new(&[0.0_f32, 0.0], &Device::Cpu).unwrap(),
        ];
        let measured = Gradients::of_tensors(&parameters, infinite).unwrap().measure().unwrap();
        assert!(measured.clip_value(1.0).unwrap().check_finite().is_err());
    }

    #[test]
    fn the_norm_is_that_of_all_gradients_together() {
        let gradients = gradients(DType::F32).measure().unwrap();
        assert_eq!(gradients.norm(), 17f64.sqrt());
        assert_eq!(gradients.clip(1.0).unwrap().scale(), 1.0 / (17f64.sqrt() + 1e-6));
    }

    #[test]
    fn clipping_divides_by_the_norm_alone_where_asked_to() {
        let gradients = || gradients(DType::F32).measure().unwrap();
        assert_eq!(gradients().clip_with(1.0, 0.0).unwrap().scale(), 1.0 / 17f64.sqrt());
        assert_eq!(gradients().clip_with(0.5, 2.0).unwrap().scale(), 0.5 / (17f64.sqrt() + 2.0));
        for eps in [-1e-6, f64::NAN, f64::INFINITY] {
            assert!(matches!(gradients().clip_with(1.0, eps), Err(OptimError::ClipEps(_))));
        }
    }

    #[test]
    fn clipping_leaves_short_gradients_alone() {
        assert_eq!(gradients(DType::F32).clip(5.0).unwrap().scale(), 1.0);
    }

    #[test]
    fn the_scale_of_a_loss_is_taken_out_of_the_norm_and_of_the_update() {
        let parameters = parameters(DType::F32);
        let scaled = (squares(&parameters) * 1024.0).unwrap();
        let gradients = Gradients::from_loss(&scaled, &parameters).unwrap().measure().unwrap().unscaled(1024.0);
        assert_eq!((gradients.norm(), gradients.scale()), (17f64.sqrt(), 1.0 / 1024.0));
        assert_eq!(gradients.squares, [9.0, 8.0]);
        assert_eq!(gradients.clip(1.0).unwrap().scale(), 1.0 / (17f64.sqrt() + 1e-6) / 1024.0);
    }

    #[test]
    fn a_norm_that_is_not_positive_is_refused() {
        for norm in [0.0, -1.0, f64::NAN] {
            assert!(matches!(gradients(DType::F32).clip(norm), Err(OptimError::MaxNorm(_))));
        }
    }

    /// Half precision has no slices to visit, like a device other than the CPU, and like a loss.
    #[test]
    fn all_numbers_that_are_not_in_slices_come_with_one_read() {
        let loss = |value: f64| Tensor::new(value, &Device::Cpu).unwrap();
        let half = loss(1.5).to_dtype(DType::F16).unwrap();
        for (dtype, losses) in [(DType::F16, vec![half.clone(), half]), (DType::BF16, vec![loss(0.1), loss(1.5)])] {
            READS.set(0);
            let (measured, values) = gradients(dtype).measure_with(&losses).unwrap();
            assert_eq!(measured.norm(), 17f64.sqrt());
            assert_eq!(values, if dtype == DType::F16 { [1.5, 1.5] } else { [0.1, 1.5] });
            assert_eq!(READS.get(), 1);
        }
        READS.set(0);
        assert_eq!(gradients(DType::F32).measure().unwrap().norm(), 17f64.sqrt());
        assert_eq!(READS.get(), 0);
    }

    /// By a GPU's kernels, run on the processor: two launches for those of one type, and one read.
    #[test]
    fn kernels_add_up_squares_for_one_read() {
        for dtype in [DType::F64, DType::F32, DType::BF16] {
            let (gradients, before) = (gradients(dtype), kernel_launches());
            let loss = Tensor::new(0.1f32, &Device::Cpu).unwrap().to_dtype(dtype).unwrap();
            READS.set(0);
            let (measured, losses) =
                host::with_kernels(1, || gradients.measure_with(std::slice::from_ref(&loss))).unwrap();
            assert_eq!((kernel_launches() - before, READS.get()), (2, 1));
            assert_eq!((measured.norm(), losses), (17f64.sqrt(), vec![to_f64(&loss).unwrap()]));
        }
    }

    #[test]
    fn a_gradient_that_is_not_finite_is_named() {
        for dtype in [DType::F32, DType::F16] {
            let parameters = parameters(dtype);
            let loss = (squares(&parameters) + parameters.get("b").unwrap().log().unwrap().sum_all().unwrap()).unwrap();
            parameters.get("b").unwrap().set(&Tensor::zeros(2, dtype, &Device::Cpu).unwrap()).unwrap();
            let gradients = Gradients::from_loss(&loss, &parameters).unwrap().measure().unwrap();
            assert_eq!(gradients.check_finite().unwrap_err().to_string(), "the gradient of `b` is not finite");
        }
    }
}
