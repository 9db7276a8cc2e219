//! The confusion matrix.

use candle_core::{Result, Tensor};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::class_counts::{predicted_classes, true_classes};
use super::{Metric, Tally, Task, task};

/// Classes of the largest matrix, whose list has 10,000 numbers.
const MOST: usize = 100;

/// The name of the list of counts.
pub(crate) const COUNTS: &str = "confusion_counts";

/// Number of rows of each true class (rows of the matrix) by predicted class (columns), as the list `confusion_counts`,
/// row after row, like scikit-learn's `confusion_matrix`. As a single number it is the share of rows off the diagonal,
/// the error rate. For at most 100 classes; 8 bytes for each pair.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ConfusionMatrix {}

impl Metric for ConfusionMatrix {
    fn more_is_better() -> bool {
        false
    }

    fn check_task(&self, task: &Task) -> std::result::Result<(), String> {
        task::classes(task)?;
        task::few_classes(task, MOST)
    }

    fn tally(&self) -> Box<dyn Tally> {
        Box::new(Confusions::default())
    }
}

#[derive(Debug, Default)]
struct Confusions {
    classes: usize,
    /// `classes * classes` of them.
    counts: Vec<u64>,
}

impl Tally for Confusions {
    fn add(&mut self, outputs: &Tensor, targets: &Tensor) -> Result<()> {
        self.classes = outputs.dims().last().copied().unwrap_or(1).max(2);
        self.counts.resize(self.classes * self.classes, 0);
        for (predicted, actual) in predicted_classes(outputs)?.into_iter().zip(true_classes(targets)?) {
            if let Some(count) = self.counts.get_mut(actual as usize * self.classes + predicted as usize) {
                *count += 1;
            }
        }
        Ok(())
    }

    fn value(&self) -> f64 {
        let all: u64 = self.counts.iter().sum();
        let right: u64 = self.counts.iter().step_by(self.classes + 1).sum();
        (all - right) as f64 / all as f64
    }

    fn lists(&self) -> Vec<(&'static str, Vec<f64>)> {
        vec![(COUNTS, self.counts.iter().map(|&count| count as f64).collect())]
    }

    fn sums(&self) -> Option<Vec<f64>> {
        Some([self.classes as u64].iter().chain(&self.counts).map(|&count| count as f64).collect())
    }

    fn add_sums(&mut self, sums: &[f64]) {
        let Some((classes, counts)) = sums.split_first() else { return };
        self.classes = self.classes.max(*classes as usize);
        self.counts.resize(self.counts.len().max(counts.len()), 0);
        self.counts.iter_mut().zip(counts).for_each(|(sum, count)| *sum += *count as u64);
    }
}
