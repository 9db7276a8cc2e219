//! The trait of update rules: hyperparameters, the tensors that are remembered for each parameter, and the update.

use std::fmt::Debug;

use candle_core::{DType, Result, Shape, Tensor, Var, bail};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::OptimError;
use crate::cpu::{self, Element};

/// A rule by which an optimizer moves a parameter, such as [`Sgd`](super::Sgd). Its fields are its hyperparameters, by
/// the names that a configuration gives them.
///
/// The rules of this crate are in a catalogue. [`register`](super::register) gives a name to one of yours, and
/// configurations, parameter groups and checkpoints then know it as they know those. A program that resumes such a run
/// registers the rule again, before it reads configuration or checkpoint.
pub trait UpdateRule: Serialize + DeserializeOwned + Debug + Send + Sync + 'static {
    /// The hyperparameters that every rule has, and that schedules move.
    fn base(&self) -> BaseHyperparams;

    /// Checks the hyperparameters other than those of [`UpdateRule::base`], whose ranges are the same for all rules.
    ///
    /// # Errors
    /// Names the field, its value and its range: [`OptimError::require`] makes such an error.
    fn check(&self) -> std::result::Result<(), OptimError> {
        Ok(())
    }

    /// Names of the tensors that the rule remembers for each parameter, which a checkpoint has as `<parameter>.<name>`.
    /// Each has the shape of the parameter and begins at zero.
    ///
    /// `momentum` is the largest of all groups that share this rule: SGD remembers nothing where it is 0.
    fn states(&self, momentum: f64) -> &'static [&'static str];

    /// Updates one parameter and the tensors that are remembered for it.
    ///
    /// # Errors
    /// When the tensor library or the device fails.
    fn update(&self, tensors: &Update<'_>, step: &Step) -> Result<()>;
}

/// The hyperparameters that every rule has. A parameter group can have values different from the rule's, and schedules
/// start from those.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BaseHyperparams {
    /// Base learning rate, at least 0.
    pub lr: f64,
    /// Weight decay, at least 0.
    pub weight_decay: f64,
    /// The hyperparameter that a schedule of the momentum moves, if the rule has one.
    pub momentum: Option<Momentum>,
}

/// The hyperparameter that a schedule of the momentum moves, under the name that it has in a rule. It is in `[0, 1)`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Momentum {
    /// `momentum`, the share of the last direction that is kept: SGD's.
    Momentum(f64),
    /// `beta1`, the decay rate of a mean of gradients: Adam's.
    Beta1(f64),
}

impl Momentum {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Momentum(_) => "momentum",
            Self::Beta1(_) => "beta1",
        }
    }

    /// Its value.
    pub fn value(self) -> f64 {
        match self {
            Self::Momentum(value) | Self::Beta1(value) => value,
        }
    }

    /// The same hyperparameter with another value.
    #[must_use]
    pub fn with_value(self, value: f64) -> Self {
        match self {
            Self::Momentum(_) => Self::Momentum(value),
            Self::Beta1(_) => Self::Beta1(value),
        }
    }
}

/// The hyperparameters of one update, as the schedules and the parameter's group give them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Step {
    /// Learning rate.
    pub lr: f64,
    /// Momentum or beta1; 0 for a rule without.
    pub momentum: f64,
    /// Weight decay; 0 for a parameter that does not decay.
    pub weight_decay: f64,
    /// How many updates were made before this one.
    pub updates_before: u64,
}

/// A parameter in an update: its weights, its gradient, and the tensors that the rule remembers for it.
///
/// The tensors that are handed out here are of the dtype in which an update is computed: the parameter's own, but f32
/// for half precision.
#[derive(Debug)]
pub struct Update<'a> {
    pub(super) parameter: &'a Var,
    pub(super) states: &'a [Var],
    pub(super) gradient: &'a Tensor,
    /// Multiplies the gradient: clipping asks for that.
    pub(super) gradient_scale: f64,
}

/// The dtype in which an update of `parameter` is computed, and of what is remembered for it.
pub(super) fn state_dtype(parameter: &Var) -> DType {
    if parameter.dtype() == DType::F64 { DType::F64 } else { DType::F32 }
}

impl Update<'_> {
    /// The shape of the parameter, and of all tensors here.
    pub fn shape(&self) -> &Shape {
        self.parameter.shape()
    }

    /// The weights as they are before the update.
    ///
    /// # Errors
    /// When the device fails.
    pub fn weights(&self) -> Result<Tensor> {
        self.parameter.as_detached_tensor().to_dtype(state_dtype(self.parameter))
    }

    /// The gradient, clipped.
    ///
    /// # Errors
    /// When the device fails.
    pub fn gradient(&self) -> Result<Tensor> {
        self.gradient.to_dtype(state_dtype(self.parameter))? * self.gradient_scale
    }

    /// Number `index` of the tensors that the rule remembers, counted from 0 in the order of [`UpdateRule::states`].
    ///
    /// # Errors
    /// When there are fewer.
    pub fn state(&self, index: usize) -> Result<Tensor> {
        Ok(self.state_var(index)?.as_detached_tensor())
    }

    /// Sets the weights.
    ///
    /// # Errors
    /// When the shape is another, or the device fails.
    pub fn set_weights(&self, weights: &Tensor) -> Result<()> {
        self.parameter.set(&weights.to_dtype(self.parameter.dtype())?)
    }

    /// Sets number `index` of the tensors that the rule remembers.
    ///
    /// # Errors
    /// When there are fewer, the shape or dtype is another, or the device fails.
    pub fn set_state(&self, index: usize, state: &Tensor) -> Result<()> {
        self.state_var(index)?.set(state)
    }

    fn state_var(&self, index: usize) -> Result<&Var> {
        match self.states.get(index) {
            Some(state) => Ok(state),
            None => bail!("the rule remembers {} tensors, and asks for number {index}", self.states.len()),
        }
    }

    /// The type of the elements, if they can be visited as slices; else an update is made of tensor operations.
    pub(super) fn slice_dtype(&self) -> Option<DType> {
        let is_sliceable = cpu::is_sliceable(self.parameter) && cpu::is_sliceable(self.gradient);
        is_sliceable.then(|| self.parameter.dtype())
    }

    /// One pass of `update` over the elements of the parameter, the remembered tensors and the gradient, which is not
    /// yet scaled. `N` counts the parameter and the remembered tensors.
    pub(super) fn in_place<T: Element, const N: usize>(
        &self,
        update: impl Fn([&mut [T]; N], &[T]) + Sync,
    ) -> Result<()> {
        let mut tensors = [self.parameter.as_tensor(); N];
        for (index, tensor) in tensors.iter_mut().skip(1).enumerate() {
            *tensor = self.state_var(index)?;
        }
        cpu::update_in_place(tensors, self.gradient, update)
    }
}
