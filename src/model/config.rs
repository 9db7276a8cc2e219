//! The `[model]` table of a configuration.

use std::borrow::Cow;

use candle_core::Device;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};

use super::{Input, Model, ModelError, ModelSpec, Outline};
use crate::KindError;
use crate::registry::{Chosen, Named};

/// A model's kind and shape, the `[model]` table of a config.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ModelConfig(Chosen<dyn ModelSpec>);

impl ModelConfig {
    /// A model of the catalogue, or of a type that is registered.
    ///
    /// # Errors
    /// The type has no name, or the value cannot be written.
    pub fn of<T: ModelSpec + Serialize>(spec: &T) -> Result<Self, KindError> {
        <dyn ModelSpec>::registry().choose(spec).map(Self)
    }

    /// The name of the model.
    pub fn kind(&self) -> &'static str {
        self.0.name()
    }

    /// The model before it is built.
    pub fn spec(&self) -> &dyn ModelSpec {
        self.0.get().as_ref()
    }

    /// Checks what can be checked without the data.
    ///
    /// # Errors
    /// Names the field and its value.
    pub fn validate(&self) -> Result<(), ModelError> {
        self.spec().validate()
    }

    /// The same model, with every default written out that follows from its other fields, or from the `context` of the
    /// data, the number of tokens in a row.
    pub fn complete(&self, context: Option<usize>) -> Self {
        self.spec().complete(context).unwrap_or_else(|| self.clone())
    }

    /// The model for rows of `input`, with `outputs` numbers for each row, or for each position of one, and initial
    /// weights drawn from `seed`.
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

    /// The size of the model that [`ModelConfig::build`] makes for rows of `input` and this many `outputs`, where it is
    /// known.
    ///
    /// # Errors
    /// The model does not fit the data, or has more tensors than can be trained.
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
        let meaning = "A model's kind and shape, the `[model]` table of a config.";
        schema.insert("description".to_owned(), meaning.into());
        schema
    }
}
