//! Root mean squared error.

use candle_core::{DType, Tensor};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Mean, Metric, Tally, Task, task};

/// Root of the mean of `(output - target)^2` over all values, as torchmetrics' `MeanSquaredError(squared=False)`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RootMeanSquaredError {}

impl Metric for RootMeanSquaredError {
    fn more_is_better() -> bool {
        false
    }

    fn check_task(&self, task: &Task) -> Result<(), String> {
        task::values(task)
    }

    fn tally(&self) -> Box<dyn Tally> {
        let square =
            |outputs: &Tensor, targets: &Tensor| (outputs.to_dtype(DType::F64)? - targets.to_dtype(DType::F64)?)?.sqr();
        Box::new(Mean::of(square).then(f64::sqrt))
    }
}
