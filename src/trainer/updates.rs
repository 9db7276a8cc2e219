//! The optimizer of a [`Trainer`](super::Trainer): Rekindle's, or one of the program.

use crate::optim::{Gradients, MeasuredGradients, OptimError, Optimizer, StepHyperparams};
use crate::parameters::Parameters;
use crate::state::Stateful;

/// Updates parameters from their gradients, and is saved with the run.
///
/// [`Optimizer`] is one, with every rule of the catalogue and with an [`UpdateRule`](crate::optim::UpdateRule) of yours.
/// Implement it to use an update that does not visit parameters one by one.
pub trait Updates: Stateful {
    /// Returns the base rate of each group of parameters, which the schedule is given.
    fn base_lrs(&self) -> Vec<f64>;

    /// Changes gradients before their norm is computed. The default leaves them as they are.
    ///
    /// # Errors
    /// The device fails.
    fn prepare(&self, gradients: Gradients) -> Result<Gradients, OptimError> {
        Ok(gradients)
    }

    /// Updates the parameters; `hyperparams` has the rate of each group. Each gradient counts multiplied by
    /// [`MeasuredGradients::scale`], which has the factor of clipping.
    ///
    /// # Errors
    /// The device fails, or the gradients are of other parameters.
    fn update(&mut self, gradients: &MeasuredGradients, hyperparams: &[StepHyperparams]) -> Result<(), OptimError>;

    /// Returns weights that a validation uses in place of the trained ones. The default is `None`.
    ///
    /// # Errors
    /// The device fails.
    fn evaluation_weights(&self) -> Result<Option<Parameters>, OptimError> {
        Ok(None)
    }
}

impl Updates for Optimizer {
    fn base_lrs(&self) -> Vec<f64> {
        Self::base_lrs(self)
    }

    fn prepare(&self, gradients: Gradients) -> Result<Gradients, OptimError> {
        self.without_frozen(gradients)
    }

    fn update(&mut self, gradients: &MeasuredGradients, hyperparams: &[StepHyperparams]) -> Result<(), OptimError> {
        Self::update(self, gradients, hyperparams)
    }

    fn evaluation_weights(&self) -> Result<Option<Parameters>, OptimError> {
        Self::evaluation_weights(self)
    }
}
