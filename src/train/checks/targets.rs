//! Whether the loss takes the targets of the rows: those of mixed rows, and values within its limits.

use crate::backtrace::without_backtrace;
use crate::data::{Data, DataConfig, Dataset, TargetKind};
use crate::loss::Loss;
use crate::train::{Config, TrainError};

/// Rows whose targets are looked at before the first step; a later one is an error in its step.
const LOOKED_AT: usize = 1 << 16;

/// Refuses a loss that does not take the targets.
pub(in crate::train) fn check(config: &Config, data: &Data, loss: &dyn Loss) -> Result<(), TrainError> {
    match data.targets() {
        TargetKind::Classes { .. } => check_mixing(&config.data, loss),
        TargetKind::Values { .. } if loss.limits_targets() => check_values(config, data, loss),
        TargetKind::Values { .. } => Ok(()),
    }
}

/// Refuses to mix rows of classes where the loss takes only classes.
fn check_mixing(config: &DataConfig, loss: &dyn Loss) -> Result<(), TrainError> {
    let Some(augment) = config.augment.as_ref().filter(|augment| augment.mixes()) else { return Ok(()) };
    if loss.takes_probabilities() {
        return Ok(());
    }
    let rule = "mixed rows have probabilities of classes, and the loss takes only classes; use `cross_entropy` without \
                weights and `ignore_index`, or `binary_cross_entropy`";
    let way = if augment.mixup.is_some() { "mixup" } else { "cutmix" };
    Err(TrainError::Field { field: "data.augment".to_owned(), value: way.to_owned(), rule: rule.to_owned() })
}

/// Refuses values outside the limits of the loss, in the first rows for training and for validation.
fn check_values(config: &Config, data: &Data, loss: &dyn Loss) -> Result<(), TrainError> {
    const BLOCK: usize = 1024;
    for rows in [data.train_rows(), data.validation_rows()] {
        for start in (0..rows.len().min(LOOKED_AT)).step_by(BLOCK) {
            // Shards are read from elsewhere: a few rows show as much.
            if start > 0 && data.dataset().shards().is_some() {
                break;
            }
            let block = rows.slice(start..start + BLOCK);
            let targets = data.dataset().gather(&block)?.targets;
            if let Err(error) = loss.check_targets(&targets) {
                let rule =
                    format!("does not fit the data: {}; for any values there is `mse`", without_backtrace(error));
                let value = config.loss.kind().unwrap_or("the usual").to_owned();
                return Err(TrainError::Field { field: "loss.kind".to_owned(), value, rule });
            }
        }
    }
    Ok(())
}
