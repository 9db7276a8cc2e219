//! The `[model]` table of a configuration.

use std::borrow::Cow;

use candle_core::Device;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};

use super::{Input, Model, ModelError, ModelSpec, Outline, Policy};
use crate::KindError;
use crate::registry::{Chosen, Named};

/// A model's kind and settings, the `[model]` table of a configuration.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ModelConfig(Chosen<dyn ModelSpec>);

impl ModelConfig {
    /// Creates the configuration of a catalogue model or of a registered type.
    ///
    /// # Errors
    /// The type has no name, or the value cannot be written.
    pub fn of<T: ModelSpec + Serialize>(spec: &T) -> Result<Self, KindError> {
        <dyn ModelSpec>::registry().choose(spec).map(Self)
    }

    /// Returns the name of the model.
    pub fn kind(&self) -> &'static str {
        self.0.name()
    }

    /// Returns the model's settings, before it is built.
    pub fn spec(&self) -> &dyn ModelSpec {
        self.0.get().as_ref()
    }

    /// Checks what can be checked without the data.
    ///
    /// # Errors
    /// The field and its value.
    pub fn validate(&self) -> Result<(), ModelError> {
        self.spec().validate()
    }

    /// Returns the same model, with every default written out that depends on its other fields or on `context`, the
    /// number of tokens in a row of the data.
    pub fn complete(&self, context: Option<usize>) -> Self {
        self.spec().complete(context).unwrap_or_else(|| self.clone())
    }

    /// Returns the same model in which a position sees only its own document, each of which begins with the token `start`;
    /// `None` if the model cannot.
    pub(crate) fn of_documents(&self, start: u32) -> Option<Self> {
        self.spec().of_documents(start)
    }

    /// Builds the model for rows of `input`, with `outputs` numbers per row, or per position in a row, and initial
    /// weights from `seed`.
    ///
    /// # Errors
    /// The model does not fit the data, or the device fails.
    pub fn build(
        &self,
        input: &Input,
        outputs: usize,
        seed: u64,
        device: &Device,
    ) -> Result<Box<dyn Model>, ModelError> {
        self.spec().build(input, outputs, seed, device)
    }

    /// [`ModelConfig::build`] of a model with these number types.
    ///
    /// # Errors
    /// As [`ModelConfig::build`]; the model does not support the types.
    pub fn build_with_policy(
        &self,
        input: &Input,
        outputs: usize,
        seed: u64,
        device: &Device,
        policy: Policy,
    ) -> Result<Box<dyn Model>, ModelError> {
        self.spec().build_with_policy(input, outputs, seed, device, policy)
    }

    /// Returns the size of the model that [`ModelConfig::build`] builds for rows of `input` and this number of
    /// `outputs`, if it is known.
    ///
    /// # Errors
    /// The model does not fit the data, or has too many tensors to train.
    pub fn outline(&self, input: &Input, outputs: usize) -> Result<Option<Outline>, ModelError> {
        self.spec().outline(input, outputs)
    }
}

impl JsonSchema for ModelConfig {
    fn schema_name() -> Cow<'static, str> {
        "ModelConfig".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let mut schema = <dyn ModelSpec>::registry().schema(generator);
        let meaning = "A model's kind and settings, the `[model]` table of a configuration.";
        schema.insert("description".to_owned(), meaning.into());
        schema
    }
}
