//! Accuracy. A loss of classes or labels has one, which every validation measures as `val_accuracy`; there, a list of
//! metrics may name it or not.

use candle_core::{D, Result, Tensor};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::scored::per_class;
use super::{Mean, Metric, Tally, Task, task};

/// The name of the accuracy in a list of metrics.
pub(crate) const ACCURACY: &str = "accuracy";

/// Share of the targets whose class has the largest logit, or of the rows whose labels are all right.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Accuracy {}

impl Metric for Accuracy {
    fn more_is_better() -> bool {
        true
    }

    fn check_task(&self, task: &Task) -> std::result::Result<(), String> {
        task::classes_or_labels(task)
    }

    fn tally(&self) -> Box<dyn Tally> {
        Box::new(Mean::of(right))
    }
}

/// Returns 1 for each target, or row of labels, that is right, and 0 for others.
fn right(outputs: &Tensor, targets: &Tensor) -> Result<Tensor> {
    if targets.dtype().is_int() {
        let predicted = per_class(outputs)?.argmax(D::Minus1)?;
        return predicted.eq(&targets.to_dtype(predicted.dtype())?);
    }
    outputs.gt(0f64)?.eq(&targets.gt(0.5f64)?)?.min(D::Minus1)
}
