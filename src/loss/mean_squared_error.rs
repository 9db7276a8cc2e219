//! Mean squared error for values.

use candle_core::{Result, Tensor};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Link, Loss, LossError, TargetKind, check_smoothing};
use crate::ops::loss::mean_squared_error;

/// Mean squared error for values: [`mean_squared_error`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MeanSquaredError {
    /// Must be 0: there are no labels to smooth. Accepted because older configurations contain it.
    #[serde(default)]
    #[schemars(range(min = 0.0), extend("exclusiveMaximum" = 1.0))]
    pub label_smoothing: f64,
}

impl Loss for MeanSquaredError {
    fn validate(&self) -> std::result::Result<(), LossError> {
        check_smoothing(self.label_smoothing)
    }

    fn outputs(&self, targets: TargetKind) -> std::result::Result<usize, LossError> {
        let TargetKind::Values { width } = targets else { return Err(LossError::Unfit { targets }) };
        if self.label_smoothing > 0.0 {
            let rule = "mean squared error has no labels to smooth";
            return Err(LossError::field("label_smoothing", self.label_smoothing, rule));
        }
        Ok(width)
    }

    fn forward(&self, outputs: &Tensor, targets: &Tensor) -> Result<Tensor> {
        mean_squared_error(outputs, targets)
    }

    fn link(&self, _targets: TargetKind) -> Option<Link> {
        Some(Link::Identity)
    }
}
