//! Average precision.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::ranked::{MOST, RankedScores, Tied};
use super::{Metric, Tally, Task, task};

/// Average precision: the precision at each threshold, weighted by the growth of the recall there, as scikit-learn's
/// `average_precision_score`. For two classes it is that of class 1; for more, the mean over the classes; for labels
/// the mean over them. A class that no row has is left out. It keeps 4 bytes for each score of a validation, one a
/// row for two classes, and 4 bytes a row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AveragePrecision {}

impl Metric for AveragePrecision {
    fn more_is_better() -> bool {
        true
    }

    fn check_task(&self, task: &Task) -> Result<(), String> {
        task::classes_or_labels(task)?;
        task::few_classes(task, MOST)
    }

    fn tally(&self) -> Box<dyn Tally> {
        Box::new(RankedScores::new(precision))
    }
}

fn precision(tied: &[Tied]) -> Option<f64> {
    let all: u64 = tied.iter().map(|group| group.positive).sum();
    let (mut found, mut rows, mut sum) = (0, 0, 0.0);
    for group in tied {
        found += group.positive;
        rows += group.positive + group.negative;
        sum += group.positive as f64 * (found as f64 / rows as f64);
    }
    (all > 0).then(|| sum / all as f64)
}
