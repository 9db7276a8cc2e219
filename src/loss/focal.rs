//! Focal loss.

use candle_core::{D, Result, Tensor};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{ClassWeights, Link, Loss, LossConfig, LossError, Predicted, TargetKind};
use crate::ops::loss::focal;

/// Focal loss with one logit per class, which gives less weight to rows that are right already: [`focal`]. The mean is
/// over the rows. A validation measures the same.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Focal {
    /// The exponent of the probability of the other classes, at least 0; with 0 it is the cross-entropy.
    #[serde(default = "two")]
    #[schemars(range(min = 0.0))]
    pub gamma: f64,
    /// The weight of each class, or `"balanced"`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class_weights: Option<ClassWeights>,
}

fn two() -> f64 {
    2.0
}

const WEIGHTS: &str = "class_weights";

impl Loss for Focal {
    fn validate(&self) -> std::result::Result<(), LossError> {
        if !(self.gamma.is_finite() && self.gamma >= 0.0) {
            return Err(LossError::field("gamma", self.gamma, "must be a finite number, at least 0"));
        }
        ClassWeights::validate(WEIGHTS, self.class_weights.as_ref())
    }

    fn outputs(&self, targets: TargetKind) -> std::result::Result<usize, LossError> {
        match targets {
            TargetKind::Classes { count } => {
                ClassWeights::check_count(WEIGHTS, self.class_weights.as_ref(), count, targets)?;
                Ok(count)
            }
            TargetKind::Values { .. } => Err(LossError::Unfit { targets }),
        }
    }

    fn is_balanced(&self) -> bool {
        self.class_weights == Some(ClassWeights::Balanced)
    }

    fn with_counts(&self, counts: &[usize]) -> std::result::Result<Option<LossConfig>, LossError> {
        let class_weights = Some(ClassWeights::balanced(WEIGHTS, counts)?);
        Ok(LossConfig::of(&Self { class_weights, ..self.clone() }).ok())
    }

    fn forward(&self, outputs: &Tensor, targets: &Tensor) -> Result<Tensor> {
        focal(outputs, targets, self.gamma, self.class_weights.as_ref().and_then(ClassWeights::numbers))
    }

    fn has_accuracy(&self) -> bool {
        true
    }

    fn correct(&self, outputs: &Tensor, targets: &Tensor) -> Result<Option<usize>> {
        super::count_equal(&outputs.argmax(D::Minus1)?, targets).map(Some)
    }

    fn link(&self, _targets: TargetKind) -> Option<Link> {
        Some(Link::Softmax)
    }

    fn interpret(&self, outputs: Vec<Vec<f32>>) -> Predicted {
        Predicted::of_logits(&outputs)
    }
}
