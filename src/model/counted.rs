//! The size of a model, counted by building it without memory for its weights.

use candle_core::{Device, Shape};

use super::outline::{Activations, Outline, product};
use super::{ModelError, ModelSpec, init};
use crate::model::Input;

impl Outline {
    /// Computes the size of the model of `spec` by building it without memory for weights. This requires that the model
    /// creates all its weights with [`normal`](super::normal), [`linear_default`](super::linear_default) and
    /// [`kaiming_normal`](super::kaiming_normal), and computes nothing with them until it is used.
    ///
    /// # Errors
    /// The model does not fit the data, or has too many tensors to train.
    pub fn counted(
        spec: &dyn ModelSpec,
        activations: Activations,
        input: &Input,
        outputs: usize,
    ) -> Result<Self, ModelError> {
        let (model, counted) = init::counted(|| spec.build(input, outputs, 0, &Device::Cpu));
        let buffers = model?.buffers();
        let tensors: Vec<(String, Vec<usize>)> =
            counted.into_iter().map(|(name, shape): (_, Shape)| (name, shape.into_dims())).collect();
        let numbers = |remembered: bool| {
            let these = tensors.iter().filter(|(name, _)| buffers.get(name).is_some() == remembered);
            these.fold(0, |sum: u64, (_, shape)| sum.saturating_add(product(shape)))
        };
        let (parameters, remembered) = (numbers(false), numbers(true));
        Ok(Self { parameters, buffers: remembered, activations, tensors })
    }
}
