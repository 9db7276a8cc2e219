//! Mean absolute error.

use candle_core::Tensor;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Mean, Metric, Tally, Task, task};

/// Mean of `|output - target|` over all values.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MeanAbsoluteError {}

impl Metric for MeanAbsoluteError {
    fn more_is_better() -> bool {
        false
    }

    fn check_task(&self, task: &Task) -> Result<(), String> {
        task::values(task)
    }

    fn tally(&self) -> Box<dyn Tally> {
        Box::new(Mean::of(|outputs: &Tensor, targets: &Tensor| (outputs - targets)?.abs()))
    }
}
