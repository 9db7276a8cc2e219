//! Binary cross-entropy of a single logit.

use candle_core::{DType, Result, Tensor};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Loss, LossError, Predicted, TargetKind, check_smoothing};
use crate::ops::loss::binary_cross_entropy;

/// Binary cross-entropy of a single logit against two classes: [`binary_cross_entropy`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BinaryCrossEntropy {
    /// Share in `[0, 1)` of the target that is spread over all classes.
    #[serde(default)]
    #[schemars(range(min = 0.0), extend("exclusiveMaximum" = 1.0))]
    pub label_smoothing: f64,
}

impl Loss for BinaryCrossEntropy {
    fn validate(&self) -> std::result::Result<(), LossError> {
        check_smoothing(self.label_smoothing)
    }

    fn outputs(&self, targets: TargetKind) -> std::result::Result<usize, LossError> {
        match targets {
            TargetKind::Classes { count: 2 } => Ok(1),
            targets => Err(LossError::Unfit { targets }),
        }
    }

    fn forward(&self, outputs: &Tensor, targets: &Tensor) -> Result<Tensor> {
        binary_cross_entropy(outputs, targets, self.label_smoothing)
    }

    fn measure(&self, outputs: &Tensor, targets: &Tensor) -> Result<Tensor> {
        binary_cross_entropy(outputs, targets, 0.0)
    }

    fn has_accuracy(&self) -> bool {
        true
    }

    fn correct(&self, outputs: &Tensor, targets: &Tensor) -> Result<Option<usize>> {
        super::count_equal(&outputs.flatten_all()?.gt(0f64)?.to_dtype(DType::U32)?, targets).map(Some)
    }

    /// One output is the logit of class 1 against a logit of 0.
    fn interpret(&self, outputs: Vec<Vec<f32>>) -> Predicted {
        let pair = |row: &Vec<f32>| vec![0.0, row.first().copied().unwrap_or_default()];
        Predicted::of_logits(&outputs.iter().map(pair).collect::<Vec<_>>())
    }
}
