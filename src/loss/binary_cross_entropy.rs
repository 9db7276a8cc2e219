//! Binary cross-entropy: of a single logit against two classes, or of a logit for each label.

use candle_core::{D, DType, Result, Tensor};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{ClassWeights, Link, Loss, LossConfig, LossError, Predicted, TargetKind, check_smoothing, sigmoid};
use crate::ops::loss::{check_targets, weighted_binary_cross_entropy};

/// Binary cross-entropy of a single logit against two classes, or of a logit for each of several values, which are
/// labels from 0 to 1: [`weighted_binary_cross_entropy`]. The mean is over all labels of all rows.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BinaryCrossEntropy {
    /// Share in `[0, 1)` of the target that is spread over all classes.
    #[serde(default)]
    #[schemars(range(min = 0.0), extend("exclusiveMaximum" = 1.0))]
    pub label_smoothing: f64,
    /// How much a target of 1 weighs, for each label, or one number for two classes. `"balanced"`, for two classes, is
    /// the number of training rows of class 0 over that of class 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub positive_weights: Option<ClassWeights>,
}

const WEIGHTS: &str = "positive_weights";

impl BinaryCrossEntropy {
    fn of(&self, outputs: &Tensor, targets: &Tensor, label_smoothing: f64) -> Result<Tensor> {
        self.check_targets(targets)?;
        let weights = self.positive_weights.as_ref().and_then(ClassWeights::numbers);
        // Probabilities of two classes, of which the second is that of class 1.
        if targets.dtype().is_float() && outputs.dim(D::Minus1)? == 1 && targets.dims().last() == Some(&2) {
            let ones = targets.narrow(D::Minus1, 1, 1)?;
            return weighted_binary_cross_entropy(outputs, &ones, label_smoothing, weights);
        }
        weighted_binary_cross_entropy(outputs, targets, label_smoothing, weights)
    }
}

impl Loss for BinaryCrossEntropy {
    fn validate(&self) -> std::result::Result<(), LossError> {
        check_smoothing(self.label_smoothing)?;
        ClassWeights::validate(WEIGHTS, self.positive_weights.as_ref())
    }

    fn outputs(&self, targets: TargetKind) -> std::result::Result<usize, LossError> {
        let outputs = match targets {
            TargetKind::Classes { count: 2 } => 1,
            TargetKind::Values { .. } if self.is_balanced() => {
                let rule = "is for two classes; for labels give a number for each";
                return Err(LossError::field(WEIGHTS, "balanced", rule));
            }
            TargetKind::Values { width } => width,
            targets => return Err(LossError::Unfit { targets }),
        };
        ClassWeights::check_count(WEIGHTS, self.positive_weights.as_ref(), outputs, targets)?;
        Ok(outputs)
    }

    fn is_balanced(&self) -> bool {
        self.positive_weights == Some(ClassWeights::Balanced)
    }

    fn with_counts(&self, counts: &[usize]) -> std::result::Result<Option<LossConfig>, LossError> {
        let weight = match *counts {
            [zeros, ones] if ones > 0 => zeros as f64 / ones as f64,
            _ => return Err(LossError::field(WEIGHTS, "balanced", "class 1 has no training rows; give the number")),
        };
        let positive_weights = Some(ClassWeights::Given(vec![weight]));
        Ok(LossConfig::of(&Self { positive_weights, ..self.clone() }).ok())
    }

    fn forward(&self, outputs: &Tensor, targets: &Tensor) -> Result<Tensor> {
        self.of(outputs, targets, self.label_smoothing)
    }

    fn measure(&self, outputs: &Tensor, targets: &Tensor) -> Result<Tensor> {
        self.of(outputs, targets, 0.0)
    }

    fn limits_targets(&self) -> bool {
        true
    }

    fn check_targets(&self, targets: &Tensor) -> Result<()> {
        check_targets("binary cross-entropy", targets, "from 0 to 1", |target| (0.0..=1.0).contains(&target))
    }

    fn takes_probabilities(&self) -> bool {
        true
    }

    fn takes_labels(&self) -> bool {
        true
    }

    fn has_accuracy(&self) -> bool {
        true
    }

    /// A row of several labels is right if all of them are.
    fn correct(&self, outputs: &Tensor, targets: &Tensor) -> Result<Option<usize>> {
        let predicted = outputs.gt(0f64)?;
        if targets.dtype().is_int() {
            return super::count_equal(&predicted.flatten_all()?.to_dtype(DType::U32)?, targets).map(Some);
        }
        let right = predicted.eq(&targets.gt(0.5f64)?)?.min(D::Minus1)?.to_dtype(DType::U8)?;
        Ok(Some(right.to_vec1::<u8>()?.into_iter().map(usize::from).sum()))
    }

    fn link(&self, targets: TargetKind) -> Option<Link> {
        Some(match targets {
            TargetKind::Values { .. } => Link::SigmoidOfEach,
            TargetKind::Classes { .. } => Link::Sigmoid,
        })
    }

    /// One output is the logit of class 1 against a logit of 0.
    fn interpret(&self, outputs: Vec<Vec<f32>>) -> Predicted {
        let pair = |row: &Vec<f32>| vec![0.0, row.first().copied().unwrap_or_default()];
        Predicted::of_logits(&outputs.iter().map(pair).collect::<Vec<_>>())
    }

    /// Of values, each output is the logit of a label.
    fn interpret_for(&self, targets: TargetKind, outputs: Vec<Vec<f32>>) -> Predicted {
        match targets {
            TargetKind::Values { .. } => {
                Predicted::Values(outputs.into_iter().map(|row| row.into_iter().map(sigmoid).collect()).collect())
            }
            TargetKind::Classes { .. } => self.interpret(outputs),
        }
    }
}
