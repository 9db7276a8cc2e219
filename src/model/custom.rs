//! A model that a program passes as a value.

use candle_core::Device;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Input, Model, ModelError, ModelSpec, Policy};

/// Placeholder in a configuration for a model that the training program passes as a value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Custom {}

impl ModelSpec for Custom {
    fn build(&self, _: &Input, _: usize, _: u64, _: &Device) -> Result<Box<dyn Model>, ModelError> {
        let rule = "the model is passed as a value by the program that trains this run; use that program \
                    (`Session::builder` takes it), or name a model here";
        Err(ModelError::field("kind", "custom", rule))
    }

    fn build_with_policy(
        &self,
        input: &Input,
        outputs: usize,
        seed: u64,
        device: &Device,
        _: Policy,
    ) -> Result<Box<dyn Model>, ModelError> {
        self.build(input, outputs, seed, device)
    }
}
