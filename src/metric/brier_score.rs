//! The Brier score.

use candle_core::{Device, Tensor};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::scored::{Scored, Truth, probabilities, sigmoid};
use super::{Mean, Metric, Tally, Task, task};

/// Mean squared distance of probabilities from the truth (Brier, Monthly Weather Review 78, 1950), as scikit-learn's
/// `brier_score_loss`: for two classes of the probability of class 1, from 0 to 1; for more the sum over the classes,
/// from 0 to 2; for labels the mean over them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BrierScore {}

impl Metric for BrierScore {
    fn more_is_better() -> bool {
        false
    }

    fn check_task(&self, task: &Task) -> Result<(), String> {
        task::classes_or_labels(task)
    }

    fn tally(&self) -> Box<dyn Tally> {
        Box::new(Mean::of(|outputs: &Tensor, targets: &Tensor| {
            let scored = Scored::of(outputs, targets)?;
            let squares: Vec<f64> = match &scored.truth {
                Truth::Classes(classes) => {
                    scored.rows().zip(classes).map(|(row, &class)| of_class(row, class)).collect()
                }
                Truth::Labels(labels) => {
                    scored.logits.iter().zip(labels).map(|(&x, &label)| of_label(x, label)).collect()
                }
            };
            Tensor::new(squares, &Device::Cpu)
        }))
    }
}

fn of_class(logits: &[f32], class: u32) -> f64 {
    let probabilities = probabilities(logits);
    let square = |(place, p): (usize, &f64)| if place == class as usize { (1.0 - p) * (1.0 - p) } else { p * p };
    let sum: f64 = probabilities.iter().enumerate().map(square).sum();
    if probabilities.len() == 2 { sum / 2.0 } else { sum }
}

fn of_label(logit: f32, label: bool) -> f64 {
    let distance = sigmoid(logit) - f64::from(u8::from(label));
    distance * distance
}
