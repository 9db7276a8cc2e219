//! What a user may write about a model, and the model that comes of it.

use candle_core::Device;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};
use thiserror::Error;

use super::{ConvNet, ConvNetConfig, Gpt, GptConfig, Mlp, MlpConfig, Model, ResNet, ResNetConfig};
use crate::data::Input;
use crate::kinded::Kinded;

/// A model's kind and shape, the `[model]` table of a config.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum ModelConfig {
    /// A multilayer perceptron.
    Mlp(MlpConfig),
    /// A convolutional network.
    ConvNet(ConvNetConfig),
    /// A residual network.
    ResNet(ResNetConfig),
    /// A decoder of tokens.
    Gpt(GptConfig),
}

impl<'de> Deserialize<'de> for ModelConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let table = Kinded::deserialize(deserializer)?;
        match table.kind() {
            "mlp" => table.read().map(Self::Mlp),
            "convnet" => table.read().map(Self::ConvNet),
            "resnet" => table.read().map(Self::ResNet),
            "gpt" => table.read().map(Self::Gpt),
            _ => Err(table.unknown(&["mlp", "convnet", "resnet", "gpt"])),
        }
    }
}

/// Why there is no model for a configuration.
#[derive(Debug, Error)]
pub enum ModelError {
    /// A field has a value it cannot have.
    #[error("model.{field} = {value}: {rule}")]
    Field {
        /// The field.
        field: &'static str,
        /// Its value.
        value: String,
        /// What it must be.
        rule: String,
    },
    /// The model is for other data.
    #[error("{model} takes {takes}, and a row of the data is {data}")]
    OtherData {
        /// The model.
        model: &'static str,
        /// What it takes.
        takes: String,
        /// What one row of the data is.
        data: Input,
    },
    /// The device fails, for lack of memory for example.
    #[error(transparent)]
    Device(candle_core::Error),
}

impl ModelError {
    /// The error of a field.
    pub(super) fn field(field: &'static str, value: impl ToString, rule: impl Into<String>) -> Self {
        Self::Field { field, value: value.to_string(), rule: rule.into() }
    }
}

impl ModelConfig {
    /// Checks what can be checked without the data.
    ///
    /// # Errors
    /// Names the field and its value.
    pub fn validate(&self) -> Result<(), ModelError> {
        match self {
            Self::Mlp(config) => config.validate(),
            Self::ConvNet(config) => config.validate(),
            Self::ResNet(config) => config.validate(),
            Self::Gpt(config) => config.validate(),
        }
    }

    /// The same model, with every default written out that follows from its other fields.
    pub fn complete(&self) -> Self {
        let mut config = self.clone();
        match &mut config {
            Self::ConvNet(config) => {
                for block in config.blocks.iter_mut().filter(|block| block.pool.is_some()) {
                    block.pool_stride.get_or_insert(block.pool_kernel);
                }
            }
            Self::Gpt(config) => {
                config.kv_heads = Some(config.kv_heads());
                config.hidden = Some(config.hidden());
            }
            Self::Mlp(_) | Self::ResNet(_) => {}
        }
        config
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
        match self {
            Self::Mlp(config) => match input {
                Input::Numbers(shape) => {
                    Ok(Box::new(Mlp::new(config.clone(), shape.iter().product(), outputs, seed, device)?))
                }
                Input::Tokens { .. } => Err(ModelError::OtherData {
                    model: "an mlp",
                    takes: "rows of numbers".to_owned(),
                    data: input.clone(),
                }),
            },
            Self::ConvNet(config) => Ok(Box::new(ConvNet::new(config.clone(), input, outputs, seed, device)?)),
            Self::ResNet(config) => Ok(Box::new(ResNet::new(config, input, outputs, seed, device)?)),
            Self::Gpt(config) => match *input {
                Input::Tokens { context, vocabulary } => {
                    Ok(Box::new(Gpt::new(config.clone(), context, vocabulary, outputs, seed, device)?))
                }
                Input::Numbers(_) => Err(ModelError::OtherData {
                    model: "a gpt",
                    takes: "rows of tokens".to_owned(),
                    data: input.clone(),
                }),
            },
        }
    }
}

/// Refuses a share of dropped units that is none.
pub(super) fn check_dropout(dropout: f64) -> Result<(), ModelError> {
    if (0.0..1.0).contains(&dropout) {
        return Ok(());
    }
    Err(ModelError::field("dropout", dropout, "must be at least 0 and below 1"))
}
