//! The area under the receiver operating characteristic.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::ranked::{MOST, RankedScores, Tied};
use super::{Metric, Tally, Task, task};

/// Area under the receiver operating characteristic: the probability that a row of the class has a higher score than
/// one without it, where equal scores count half. For two classes it is that of class 1; for more, the mean over the
/// classes, each against the rest; for labels the mean over them. A class that no row has, or every row, is left out.
/// It keeps 4 bytes for each score of a validation, one a row for two classes, and 4 bytes a row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Auroc {}

impl Metric for Auroc {
    fn more_is_better() -> bool {
        true
    }

    fn check_task(&self, task: &Task) -> Result<(), String> {
        task::classes_or_labels(task)?;
        task::few_classes(task, MOST)
    }

    fn tally(&self) -> Box<dyn Tally> {
        Box::new(RankedScores::new(area))
    }
}

/// The statistic of Mann and Whitney, in integers, over the number of pairs.
fn area(tied: &[Tied]) -> Option<f64> {
    let (mut above, mut negatives, mut twice_won) = (0u128, 0u128, 0u128);
    for group in tied {
        let (positive, negative) = (u128::from(group.positive), u128::from(group.negative));
        twice_won += negative * (2 * above + positive);
        above += positive;
        negatives += negative;
    }
    let pairs = above * negatives;
    (pairs > 0).then(|| twice_won as f64 / (2 * pairs) as f64)
}
