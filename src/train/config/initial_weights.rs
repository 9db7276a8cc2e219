//! The settings of the initial weights of a run, in addition to their path.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::run_config::TrainConfig;
use crate::train::TrainError;

/// Treatment of tensors in files of initial weights that the model has no place for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum UnusedWeights {
    /// It is an error, except for tensors that the model computes itself, and for a copy of a shared output map.
    #[default]
    Error,
    /// They are dropped, with a warning.
    Ignore,
}

/// Treatment of tensors of the model that files of initial weights lack.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum MissingWeights {
    /// It is an error, except for the adapters of LoRA.
    #[default]
    Error,
    /// They begin new, drawn from the seed, with a warning.
    New,
}

/// Refuses settings that have nothing to act on.
///
/// # Errors
/// There are no initial weights, and a setting is about them.
pub(super) fn check(train: &TrainConfig) -> Result<(), TrainError> {
    if train.initial_weights.is_some() {
        return Ok(());
    }
    let given = [
        ("initial_adapter", train.initial_adapter.as_ref().map(|path| path.display().to_string())),
        ("rename_weights", (!train.rename_weights.is_empty()).then(|| format!("{:?}", train.rename_weights))),
        ("new_weights", (!train.new_weights.is_empty()).then(|| format!("{:?}", train.new_weights))),
        ("missing_weights", train.missing_weights.map(|missing| format!("{missing:?}").to_lowercase())),
    ];
    match given.into_iter().find_map(|(key, value)| Some((key, value?))) {
        Some((key, value)) => Err(TrainError::Field {
            field: format!("train.{key}"),
            value,
            rule: "acts on initial weights only; set `train.initial_weights` too, or remove it".to_owned(),
        }),
        None => Ok(()),
    }
}
