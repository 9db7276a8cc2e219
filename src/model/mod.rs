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
mod flops;
mod gpt;
mod graph;
mod images;
mod init;
mod input;
mod layers;
mod lora;
mod mlp;
#[cfg(test)]
mod on_kernels;
#[cfg(test)]
mod on_tape;
mod outline;
mod policy;
mod precision;
mod resnet;
mod spec;
mod stochastic_depth;

use candle_core::{Result, Tensor};

pub use activation::Activation;
pub use catalogue::register;
pub use config::ModelConfig;
pub use convnet::{ConvBlock, ConvNet, ConvNetConfig, PoolKind};
pub use custom::Custom;
pub use error::ModelError;
pub use flops::LayerFlops;
pub use gpt::{Gpt, GptActivation, GptConfig, GptNorm, Positions};
pub use graph::{Graph, Operation, Step, Value};
pub(crate) use init::with_parameter_budget;
pub use init::{kaiming_normal, linear_default, normal};
pub use input::{EVALUATION_ROWS, Input};
#[cfg(feature = "trainer")]
pub(crate) use lora::ADAPTER;
pub use lora::LoraConfig;
#[cfg(feature = "trainer")]
pub(crate) use lora::is_adapter;
pub use mlp::{Mlp, MlpConfig};
pub use outline::{Activations, Outline};
pub use policy::Policy;
pub use precision::Precision;
pub use resnet::{ResNet, ResNetConfig};
pub use spec::ModelSpec;

use crate::parameters::Parameters;
use crate::rng::StepRng;

/// Whether a forward pass is for training or evaluation.
#[derive(Clone, Copy, Debug)]
pub enum Mode<'a> {
    /// Training: dropout is on, with the random numbers of this step.
    Train(&'a StepRng),
    /// Evaluation: a pure function of weights and inputs.
    Evaluate,
}

impl<'a> Mode<'a> {
    /// Returns the random numbers of a training step.
    fn draws(self) -> Option<&'a StepRng> {
        match self {
            Self::Train(draws) => Some(draws),
            Self::Evaluate => None,
        }
    }

    /// Detaches `x` in evaluation, so that Candle does not keep the graph.
    fn detach_in_eval(self, x: Tensor) -> Tensor {
        match self {
            Self::Train(_) => x,
            Self::Evaluate => x.detach(),
        }
    }
}

/// A model with named parameters that maps a batch of inputs to outputs. Several threads may compute micro-batches with it at
/// the same time.
pub trait Model: Send + Sync {
    /// Computes the outputs for a batch of inputs; the batch is the first dimension of both.
    ///
    /// # Errors
    /// The inputs have a shape that the model does not take, or the device fails.
    fn forward(&self, inputs: &Tensor, mode: Mode<'_>) -> Result<Tensor>;

    /// Returns all trainable tensors.
    fn parameters(&self) -> &Parameters;

    /// Returns the minimal number of rows of a training batch: 2 if a batch norm sees a single number per channel and
    /// row, because one number has no variance.
    fn min_batch_rows(&self) -> usize {
        1
    }

    /// Returns tensors that receive no gradient but change in training, such as running statistics. They are saved with
    /// the parameters.
    fn buffers(&self) -> Parameters {
        Parameters::new()
    }

    /// Returns tensors that never change, such as the weights beside adapters. They are saved with the parameters, so
    /// that a checkpoint is complete.
    fn frozen(&self) -> Parameters {
        Parameters::new()
    }
}
