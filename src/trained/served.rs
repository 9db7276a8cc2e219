//! The parts of a trained model that another program needs to compute its predictions.

use super::{Trained, TrainedError};
use crate::checkpoint::Checkpoint;
use crate::data::{Preparation, TargetScale};
use crate::loss::Link;
use crate::state::{State, Stateful};
use crate::train::{Setting, Weights};

impl Trained {
    /// Opens the model of a checkpoint with these of its weights, on the CPU.
    ///
    /// # Errors
    /// The checkpoint has no such weights, or as [`Trained::from_checkpoint`].
    pub(crate) fn on_cpu(checkpoint: &Checkpoint, weights: &Weights) -> Result<Self, TrainedError> {
        Self::assemble(checkpoint, &[Setting::of_device("cpu")], None, weights)
    }

    /// Returns all weights of the model, also those that adapters leave untrained, in host memory.
    ///
    /// # Errors
    /// They cannot be read.
    pub(crate) fn weights(&self) -> Result<State, TrainedError> {
        let all = self.model.parameters().and(&self.model.buffers()).and(&self.model.frozen());
        Ok(all.save().map_err(crate::data::DataError::from)?)
    }

    /// Returns the steps from the numbers of a row to the input of the model.
    ///
    /// # Errors
    /// The state of the run's data does not fit its rows.
    pub(crate) fn preparation(&self) -> Result<Preparation, TrainedError> {
        Ok(Preparation::of(&self.config.data, &self.schema, &self.memory)?)
    }

    /// Returns the number of the model's outputs for each row.
    ///
    /// # Errors
    /// The loss does not fit the targets.
    pub(crate) fn output_width(&self) -> Result<usize, TrainedError> {
        Ok(self.loss.outputs(self.schema.targets).map_err(crate::train::TrainError::from)?)
    }

    /// Returns what the targets of the run have become, if they are transformed.
    pub(crate) fn target_scale(&self) -> Option<&TargetScale> {
        self.scale.as_ref()
    }

    /// Returns how outputs become predictions, if this is known.
    pub(crate) fn link(&self) -> Option<Link> {
        self.loss.link(self.schema.targets)
    }
}
