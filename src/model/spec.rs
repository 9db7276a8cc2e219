//! Model settings as a configuration gives them, and the catalogue of models.
//!
//! To add a model, write its file and its line in `catalogue!` below; a program adds its own with [`register`].

use std::fmt::Debug;
use std::sync::{Arc, LazyLock};

use candle_core::Device;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{ConvNetConfig, Custom, GptConfig, MlpConfig, Model, ModelConfig, ModelError, Outline, ResNetConfig};
use crate::KindError;
use crate::data::Input;
use crate::registry::{Kind, Named, Registry};

/// A model before it is built. Its fields are the settings of the `[model]` table.
///
/// ```
/// use candle_core::{Device, Result, Tensor, Var};
/// use rekindle::data::Input;
/// use rekindle::model::{Mode, Model, ModelConfig, ModelError, ModelSpec, linear_default, register};
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

    /// Returns the size of the model that [`ModelSpec::build`] builds, if it is known. A model that does not fit in
    /// memory is then refused before any is allocated.
    ///
    /// # Errors
    /// As [`ModelSpec::build`].
    fn outline(&self, _input: &Input, _outputs: usize) -> Result<Option<Outline>, ModelError> {
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

    /// Returns settings that would reduce the memory of activations, as text for a message, each with the changed
    /// model.
    fn memory_remedies(&self) -> Vec<(String, ModelConfig)> {
        Vec::new()
    }
}

/// Lists the models, their types, and a sentence about each for the reference.
macro_rules! catalogue {
    ($($name:literal => $Spec:ident, $doc:literal;)*) => {
        static REGISTRY: LazyLock<Registry<dyn ModelSpec>> = LazyLock::new(|| {
            Registry::new("model", "model", vec![$(Kind::new::<$Spec>($name, $doc, |spec| Arc::new(spec))),*])
        });
    };
}

catalogue! {
    "mlp" => MlpConfig, "A multilayer perceptron.";
    "convnet" => ConvNetConfig, "A convolutional network.";
    "resnet" => ResNetConfig, "A residual network.";
    "gpt" => GptConfig, "A decoder-only transformer for tokens.";
    "custom" => Custom, "A model that the training program passes as a value.";
}

impl Named for dyn ModelSpec {
    fn registry() -> &'static Registry<Self> {
        &REGISTRY
    }
}

/// Registers the models of type `T` as `name`, for the lifetime of the program: `model.kind` in a configuration. A
/// program that resumes such a run, or uses its model, must register it before it reads the configuration or the
/// checkpoint.
///
/// # Errors
/// The name is invalid or taken, the type already has a name, or it is not a struct with named fields.
pub fn register<T: ModelSpec + Serialize + DeserializeOwned>(name: &'static str) -> Result<(), KindError> {
    let kind = Kind::<dyn ModelSpec>::own::<T>(name, &["kind"], |spec| Arc::new(spec))?;
    REGISTRY.register(kind)
}
