//! Cross-entropy with one logit per class.

use candle_core::{D, DType, Result, Tensor};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{ClassWeights, Link, Loss, LossConfig, LossError, Predicted, TargetKind, check_smoothing};
use crate::ops::loss::{RowWeights, cross_entropy, soft_cross_entropy, weighted_cross_entropy};

/// Cross-entropy with one logit per class: [`cross_entropy`], or with weights [`weighted_cross_entropy`].
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CrossEntropy {
    /// Share in `[0, 1)` of the target that is spread over all classes.
    #[serde(default)]
    #[schemars(range(min = 0.0), extend("exclusiveMaximum" = 1.0))]
    pub label_smoothing: f64,
    /// The weight of each class, or `"balanced"`. The mean is over the weights, in training of a batch, or of a piece of
    /// it, and in a validation of all rows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class_weights: Option<ClassWeights>,
    /// The number of the class that marks rows or positions without a target, which do not count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ignore_index: Option<u32>,
}

const WEIGHTS: &str = "class_weights";

impl CrossEntropy {
    fn of(&self, outputs: &Tensor, targets: &Tensor, label_smoothing: f64) -> Result<Tensor> {
        if targets.dtype().is_float() {
            return soft_cross_entropy(outputs, targets, label_smoothing);
        }
        if self.class_weights.is_none() && self.ignore_index.is_none() {
            return cross_entropy(outputs, targets, label_smoothing);
        }
        let class_weights = self.class_weights.as_ref().and_then(ClassWeights::numbers).map(<[f64]>::to_vec);
        let rows = RowWeights { class_weights, ignored: self.ignore_index };
        weighted_cross_entropy(outputs, targets, label_smoothing, &rows)
    }
}

impl Loss for CrossEntropy {
    fn validate(&self) -> std::result::Result<(), LossError> {
        check_smoothing(self.label_smoothing)?;
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
        self.of(outputs, targets, self.label_smoothing)
    }

    fn measure(&self, outputs: &Tensor, targets: &Tensor) -> Result<Tensor> {
        self.of(outputs, targets, 0.0)
    }

    fn weight(&self, targets: &Tensor) -> Result<f64> {
        let Some(weights) = self.class_weights.as_ref().and_then(ClassWeights::numbers) else {
            return Ok(super::count(targets)? as f64);
        };
        let classes: Vec<u32> = targets.to_dtype(DType::U32)?.flatten_all()?.to_vec1()?;
        Ok(classes.into_iter().filter_map(|class| weights.get(class as usize)).sum())
    }

    fn ignored(&self) -> Option<u32> {
        self.ignore_index
    }

    fn ignoring(&self, class: u32) -> Option<LossConfig> {
        LossConfig::of(&Self { ignore_index: Some(class), ..self.clone() }).ok()
    }

    fn takes_probabilities(&self) -> bool {
        self.class_weights.is_none() && self.ignore_index.is_none()
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
