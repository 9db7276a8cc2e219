//! A run in a few short lines, at its start.

use crate::data::TargetKind;
use crate::figures::{self, counted};
use crate::memory::{self, Available, Size, grouped};
use crate::model::LayerFlops;
use crate::train::{Session, TrainError};

/// Returns the model, the data, and the length and the memory of a run, a line each of usually less than 80 columns.
///
/// # Errors
/// The model does not fit the data.
pub fn brief(session: &Session) -> Result<Vec<String>, TrainError> {
    let lines = [model(session)?, data(session), length(session)?];
    Ok(lines.into_iter().map(|line| format!("plan: {line}")).collect())
}

fn model(session: &Session) -> Result<String, TrainError> {
    let (kind, parameters) = (session.config().model.kind(), session.parameters().element_count() as u64);
    let flops = LayerFlops::of_training(&session.flops()?);
    let flops = if flops > 0 { format!(", {} a row", figures::flops(flops)) } else { String::new() };
    Ok(format!("{kind} of {} parameters{flops} in training", grouped(parameters)))
}

fn data(session: &Session) -> String {
    let data = session.data();
    let (train, validation) = (data.train_rows().len() as u64, data.validation_rows().len() as u64);
    let targets = match data.targets() {
        TargetKind::Classes { count } => counted(count, "class"),
        TargetKind::Values { width } => format!("{} a row to predict", counted(width, "value")),
    };
    format!("{} rows to train on, {} to validate on; {targets}", grouped(train), grouped(validation))
}

fn length(session: &Session) -> Result<String, TrainError> {
    let (steps, epoch) = (session.total_steps(), session.steps_per_epoch());
    let needed = Size(memory::total(&session.memory()?));
    let of = Available::now().map(|available| format!(" of {}", Size(available.bytes))).unwrap_or_default();
    Ok(format!("{}, {epoch} an epoch; at least {needed}{of} of memory", counted(steps, "step")))
}
