//! Losses of values beside the mean squared error: mean absolute error, Huber loss, Poisson loss.

use candle_core::{Result, Tensor};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Link, Loss, LossError, Predicted, TargetKind};
use crate::ops::loss::{check_targets, huber, mean_absolute_error, poisson};

fn one_for_each(targets: TargetKind) -> std::result::Result<usize, LossError> {
    match targets {
        TargetKind::Values { width } => Ok(width),
        TargetKind::Classes { .. } => Err(LossError::Unfit { targets }),
    }
}

/// Mean absolute error for values: [`mean_absolute_error`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AbsoluteError {}

impl Loss for AbsoluteError {
    fn outputs(&self, targets: TargetKind) -> std::result::Result<usize, LossError> {
        one_for_each(targets)
    }

    fn forward(&self, outputs: &Tensor, targets: &Tensor) -> Result<Tensor> {
        mean_absolute_error(outputs, targets)
    }

    fn link(&self, _targets: TargetKind) -> Option<Link> {
        Some(Link::Identity)
    }
}

/// Huber loss for values: [`huber`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Huber {
    /// The distance up to which the loss is quadratic, above 0.
    #[serde(default = "one")]
    #[schemars(extend("exclusiveMinimum" = 0.0))]
    pub delta: f64,
}

fn one() -> f64 {
    1.0
}

impl Loss for Huber {
    fn validate(&self) -> std::result::Result<(), LossError> {
        if self.delta.is_finite() && self.delta >= f64::from(f32::MIN_POSITIVE) {
            return Ok(());
        }
        Err(LossError::field("delta", self.delta, "must be a finite number above 0, and not below what f32 can hold"))
    }

    fn outputs(&self, targets: TargetKind) -> std::result::Result<usize, LossError> {
        one_for_each(targets)
    }

    fn forward(&self, outputs: &Tensor, targets: &Tensor) -> Result<Tensor> {
        huber(outputs, targets, self.delta)
    }

    fn link(&self, _targets: TargetKind) -> Option<Link> {
        Some(Link::Identity)
    }
}

/// Poisson loss for counts: [`poisson`]. An output is the logarithm of the expected count; predictions and metrics are
/// of the expected count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Poisson {}

impl Loss for Poisson {
    fn outputs(&self, targets: TargetKind) -> std::result::Result<usize, LossError> {
        one_for_each(targets)
    }

    fn forward(&self, outputs: &Tensor, targets: &Tensor) -> Result<Tensor> {
        self.check_targets(targets)?;
        poisson(outputs, targets)
    }

    fn limits_targets(&self) -> bool {
        true
    }

    fn check_targets(&self, targets: &Tensor) -> Result<()> {
        check_targets("Poisson loss", targets, "a count, at least 0", |target| target >= 0.0)
    }

    fn values(&self, outputs: &Tensor) -> Result<Tensor> {
        outputs.exp()
    }

    fn link(&self, _targets: TargetKind) -> Option<Link> {
        Some(Link::Exp)
    }

    fn interpret(&self, outputs: Vec<Vec<f32>>) -> Predicted {
        Predicted::Values(outputs.into_iter().map(|row| row.into_iter().map(f32::exp).collect()).collect())
    }
}
