//! The model that a program hands over as a value.

use candle_core::Device;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Input, Model, ModelError, ModelSpec};

/// The place of a model that the program which trains hands over as a value. A configuration says no more of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Custom {}

impl ModelSpec for Custom {
    fn build(&self, _: &Input, _: usize, _: u64, _: &Device) -> Result<Box<dyn Model>, ModelError> {
        let rule = "the model is handed over as a value by the program that trains this run; use that program \
                    (`Session::builder` takes it), or name a model here";
        Err(ModelError::field("kind", "custom", rule))
    }
}
