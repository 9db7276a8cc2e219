//! Gradients by parameter: those of a backward pass, or the sum of those of several.

use std::borrow::Borrow;

use candle_core::Tensor;
use candle_core::backprop::GradStore;

use super::{MeasuredGradients, OptimError};
use crate::ops::Tape;
use crate::parameters::Parameters;

/// One gradient for each parameter, in name order. An update needs their norm: [`Gradients::measure`] computes it, once
/// all that belongs to the update is added.
#[derive(Debug)]
pub struct Gradients {
    names: Vec<String>,
    tensors: Vec<Tensor>,
}

impl Gradients {
    /// Back-propagates `loss`, a scalar, to `parameters`.
    ///
    /// # Errors
    /// No gradient reached some parameters, which are named: several of Candle's operations have no backward pass and
    /// lose it silently.
    pub fn from_loss(loss: &Tensor, parameters: &Parameters) -> Result<Self, OptimError> {
        Self::from_store(&loss.backward()?, parameters)
    }

    /// As [`Gradients::from_loss`], but faster: back-propagates `scale * loss` along the operations on `tape`. If other
    /// operations led to `loss` too, Candle's graph is used.
    ///
    /// If `loss` is passed by value, activations are freed while the gradients are computed, which takes less memory.
    ///
    /// # Errors
    /// As [`Gradients::from_loss`].
    pub fn from_tape<L: Borrow<Tensor>>(
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
        if scale == 1.0 { Self::from_loss(start, parameters) } else { Self::from_loss(&(start * scale)?, parameters) }
    }

    /// Takes the gradients of `parameters` from the result of a backward pass.
    ///
    /// # Errors
    /// As [`Gradients::from_loss`].
    pub fn from_store(store: &GradStore, parameters: &Parameters) -> Result<Self, OptimError> {
        Self::collect(|parameter| store.get(parameter), named(parameters))
    }

    /// Takes one gradient for each of `parameters`, in name order, for example from another process.
    ///
    /// # Errors
    /// There are more or fewer, or one has another shape, dtype or device than its parameter.
    pub fn of_tensors(parameters: &Parameters, tensors: Vec<Tensor>) -> Result<Self, OptimError> {
        let same = |own: &Tensor, given: &Tensor| {
            own.shape() == given.shape() && own.dtype() == given.dtype() && own.device().same_device(given.device())
        };
        let mut pairs = named(parameters).zip(&tensors);
        if let Some(((name, _), _)) = pairs.find(|((_, own), given)| !same(own, given)) {
            return Err(OptimError::OtherGradient(name.to_owned()));
        }
        if parameters.len() != tensors.len() {
            return Err(OptimError::GradientCount { given: tensors.len(), parameters: parameters.len() });
        }
        let tensors = tensors.iter().map(Tensor::contiguous).collect::<candle_core::Result<_>>()?;
        Ok(Self { names: named(parameters).map(|(name, _)| name.to_owned()).collect(), tensors })
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
        Ok(Self { names, tensors })
    }

    /// Returns the sum of these gradients and `others` of the same parameters: the gradients of the sum of both losses.
    ///
    /// # Errors
    /// When they are of other parameters, or the device fails.
    pub fn plus(self, others: &Self) -> Result<Self, OptimError> {
        if self.names != others.names {
            return Err(OptimError::OtherParameters { own: self.names, given: others.names.clone() });
        }
        // Each is freed as soon as it is added.
        let sums = self.tensors.into_iter().zip(&others.tensors).map(|(one, other)| &one + other);
        let tensors = sums.collect::<candle_core::Result<_>>()?;
        Ok(Self { names: self.names, tensors })
    }

    /// Replaces the gradients of parameters that are not `kept` by zeros.
    pub(super) fn zeroed_unless(mut self, kept: impl Fn(&str) -> bool) -> Result<Self, OptimError> {
        for (_, tensor) in self.names.iter().zip(&mut self.tensors).filter(|(name, _)| !kept(name)) {
            *tensor = tensor.zeros_like()?;
        }
        Ok(self)
    }

    /// Replaces each gradient by what `change` makes of it.
    pub(super) fn each(
        mut self,
        change: impl Fn(&str, &Tensor) -> candle_core::Result<Tensor>,
    ) -> Result<Self, OptimError> {
        for (name, tensor) in self.names.iter().zip(&mut self.tensors) {
            *tensor = change(name, tensor)?;
        }
        Ok(self)
    }

    /// Computes the norm of the gradients.
    ///
    /// # Errors
    /// The device fails.
    pub fn measure(self) -> Result<MeasuredGradients, OptimError> {
        Ok(self.measure_with(&[])?.0)
    }

    /// [`Gradients::measure`], and reads the values of `scalars`, such as the loss. A device other than the CPU is read
    /// once, for all of them together.
    ///
    /// # Errors
    /// When one of `scalars` has more than one number, or the device fails.
    pub fn measure_with(self, scalars: &[Tensor]) -> Result<(MeasuredGradients, Vec<f64>), OptimError> {
        MeasuredGradients::new(self, scalars)
    }

    /// [`Gradients::measure`], then [`MeasuredGradients::clip`].
    ///
    /// # Errors
    /// As both.
    pub fn clip(self, max_norm: f64) -> Result<MeasuredGradients, OptimError> {
        self.measure()?.clip(max_norm)
    }

    /// Returns the names of their parameters, in name order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(String::as_str)
    }

    /// The gradients, in name order. All are contiguous.
    pub fn tensors(&self) -> &[Tensor] {
        &self.tensors
    }
}

fn named(parameters: &Parameters) -> impl Iterator<Item = (&str, &Tensor)> {
    parameters.iter().map(|(name, var)| (name, var.as_tensor()))
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device, Var};

    use super::*;

    fn parameters() -> Parameters {
        let var = |values: &[f32]| Var::from_slice(values, values.len(), &Device::Cpu).unwrap();
        [("a".to_owned(), var(&[3.0])), ("b".to_owned(), var(&[2.0, -2.0]))].into_iter().collect()
    }

    #[test]
    fn a_parameter_without_a_gradient_is_named() {
        let parameters = parameters();
        let loss = parameters.get("a").unwrap().sum_all().unwrap();
        let message = Gradients::from_loss(&loss, &parameters).unwrap_err().to_string();
        assert!(message.starts_with("no gradient reached `b`:"), "{message}");
    }

    #[test]
    fn gradients_of_another_shape_or_number_are_refused() {
        let parameters = parameters();
        let zeros = |shape: &[usize]| Tensor::zeros(shape, DType::F32, &Device::Cpu).unwrap();
        let given = |tensors| Gradients::of_tensors(&parameters, tensors).unwrap_err().to_string();
        let message = given(vec![zeros(&[1]), zeros(&[2, 1])]);
        assert!(message.starts_with("the gradient that was given for `b`"), "{message}");
        let message = given(vec![zeros(&[1])]);
        assert_eq!(message, "1 gradients were given for 2 parameters");
        assert_eq!(Gradients::of_tensors(&parameters, vec![zeros(&[1]), zeros(&[2])]).unwrap().tensors().len(), 2);
    }

    /// Candle's softmax over the last dimension has no backward pass; without the check training would not change `a`.
    #[test]
    fn an_operation_that_loses_gradients_is_noticed() {
        let parameters = parameters();
        let softmax = candle_nn::ops::softmax_last_dim(parameters.get("a").unwrap()).unwrap();
        let loss = (softmax.sum_all().unwrap() + parameters.get("b").unwrap().sum_all().unwrap()).unwrap();
        assert!(
            matches!(Gradients::from_loss(&loss, &parameters), Err(OptimError::NoGradient(names)) if names == ["a"])
        );
    }
}
