//! Models, and the trait that a run trains.
//!
//! A [`Model`] computes; a [`ModelSpec`] is the `[model]` table that one is built from.

mod activation;
mod catalogue;
mod config;
mod convnet;
mod counted;
mod custom;
mod error;
mod gpt;
mod images;
mod init;
mod input;
mod layers;
mod mlp;
#[cfg(test)]
mod on_tape;
mod outline;
mod policy;
mod resnet;
mod spec;

use candle_core::{Result, Tensor};

pub use activation::Activation;
pub use catalogue::register;
pub use config::ModelConfig;
pub use convnet::{ConvBlock, ConvNet, ConvNetConfig, PoolKind};
pub use custom::Custom;
pub use error::ModelError;
pub use gpt::{Gpt, GptActivation, GptConfig, GptNorm, Positions};
pub(crate) use init::with_room_for;
pub use init::{kaiming_normal, linear_default, normal};
pub use input::{EVALUATION_ROWS, Input};
pub use mlp::{Mlp, MlpConfig};
pub use outline::{Activations, Outline};
pub use policy::Policy;
pub use resnet::{ResNet, ResNetConfig};
pub use spec::ModelSpec;

use crate::parameters::Parameters;
use crate::rng::Draws;

/// Whether a forward pass trains or evaluates.
#[derive(Clone, Copy, Debug)]
pub enum Mode<'a> {
    /// Training: dropout is on, with the randomness of this step.
    Train(&'a Draws),
    /// Evaluation: a pure function of weights and inputs.
    Evaluate,
}

impl Mode<'_> {
    /// `x`, which in an evaluation no longer holds what led to it: Candle keeps that for gradients that nobody asks
    /// for.
    fn settled(self, x: Tensor) -> Tensor {
        match self {
            Self::Train(_) => x,
            Self::Evaluate => x.detach(),
        }
    }
}

/// Something with named parameters that turns a batch of inputs into outputs.
pub trait Model {
    /// The outputs for a batch of inputs, both with the batch as first dimension.
    ///
    /// # Errors
    /// When the inputs have another shape than the model takes, or the device fails.
    fn forward(&self, inputs: &Tensor, mode: Mode<'_>) -> Result<Tensor>;

    /// All trainable tensors.
    fn parameters(&self) -> &Parameters;

    /// The fewest rows that a batch to train on may have: 2 where a batch norm sees a single number of each channel in
    /// a row, which alone has no variance.
    fn fewest_rows(&self) -> usize {
        1
    }

    /// Tensors that no gradient reaches, but training changes: running statistics. They are saved beside the
    /// parameters.
    fn buffers(&self) -> Parameters {
        Parameters::new()
    }
}
