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
        let model = model?;
        let (buffers, frozen) = (model.buffers(), model.frozen());
        let tensors: Vec<(String, Vec<usize>)> =
            counted.into_iter().map(|(name, shape): (_, Shape)| (name, shape.into_dims())).collect();
        let (mut parameters, mut of_buffers, mut of_frozen) = (0u64, 0u64, 0u64);
        for (name, shape) in &tensors {
            let of_kind = if buffers.get(name).is_some() {
                &mut of_buffers
            } else if frozen.get(name).is_some() {
                &mut of_frozen
            } else {
                &mut parameters
            };
            *of_kind = of_kind.saturating_add(product(shape));
        }
        Ok(Self { parameters, buffers: of_buffers, frozen: of_frozen, activations, tensors })
    }
}
