//! Weights that an optimizer has for evaluations, such as the averages of a schedule-free one.

use super::TrainError;
use crate::checkpoint::Checkpoint;
use crate::optim::{Optimizer, OptimizerConfig};
use crate::parameters::Parameters;

/// Sets `weights`, those of a checkpoint's model, to the values that its optimizer has for evaluations.
pub(crate) fn apply_averaged(
    config: &OptimizerConfig,
    checkpoint: &Checkpoint,
    weights: &Parameters,
) -> Result<(), TrainError> {
    if config.has_evaluation_weights().is_none() {
        return Ok(());
    }
    let mut optimizer = Optimizer::of_begun_run(weights, config.clone())?;
    checkpoint.restore_some(&mut [("optimizer", &mut optimizer)])?;
    for (name, averaged) in optimizer.evaluation_weights()?.iter().flat_map(|averaged| averaged.iter()) {
        if let Some(own) = weights.get(name) {
            own.set(averaged.as_tensor())?;
        }
    }
    Ok(())
}
