//! The quantile loss.

use candle_core::{DType, Tensor};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Mean, Metric, Tally, Task, task};

/// Mean of `q * (target - output)` where the target is larger, otherwise of `(1 - q) * (output - target)`: the pinball
/// loss of the quantile `q` (Koenker and Bassett, Econometrica 46, 1978), scikit-learn's `mean_pinball_loss`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct QuantileLoss {
    /// The quantile, above 0 and below 1.
    #[serde(default = "median")]
    #[schemars(extend("exclusiveMinimum" = 0.0, "exclusiveMaximum" = 1.0))]
    pub quantile: f64,
}

fn median() -> f64 {
    0.5
}

impl Metric for QuantileLoss {
    fn more_is_better() -> bool {
        false
    }

    fn validate(&self) -> Result<(), String> {
        let is_inside = self.quantile > 0.0 && self.quantile < 1.0;
        if is_inside { Ok(()) } else { Err(format!("quantile = {}: must be above 0 and below 1", self.quantile)) }
    }

    fn check_task(&self, task: &Task) -> Result<(), String> {
        task::values(task)
    }

    fn tally(&self) -> Box<dyn Tally> {
        let quantile = self.quantile;
        Box::new(Mean::of(move |outputs: &Tensor, targets: &Tensor| {
            let missing = (targets.to_dtype(DType::F64)? - outputs.to_dtype(DType::F64)?)?;
            (&missing * quantile)?.maximum(&(&missing * (quantile - 1.0))?)
        }))
    }
}
