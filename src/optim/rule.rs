//! The trait of update rules: hyperparameters, state tensors of each parameter, and the update.

use std::fmt::Debug;

use candle_core::{DType, Result, Shape, Tensor, Var, WithDType, bail};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::OptimError;
use crate::cpu::{self, Element};

/// A rule that updates a parameter, such as [`Sgd`](super::Sgd). Its fields are its hyperparameters, with the names
/// used in a configuration.
///
/// The rules of this crate are in a catalogue. [`register`](super::register) names a user-defined one; configurations,
/// parameter groups and checkpoints then treat it like a catalogue rule. A program that resumes such a run must
/// register the rule again, before it reads the configuration or the checkpoint.
pub trait UpdateRule: Serialize + DeserializeOwned + Debug + Send + Sync + 'static {
    /// Returns the hyperparameters that every rule has, and that schedules drive.
    fn base(&self) -> BaseHyperparams;

    /// Checks the hyperparameters other than those of [`UpdateRule::base`], whose ranges are the same for all rules.
    ///
    /// # Errors
    /// The field, its value and its range: [`OptimError::require`] makes such an error.
    fn check(&self) -> std::result::Result<(), OptimError> {
        Ok(())
    }

    /// Returns the names of the rule's state tensors per parameter, stored in a checkpoint as `<parameter>.<name>`.
    /// Each has the shape of the parameter and starts at zero.
    ///
    /// `momentum` is the largest of all groups that share this rule: SGD has no state if it is 0.
    fn states(&self, momentum: f64) -> &'static [&'static str];

    /// Returns the state tensors of a parameter of this shape, in order. By default they are those of
    /// [`UpdateRule::states`], in the shape of the parameter; a rule whose state has other shapes overrides it.
    fn state_forms(&self, momentum: f64, shape: &Shape) -> Vec<StateForm> {
        self.states(momentum).iter().map(|name| StateForm::new(name, shape.clone())).collect()
    }

    /// Whether [`UpdateRule::evaluation_weights`] returns any.
    fn has_evaluation_weights(&self) -> bool {
        false
    }

    /// Whether an update or an evaluation needs the states of all parameters, so that several processes cannot have a
    /// part of them each. By default each parameter is updated on its own.
    fn needs_all_states(&self) -> bool {
        self.has_evaluation_weights()
    }

    /// Returns the weights that an evaluation uses in place of the trained ones, if they differ: by default they do
    /// not.
    ///
    /// # Errors
    /// The tensor library or the device fails.
    fn evaluation_weights(&self, _weights: &Tensor, _states: &[Var]) -> Result<Option<Tensor>> {
        Ok(None)
    }

    /// Returns the second beta, if the rule has one and uses [`Step::beta2`] in its place where that is given.
    fn beta2(&self) -> Option<f64> {
        None
    }

    /// Returns a remark on settings by which it computes another rule than its name says, if they are such; a run shows it
    /// before its first step. `weight_decay` is the largest of all groups that share this rule.
    fn remark(&self, _weight_decay: f64) -> Option<String> {
        None
    }

    /// Whether it changes weights at all. The gradients of parameters that it leaves alone count neither for the norm
    /// nor for clipping.
    fn trains(&self) -> bool {
        true
    }

    /// Returns about how many floating-point operations the products of matrices take in an update of a parameter of this
    /// shape, as the mean over many updates. By default there are no such products, and the update takes no longer than
    /// memory does.
    fn operations(&self, _shape: &Shape) -> u64 {
        0
    }

    /// Updates one parameter and its state tensors.
    ///
    /// # Errors
    /// The tensor library or the device fails.
    fn update(&self, tensors: &Update<'_>, step: &Step) -> Result<()>;

    /// Updates the parameters of a group, each with its hyperparameters. The default calls [`UpdateRule::update`] for
    /// each; a rule that updates many with one call of the device overrides it.
    ///
    /// # Errors
    /// The tensor library or the device fails.
    fn update_group(&self, group: &[(Update<'_>, Step)]) -> Result<()> {
        group.iter().try_for_each(|(tensors, step)| self.update(tensors, step))
    }
}

/// A state tensor of a parameter: its name, its shape and its type.
#[derive(Clone, Debug, PartialEq)]
pub struct StateForm {
    /// Its name, by which a checkpoint has it as `<parameter>.<name>`.
    pub name: &'static str,
    /// Its shape.
    pub shape: Shape,
    /// Whether it is in f64, whatever the type of the parameter is.
    pub is_exact: bool,
}

impl StateForm {
    /// Creates a state tensor in the type of the computation, f32 or f64.
    pub fn new(name: &'static str, shape: impl Into<Shape>) -> Self {
        Self { name, shape: shape.into(), is_exact: false }
    }

    /// Creates a state of this many numbers in f64.
    pub fn numbers(name: &'static str, count: usize) -> Self {
        Self { name, shape: Shape::from(count), is_exact: true }
    }

    /// Returns its type for `parameter`.
    pub(super) fn dtype(&self, parameter: &Var) -> DType {
        if self.is_exact { DType::F64 } else { state_dtype(parameter) }
    }
}

/// The hyperparameters that every rule has. A parameter group can override them, and schedules start from the group's
/// values.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BaseHyperparams {
    /// Base learning rate, at least 0.
    pub lr: f64,
    /// Weight decay, at least 0.
    pub weight_decay: f64,
    /// The hyperparameter that a momentum schedule drives, if the rule has one.
    pub momentum: Option<Momentum>,
}

/// The hyperparameter that a momentum schedule drives, under its name in the rule. It is in `[0, 1)`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Momentum {
    /// `momentum`, the share of the last direction that is kept (SGD).
    Momentum(f64),
    /// `beta1`, the decay rate of a mean of gradients (Adam).
    Beta1(f64),
}

impl Momentum {
    /// Returns its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Momentum(_) => "momentum",
            Self::Beta1(_) => "beta1",
        }
    }

    /// Returns its value.
    pub fn value(self) -> f64 {
        match self {
            Self::Momentum(value) | Self::Beta1(value) => value,
        }
    }

    /// Returns the same hyperparameter with another value.
    #[must_use]
    pub fn with_value(self, value: f64) -> Self {
        match self {
            Self::Momentum(_) => Self::Momentum(value),
            Self::Beta1(_) => Self::Beta1(value),
        }
    }
}

/// The second beta of an update, where a schedule drives it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Beta2 {
    /// Its value in this update, in `[0, 1)`.
    pub value: f64,
    /// The product of all values so far, including this one. `1 - product` is the weight of all squared gradients in the
    /// second moment, as `1 - beta2^n` is for a constant one.
    pub product: f64,
}

/// The hyperparameters of one update, from the schedules and the parameter's group.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Step {
    /// Learning rate.
    pub lr: f64,
    /// Base learning rate of the parameter's group, from which schedules start.
    pub base_lr: f64,
    /// Momentum or beta1; 0 for a rule without either.
    pub momentum: f64,
    /// The second beta, if a schedule drives it; otherwise the rule's own.
    pub beta2: Option<Beta2>,
    /// Weight decay; 0 for a parameter that does not decay.
    pub weight_decay: f64,
    /// Number of updates before this one.
    pub updates_before: u64,
}

/// A parameter in an update: its weights, its gradient, and its state tensors.
///
/// The tensors returned here have the dtype of the computation: the parameter's own, but f32 for half precision.
#[derive(Debug)]
pub struct Update<'a> {
    pub(super) parameter: &'a Var,
    pub(super) states: &'a [Var],
    pub(super) gradient: &'a Tensor,
    /// Factor of the gradient, from clipping.
    pub(super) gradient_scale: f64,
}

/// Returns the dtype of the computation and of the state tensors for `parameter`.
pub(super) fn state_dtype(parameter: &Var) -> DType {
    if parameter.dtype() == DType::F64 { DType::F64 } else { DType::F32 }
}

impl Update<'_> {
    /// Returns the shape of the parameter, and of all tensors here.
    pub fn shape(&self) -> &Shape {
        self.parameter.shape()
    }

    /// Returns the weights before the update.
    ///
    /// # Errors
    /// The device fails.
    pub fn weights(&self) -> Result<Tensor> {
        self.parameter.as_detached_tensor().to_dtype(state_dtype(self.parameter))
    }

    /// Returns the clipped gradient.
    ///
    /// # Errors
    /// The device fails.
    pub fn gradient(&self) -> Result<Tensor> {
        self.gradient.to_dtype(state_dtype(self.parameter))? * self.gradient_scale
    }

    /// Returns state tensor number `index`, counted from 0 in the order of [`UpdateRule::states`].
    ///
    /// # Errors
    /// There are fewer.
    pub fn state(&self, index: usize) -> Result<Tensor> {
        Ok(self.state_var(index)?.as_detached_tensor())
    }

    /// Sets the weights.
    ///
    /// # Errors
    /// The shape differs, or the device fails.
    pub fn set_weights(&self, weights: &Tensor) -> Result<()> {
        self.parameter.set(&weights.to_dtype(self.parameter.dtype())?)
    }

    /// Sets state tensor number `index`.
    ///
    /// # Errors
    /// There are fewer, the shape or dtype differs, or the device fails.
    pub fn set_state(&self, index: usize, state: &Tensor) -> Result<()> {
        self.state_var(index)?.set(state)
    }

    /// Returns the numbers of state tensor number `index`, which is in f64.
    pub(super) fn numbers<const N: usize>(&self, index: usize) -> Result<[f64; N]> {
        let numbers = self.state(index)?.to_vec1::<f64>()?;
        match numbers.try_into() {
            Ok(numbers) => Ok(numbers),
            Err(numbers) => bail!("a state of {N} numbers was expected, not of {}", numbers.len()),
        }
    }

    /// Sets the numbers of state tensor number `index`.
    pub(super) fn set_numbers<const N: usize>(&self, index: usize, numbers: [f64; N]) -> Result<()> {
        self.set_state(index, &Tensor::new(&numbers, self.parameter.device())?)
    }

    /// Multiplies the weights by `factor`, before an update.
    pub(super) fn multiply_weights(&self, factor: f64) -> Result<()> {
        match self.slice_dtype() {
            _ if factor == 1.0 => Ok(()),
            Some(DType::F32) => self.multiply_in_place::<f32>(factor),
            Some(DType::F64) => self.multiply_in_place::<f64>(factor),
            _ => self.set_weights(&(self.weights()? * factor)?),
        }
    }

    fn multiply_in_place<T: Element>(&self, factor: f64) -> Result<()> {
        let factor = <T as WithDType>::from_f64(factor);
        self.in_place(|[weights]: [&mut [T]; 1], _| weights.iter_mut().for_each(|weight| *weight *= factor))
    }

    pub(super) fn state_var(&self, index: usize) -> Result<&Var> {
        match self.states.get(index) {
            Some(state) => Ok(state),
            None => bail!("the rule has {} state tensors, and asks for number {index}", self.states.len()),
        }
    }

    /// Returns the element type if the elements can be accessed as slices; otherwise an update uses tensor operations.
    pub(super) fn slice_dtype(&self) -> Option<DType> {
        let is_sliceable = cpu::is_sliceable(self.parameter) && cpu::is_sliceable(self.gradient);
        is_sliceable.then(|| self.parameter.dtype())
    }

    /// Makes one pass of `update` over the elements of the parameter, its state tensors and the unscaled gradient. `N`
    /// counts the parameter and the state tensors.
    pub(super) fn in_place<T: Element, const N: usize>(
        &self,
        update: impl Fn([&mut [T]; N], &[T]) + Sync,
    ) -> Result<()> {
        cpu::update_in_place(self.tensors()?, self.gradient, update)
    }

    /// The same with an `update` that returns sums over its elements.
    pub(super) fn in_place_with_sums<T: Element, const N: usize, const K: usize>(
        &self,
        update: impl Fn([&mut [T]; N], &[T]) -> [f64; K] + Sync,
    ) -> Result<[f64; K]> {
        cpu::update_and_sum(self.tensors()?, self.gradient, update)
    }

    /// Returns the parameter and its first state tensors.
    fn tensors<const N: usize>(&self) -> Result<[&Tensor; N]> {
        let mut tensors = [self.parameter.as_tensor(); N];
        for (index, tensor) in tensors.iter_mut().skip(1).enumerate() {
            *tensor = self.state_var(index)?;
        }
        Ok(tensors)
    }
}
