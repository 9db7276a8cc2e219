//! Cross-entropy with one logit per class.

use candle_core::{D, Result, Tensor};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Loss, LossError, Predicted, TargetKind, check_smoothing};
use crate::ops::loss::cross_entropy;

/// Cross-entropy with one logit per class: [`cross_entropy`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CrossEntropy {
    /// Share in `[0, 1)` of the target that is spread over all classes.
    #[serde(default)]
    #[schemars(range(min = 0.0), extend("exclusiveMaximum" = 1.0))]
    pub label_smoothing: f64,
}

impl Loss for CrossEntropy {
    fn validate(&self) -> std::result::Result<(), LossError> {
        check_smoothing(self.label_smoothing)
    }

    fn outputs(&self, targets: TargetKind) -> std::result::Result<usize, LossError> {
        match targets {
            TargetKind::Classes { count } => Ok(count),
            TargetKind::Values { .. } => Err(LossError::Unfit { targets }),
        }
    }

    fn forward(&self, outputs: &Tensor, targets: &Tensor) -> Result<Tensor> {
        cross_entropy(outputs, targets, self.label_smoothing)
    }

    fn measure(&self, outputs: &Tensor, targets: &Tensor) -> Result<Tensor> {
        cross_entropy(outputs, targets, 0.0)
    }

    fn has_accuracy(&self) -> bool {
        true
    }

    fn correct(&self, outputs: &Tensor, targets: &Tensor) -> Result<Option<usize>> {
        super::count_equal(&outputs.argmax(D::Minus1)?, targets).map(Some)
    }

    fn interpret(&self, outputs: Vec<Vec<f32>>) -> Predicted {
        Predicted::of_logits(&outputs)
    }
}
