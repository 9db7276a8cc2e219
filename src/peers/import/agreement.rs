//! Whether a configuration and a checkpoint say the same, parameter by parameter.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::error::ImportError;
use super::settled::Asked;
use crate::optim::{Group, OptimizerConfig};
use crate::parameters::Parameters;
use crate::peers::peer::Clipping;
use crate::train::{Config, TrainError};

/// Largest relative difference of two numbers that are meant to be the same: files of some trainers have them in f32.
const ROUNDING: f64 = 1e-7;

/// Compares the hyperparameters of every parameter.
///
/// # Errors
/// The first that differs and that no `--set` decides.
pub(super) fn of_optimizers(asked: &Asked<'_>, ours: &Config, theirs: &Config) -> Result<(), ImportError> {
    let (ours, theirs) = (resolved(&ours.optimizer, asked.parameters)?, resolved(&theirs.optimizer, asked.parameters)?);
    for (name, theirs) in &theirs {
        let Some(ours) = ours.get(name) else { continue };
        // Rules of different kinds have other settings too, so the kind is what is to be said.
        let kinds = ["kind".to_owned()];
        let keys: BTreeSet<&String> = match ours["kind"] == theirs["kind"] {
            true => ours.keys().chain(theirs.keys()).collect(),
            false => kinds.iter().collect(),
        };
        for key in keys {
            let (ours, theirs) = (ours.get(key).unwrap_or(&Value::Null), theirs.get(key).unwrap_or(&Value::Null));
            let is_open = asked.is_asked(&format!("optimizer.{key}")) || is_decided(asked, key);
            if !is_same(ours, theirs) && !is_open {
                return Err(ImportError::Disagree {
                    path: asked.import.peer.clone(),
                    key: format!("optimizer.{key}"),
                    in_file: format!("{theirs} for `{name}`"),
                    in_config: ours.to_string(),
                });
            }
        }
    }
    Ok(())
}

/// Whether a `--set` decides about a hyperparameter, in the optimizer or in one of its groups.
fn is_decided(asked: &Asked<'_>, key: &str) -> bool {
    asked.import.settings.iter().any(|setting| {
        let rest = setting.key().strip_prefix("optimizer");
        rest.is_some_and(|rest| {
            let last = rest.rsplit(['.', '[', ']']).next().unwrap_or_default();
            rest.is_empty() || rest == ".groups" || rest == ".kind" || last == key
        })
    })
}

fn is_same(a: &Value, b: &Value) -> bool {
    match (a.as_f64(), b.as_f64()) {
        (Some(a), Some(b)) => a == b || (a - b).abs() <= ROUNDING * a.abs().max(b.abs()),
        _ => a == b,
    }
}

/// Returns the hyperparameters of every parameter, with what its group says.
fn resolved(
    config: &OptimizerConfig,
    parameters: &Parameters,
) -> Result<BTreeMap<String, Map<String, Value>>, TrainError> {
    let groups = config.divide(parameters)?;
    let mut all = BTreeMap::new();
    for group in &groups {
        let names = group.parameters.iter().filter_map(|name| Some((name, parameters.get(name)?.rank())));
        all.extend(names.map(|(name, rank)| (name.clone(), of_parameter(group, rank))));
    }
    Ok(all)
}

fn of_parameter(group: &Group, rank: usize) -> Map<String, Value> {
    let table = serde_json::to_value(OptimizerConfig::from(group.rule.clone()));
    let mut table = match table {
        Ok(Value::Object(table)) => table,
        _ => Map::new(),
    };
    table.remove("decay");
    let mut put = |key: &str, value: f64| {
        // A rule without the hyperparameter has none to compare.
        if let Some(place) = table.get_mut(key) {
            *place = value.into();
        }
    };
    put("lr", group.lr);
    put("weight_decay", if group.decay.includes(rank) { group.weight_decay } else { 0.0 });
    if let Some(momentum) = group.momentum {
        put(momentum.name(), momentum.value());
    }
    table
}

/// Compares the largest norm of gradients.
///
/// # Errors
/// They differ, and no `--set` decides.
pub(super) fn of_clipping(asked: &Asked<'_>, ours: &Config, theirs: &Config) -> Result<(), ImportError> {
    let says = |norm: Option<f64>| norm.map_or_else(|| "off".to_owned(), |norm| norm.to_string());
    let in_file = match asked.peer.clipping {
        Clipping::Off => None,
        Clipping::Norm { .. } => theirs.train.clip_norm,
        _ => return Ok(()),
    };
    if in_file == ours.train.clip_norm || asked.is_decided("train.clip_norm") {
        return Ok(());
    }
    Err(ImportError::Disagree {
        path: asked.import.peer.clone(),
        key: "train.clip_norm".to_owned(),
        in_file: says(in_file),
        in_config: says(ours.train.clip_norm),
    })
}
