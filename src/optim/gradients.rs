//! Gradients by parameter, checked to be complete, and their global norm.

use std::borrow::Borrow;

use candle_core::backprop::GradStore;
use candle_core::{DType, Tensor};

use super::{OptimError, in_place};
use crate::ops::Tape;
use crate::parameters::Parameters;

/// One gradient per parameter, in name order, with the norm of all of them together.
#[derive(Debug)]
pub struct Gradients {
    names: Vec<String>,
    tensors: Vec<Tensor>,
    norm: f64,
    scale: f64,
}

impl Gradients {
    /// Back-propagates `loss`, a scalar, to `parameters`.
    ///
    /// # Errors
    /// Names the parameters that no gradient reached: several of Candle's operations have no backward pass and
    /// lose it silently.
    pub fn of(loss: &Tensor, parameters: &Parameters) -> Result<Self, OptimError> {
        Self::from_store(&loss.backward()?, parameters)
    }

    /// As [`Gradients::of`], for less: back-propagates `scale * loss` along the operations on `tape`, where these are
    /// all that led to `loss`. Where others did too, Candle's graph has them.
    ///
    /// A `loss` that is given away, and not lent, lets the activations go while the gradients are made, which takes less
    /// memory.
    ///
    /// # Errors
    /// As [`Gradients::of`].
    pub fn along<L: Borrow<Tensor>>(
        tape: Tape,
        loss: L,
        scale: f64,
        parameters: &Parameters,
    ) -> Result<Self, OptimError> {
        let start: &Tensor = loss.borrow();
        if tape.covers(start) {
            let start = Tensor::full(scale, start.shape(), start.device())?.to_dtype(start.dtype())?;
            let found = tape.walk(loss, start)?;
            return Self::collect(|parameter| found.get(&parameter.id()), named(parameters));
        }
        // Candle makes the gradients along its graph, so the tape need not hold the activations as well.
        drop(tape);
        if scale == 1.0 { Self::of(start, parameters) } else { Self::of(&(start * scale)?, parameters) }
    }

    /// Takes the gradients of `parameters` from the result of a backward pass.
    ///
    /// # Errors
    /// As [`Gradients::of`].
    pub fn from_store(store: &GradStore, parameters: &Parameters) -> Result<Self, OptimError> {
        Self::collect(|parameter| store.get(parameter), named(parameters))
    }

    pub(super) fn collect<'a>(
        find: impl Fn(&Tensor) -> Option<&'a Tensor>,
        parameters: impl Iterator<Item = (&'a str, &'a Tensor)>,
    ) -> Result<Self, OptimError> {
        let (mut names, mut tensors, mut missing) = (Vec::new(), Vec::new(), Vec::new());
        for (name, parameter) in parameters {
            match find(parameter) {
                Some(gradient) => {
                    names.push(name.to_owned());
                    tensors.push(gradient.contiguous()?);
                }
                None => missing.push(name.to_owned()),
            }
        }
        if !missing.is_empty() {
            return Err(OptimError::NoGradient(missing));
        }
        Self::from_tensors(names, tensors)
    }

    fn from_tensors(names: Vec<String>, tensors: Vec<Tensor>) -> Result<Self, OptimError> {
        let mut squares = 0.0;
        for tensor in &tensors {
            squares += sum_of_squares(tensor)?;
        }
        Ok(Self { names, tensors, norm: squares.sqrt(), scale: 1.0 })
    }

    /// The sum of these and `others`, which are of the same parameters: what one backward pass over the sum of both
    /// losses would give. Neither may be clipped yet.
    ///
    /// # Errors
    /// When they are of other parameters, or the device fails.
    pub fn plus(self, others: &Self) -> Result<Self, OptimError> {
        if self.names != others.names {
            return Err(OptimError::OtherParameters { own: self.names, given: others.names.clone() });
        }
        let sums = self.tensors.iter().zip(&others.tensors).map(|(one, other)| one + other);
        Self::from_tensors(self.names, sums.collect::<candle_core::Result<_>>()?)
    }

    /// The Euclidean norm of all gradients as one vector, before clipping. Summed in f64 in name order.
    pub fn norm(&self) -> f64 {
        self.norm
    }

    /// Scales all gradients so that their norm is at most `max_norm`, as PyTorch's `clip_grad_norm_` does: by
    /// `max_norm / (norm + 1e-6)` where that is below 1. The factor is applied by the update, not by a pass here.
    ///
    /// # Errors
    /// `max_norm` is not positive: scaling by it would reverse or erase the gradients.
    pub fn clip(mut self, max_norm: f64) -> Result<Self, OptimError> {
        if max_norm.is_nan() || max_norm <= 0.0 {
            return Err(OptimError::MaxNorm(max_norm));
        }
        self.scale = (max_norm / (self.norm + 1e-6)).min(1.0);
        Ok(self)
    }

    /// Checks that every gradient is finite.
    ///
    /// # Errors
    /// The parameters whose gradient is not finite.
    pub fn check_finite(&self) -> Result<(), OptimError> {
        if self.norm.is_finite() {
            return Ok(());
        }
        let mut bad = Vec::new();
        for (name, tensor) in self.names.iter().zip(&self.tensors) {
            if !sum_of_squares(tensor)?.is_finite() {
                bad.push(name.clone());
            }
        }
        Err(OptimError::NotFinite(bad))
    }

    /// Returns the factor of clipping; 1 without clipping.
    pub(super) fn scale(&self) -> f64 {
        self.scale
    }

    /// Returns the names of their parameters, in name order.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(String::as_str)
    }

    /// Returns the gradients, in name order.
    pub(super) fn tensors(&self) -> &[Tensor] {
        &self.tensors
    }
}

fn named(parameters: &Parameters) -> impl Iterator<Item = (&str, &Tensor)> {
    parameters.iter().map(|(name, var)| (name, var.as_tensor()))
}

fn sum_of_squares(tensor: &Tensor) -> Result<f64, OptimError> {
    Ok(match tensor.dtype() {
        DType::F32 if in_place::is_sliceable(tensor) => in_place::read::<f32, _>(tensor, sum)?,
        DType::F64 if in_place::is_sliceable(tensor) => in_place::read::<f64, _>(tensor, sum)?,
        DType::F64 => tensor.sqr()?.sum_all()?.to_scalar::<f64>()?,
        _ => f64::from(tensor.to_dtype(DType::F32)?.sqr()?.sum_all()?.to_scalar::<f32>()?),
    })
}

fn sum<T: candle_core::WithDType>(elements: &[T]) -> candle_core::Result<f64> {
    Ok(in_place::sum_of_squares(elements))
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Var};

    use super::*;

    fn parameters() -> Parameters {
        let var = |values: &[f32]| Var::from_slice(values, values.len(), &Device::Cpu).unwrap();
        [("a".to_owned(), var(&[3.0])), ("b".to_owned(), var(&[2.0, -2.0]))].into_iter().collect()
    }

    fn squares(parameters: &Parameters) -> Tensor {
        let sum = |name: &str| parameters.get(name).unwrap().sqr().unwrap().sum_all().unwrap();
        ((sum("a") + sum("b")).unwrap() * 0.5).unwrap()
    }

    #[test]
    fn the_norm_is_that_of_all_gradients_together() {
        let parameters = parameters();
        let gradients = Gradients::of(&squares(&parameters), &parameters).unwrap();
        assert_eq!(gradients.norm(), 17f64.sqrt());
        assert_eq!(gradients.clip(1.0).unwrap().scale(), 1.0 / (17f64.sqrt() + 1e-6));
    }

    #[test]
    fn clipping_leaves_short_gradients_alone() {
        let parameters = parameters();
        assert_eq!(Gradients::of(&squares(&parameters), &parameters).unwrap().clip(5.0).unwrap().scale(), 1.0);
    }

    #[test]
    fn a_norm_that_is_not_positive_is_refused() {
        let parameters = parameters();
        for norm in [0.0, -1.0, f64::NAN] {
            let gradients = Gradients::of(&squares(&parameters), &parameters).unwrap();
            assert!(matches!(gradients.clip(norm), Err(OptimError::MaxNorm(_))));
        }
    }

    #[test]
    fn a_parameter_without_a_gradient_is_named() {
        let parameters = parameters();
        let loss = parameters.get("a").unwrap().sum_all().unwrap();
        let message = Gradients::of(&loss, &parameters).unwrap_err().to_string();
        assert!(message.starts_with("no gradient reached `b`:"), "{message}");
    }

    /// Candle's softmax over the last dimension has no backward pass; without the check training would not change `a`.
    #[test]
    fn an_operation_that_loses_gradients_is_noticed() {
        let parameters = parameters();
        let softmax = candle_nn::ops::softmax_last_dim(parameters.get("a").unwrap()).unwrap();
        let loss = (softmax.sum_all().unwrap() + parameters.get("b").unwrap().sum_all().unwrap()).unwrap();
        assert!(matches!(Gradients::of(&loss, &parameters), Err(OptimError::NoGradient(names)) if names == ["a"]));
    }

    #[test]
    fn a_gradient_that_is_not_finite_is_named() {
        let parameters = parameters();
        let loss = (squares(&parameters) + parameters.get("b").unwrap().log().unwrap().sum_all().unwrap()).unwrap();
        parameters.get("b").unwrap().set(&Tensor::zeros(2, DType::F32, &Device::Cpu).unwrap()).unwrap();
        let gradients = Gradients::of(&loss, &parameters).unwrap();
        assert_eq!(gradients.check_finite().unwrap_err().to_string(), "the gradient of `b` is not finite");
    }
}
