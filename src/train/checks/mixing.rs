//! Whether the loss takes the targets of mixed rows.

use crate::data::{DataConfig, TargetKind};
use crate::loss::Loss;
use crate::train::TrainError;

/// Refuses to mix rows of classes where the loss takes only classes.
pub(in crate::train) fn check(config: &DataConfig, targets: TargetKind, loss: &dyn Loss) -> Result<(), TrainError> {
    let mixes = config.augment.as_ref().is_some_and(|augment| augment.mixes());
    let are_classes = matches!(targets, TargetKind::Classes { .. });
    if !mixes || !are_classes || loss.takes_probabilities() {
        return Ok(());
    }
    let rule = "mixed rows have probabilities of classes, and the loss takes only classes; use `cross_entropy` without \
                weights and `ignore_index`, or `binary_cross_entropy`";
    let way = if config.augment.as_ref().is_some_and(|augment| augment.mixup.is_some()) { "mixup" } else { "cutmix" };
    Err(TrainError::Field { field: "data.augment".to_owned(), value: way.to_owned(), rule: rule.to_owned() })
}
