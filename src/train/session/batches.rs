//! Checks that every batch of a run has enough rows for its model, and the amount of data that one is.

use serde_json::json;

use crate::data::{Data, pieces};
use crate::figures::counted;
use crate::model::Input;
use crate::schedule::Taken;
use crate::train::TrainError;
use crate::train::config::Config;

/// Refuses a run with batches or micro-batches that have fewer rows than the model needs for training. All batches have
/// the same size except the last of an epoch.
pub(super) fn refuse_small(config: &Config, data: &Data, fewest: usize) -> Result<(), TrainError> {
    // The statistics of synchronized batch norms are those of the whole batch.
    let accumulate = if config.train.has_sync_batch_norm() { 1 } else { config.train.accumulate.unwrap_or(1) };
    let total = config.total_steps(data);
    for step in data.various_steps().into_iter().filter(|&step| step < total) {
        let rows = data.batch_rows(step);
        let Some(small) = pieces(rows, accumulate).map(|piece| piece.len()).find(|&piece| piece < fewest) else {
            continue;
        };
        let (field, value, what) = match accumulate {
            1 => ("data.batch_size", json!(config.data.batch_size).to_string(), "a batch"),
            _ => ("train.accumulate", accumulate.to_string(), "a micro-batch"),
        };
        let rule = format!(
            "update {step} has {}, and so {what} of {small}, too few for a batch norm with a single number \
             per channel in a row; change `train.accumulate` or `data.batch_size`, or leave a last batch that is not \
             full out (`data.drop_last = true`)",
            counted(rows, "row")
        );
        return Err(TrainError::Field { field: field.to_owned(), value, rule });
    }
    Ok(())
}

/// Returns the amount of data that an update takes, of which the last one of an epoch may take less.
pub(super) fn taken(data: &Data) -> Taken {
    let samples = data.full_batch();
    let tokens = match data.input() {
        Input::Tokens { context, .. } => Some(samples.saturating_mul(context as u64)),
        _ => None,
    };
    Taken { samples, tokens }
}
