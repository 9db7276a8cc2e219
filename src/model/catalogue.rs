//! The catalogue of models.
//!
//! To add a model, write its file and its line in `catalogue!` below; a program adds its own with [`register`].

use std::sync::{Arc, LazyLock};

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{ConvNetConfig, Custom, GptConfig, MlpConfig, ModelSpec, ResNetConfig};
use crate::KindError;
use crate::registry::{Kind, Named, Registry};

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
