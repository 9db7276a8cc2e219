//! The trait of models as a configuration describes them.

use std::fmt::Debug;

use candle_core::Device;

use super::{Graph, LayerFlops, Model, ModelConfig, ModelError, Outline, Policy};
use crate::model::Input;

/// A model before it is built. Its fields are the settings of the `[model]` table.
///
/// ```
/// use candle_core::{Device, Result, Tensor, Var};
/// use rekindle::model::{Input, Mode, Model, ModelConfig, ModelError, ModelSpec, linear_default, register};
/// use rekindle::parameters::Parameters;
/// use serde::{Deserialize, Serialize};
///
/// /// A linear map whose result is scaled.
/// #[derive(Debug, Serialize, Deserialize)]
/// struct Scaled {
///     scale: f64,
/// }
///
/// struct ScaledModel(f64, Var, Parameters);
///
/// impl ModelSpec for Scaled {
///     fn validate(&self) -> std::result::Result<(), ModelError> {
///         if self.scale == 0.0 {
///             return Err(ModelError::field("scale", self.scale, "must not be 0"));
///         }
///         Ok(())
///     }
///     fn build(
///         &self,
///         input: &Input,
///         outputs: usize,
///         seed: u64,
///         device: &Device,
///     ) -> std::result::Result<Box<dyn Model>, ModelError> {
///         let inputs = input.numbers();
///         let mut parameters = Parameters::new();
///         let weight = linear_default("weight", (inputs, outputs), inputs, seed, device)?;
///         parameters.insert("weight", weight.clone());
///         Ok(Box::new(ScaledModel(self.scale, weight, parameters)))
///     }
///     fn resumable(&self) -> &'static [&'static str] {
///         &["scale"]
///     }
/// }
///
/// impl Model for ScaledModel {
///     fn forward(&self, inputs: &Tensor, _mode: Mode<'_>) -> Result<Tensor> {
///         inputs.flatten_from(1)?.matmul(&self.1)? * self.0
///     }
///     fn parameters(&self) -> &Parameters {
///         &self.2
///     }
/// }
///
/// register::<Scaled>("scaled")?;
/// let config: ModelConfig = toml::from_str("kind = 'scaled'\nscale = 0.5")?;
/// assert_eq!(config, ModelConfig::of(&Scaled { scale: 0.5 })?);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait ModelSpec: Debug + Send + Sync + 'static {
    /// Checks the settings before any data is read.
    ///
    /// # Errors
    /// The setting and its value.
    fn validate(&self) -> Result<(), ModelError> {
        Ok(())
    }

    /// Builds the model for rows of `input`, with `outputs` numbers per row, or per position in a row. Its initial
    /// weights are a function of `seed`.
    ///
    /// # Errors
    /// The model does not fit the data, or the device fails.
    fn build(&self, input: &Input, outputs: usize, seed: u64, device: &Device) -> Result<Box<dyn Model>, ModelError>;

    /// [`ModelSpec::build`] of a model with these number types. The default knows those of [`Policy::default`] alone.
    ///
    /// # Errors
    /// As [`ModelSpec::build`]; the model does not support the types.
    fn build_with_policy(
        &self,
        input: &Input,
        outputs: usize,
        seed: u64,
        device: &Device,
        policy: Policy,
    ) -> Result<Box<dyn Model>, ModelError> {
        if policy == Policy::default() {
            return self.build(input, outputs, seed, device);
        }
        Err(ModelError::Precision(policy.compute.as_str()))
    }

    /// Returns the size of the model that [`ModelSpec::build`] builds, if it is known. A model that does not fit in
    /// memory is then refused before any is allocated.
    ///
    /// # Errors
    /// As [`ModelSpec::build`].
    fn outline(&self, _input: &Input, _outputs: usize) -> Result<Option<Outline>, ModelError> {
        Ok(None)
    }

    /// Returns the floating-point operations of a forward pass, by layer, in order; empty if they are not known.
    ///
    /// # Errors
    /// As [`ModelSpec::build`].
    fn flops(&self, _input: &Input, _outputs: usize) -> Result<Vec<LayerFlops>, ModelError> {
        Ok(Vec::new())
    }

    /// Returns the steps that the model computes in evaluation for rows of `input`, so that it can be written for other
    /// programs, such as ONNX; `None` if it cannot be said in these steps.
    ///
    /// # Errors
    /// As [`ModelSpec::build`].
    fn graph(&self, _input: &Input) -> Result<Option<Graph>, ModelError> {
        Ok(None)
    }

    /// Returns the settings that can change on a resume. All others determine the shape of the weights.
    fn resumable(&self) -> &'static [&'static str] {
        &[]
    }

    /// Returns the same model with every default written out that depends on its other settings or on `context`, the
    /// number of tokens in a row of the data; `None` if there is no such default.
    fn complete(&self, _context: Option<usize>) -> Option<ModelConfig> {
        None
    }

    /// Returns the same model of rows with several documents, each of which begins with the token `start`: a position sees
    /// only those of the same document. `None` if the model has no such setting.
    fn of_documents(&self, _start: u32) -> Option<ModelConfig> {
        None
    }

    /// Returns settings that would reduce the memory of activations, as text for a message, each with the changed
    /// model.
    fn memory_remedies(&self) -> Vec<(String, ModelConfig)> {
        Vec::new()
    }
}
