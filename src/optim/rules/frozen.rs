//! A rule for parameters that do not train.

use candle_core::Result;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::super::{BaseHyperparams, Step, Update, UpdateRule};

/// No update: the parameters stay as they are. Their gradients count neither for the norm nor for clipping, as those
/// of parameters with `requires_grad = False` in PyTorch.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Frozen {}

impl UpdateRule for Frozen {
    fn base(&self) -> BaseHyperparams {
        BaseHyperparams { lr: 0.0, weight_decay: 0.0, momentum: None }
    }

    fn states(&self, _momentum: f64) -> &'static [&'static str] {
        &[]
    }

    fn update(&self, _tensors: &Update<'_>, _step: &Step) -> Result<()> {
        Ok(())
    }

    fn trains(&self) -> bool {
        false
    }
}
