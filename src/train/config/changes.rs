//! What can change in a run when it is resumed, and what cannot.

use std::collections::BTreeSet;

use serde::Deserialize;
use serde_json::{Value, json};

use super::complete::complete;
use super::dotted::is_data_path;
use super::paths::base_of;
use super::run_config::Config;
use crate::checkpoint::Checkpoint;
use crate::model::ModelConfig;
use crate::train::TrainError;

/// A value of a configuration as a message shows it. What is not there has its default, which no `null` could tell.
pub(crate) fn written(value: &Value) -> String {
    if value.is_null() { "not set".to_owned() } else { value.to_string() }
}

/// Settings that a run's position or shape depends on.
pub(super) struct Fixed {
    /// The settings of the model that are not among them.
    resumable: &'static [&'static str],
}

impl Fixed {
    /// Those of a run with this configuration.
    pub fn of(config: &Value) -> Self {
        let model = ModelConfig::deserialize(&config["model"]);
        Self { resumable: model.map(|model| model.spec().resumable()).unwrap_or_default() }
    }

    /// Whether a setting is one of them.
    pub fn has(&self, key: &str) -> bool {
        let decides_rows = key.starts_with("data.") && !is_data_path(key);
        let decides_shape = key.strip_prefix("model.").is_some_and(|setting| !self.resumable.contains(&setting));
        // The weights that a run began with are long trained on.
        let others = ["seed", "optimizer.kind", "loss.kind", "train.initial_weights"];
        decides_rows || decides_shape || others.contains(&key)
    }
}

/// Whether a run can be told this of its data when it is resumed, whatever it was before: to look at images, and to go
/// on without those that cannot be read.
fn is_open(key: &str, asked: &Value) -> bool {
    key == "data.check_images" || (key == "data.skip_bad" && *asked == Value::Bool(true))
}

/// Refuses a configuration, as a checkpoint holds it, that differs from the saved one in what cannot change.
pub(super) fn refuse_fixed(saved: &Value, asked: &Value) -> Result<(), TrainError> {
    let (saved, asked) = (complete(saved), complete(asked));
    let fixed = Fixed::of(&saved);
    let is_refused = |(key, _, asked): &(String, Value, Value)| fixed.has(key) && !is_open(key, asked);
    let mut refused: Vec<_> = differences(&saved, &asked).into_iter().filter(is_refused).collect();
    // Another kind has other settings, which would say less.
    refused.sort_by_key(|(key, ..)| !key.ends_with(".kind"));
    match refused.into_iter().next() {
        Some((what, saved, asked)) => Err(TrainError::Refused {
            what,
            saved: written(&saved),
            asked: written(&asked),
            remedy: "; start a new run for that".to_owned(),
        }),
        None => Ok(()),
    }
}

/// Where `config` differs from the one in the checkpoint, for the history.
pub(crate) fn changes(config: &Config, checkpoint: &Checkpoint) -> Result<Vec<Value>, TrainError> {
    let base = base_of(checkpoint.path());
    let Some(saved) = checkpoint.field("config") else { return Ok(Vec::new()) };
    let saved = complete(saved);
    let mut asked = serde_json::to_value(config.relative_to(&base).complete()).unwrap_or_default();
    if let Some(weights) = saved["train"].get("initial_weights") {
        // That file may be gone, and how a path is written then depends on where it was looked for.
        asked["train"]["initial_weights"] = weights.clone();
    }
    refuse_fixed(&saved, &asked)?;
    // The same data elsewhere is the same data.
    let changed = differences(&saved, &asked).into_iter().filter(|(key, ..)| !is_data_path(key));
    Ok(changed.map(|(key, from, to)| json!({"key": key, "from": from, "to": to})).collect())
}

/// Every leaf in which two configurations differ: its dotted key, the old value and the new one.
pub(super) fn differences(old: &Value, new: &Value) -> Vec<(String, Value, Value)> {
    let mut found = Vec::new();
    collect_differences(String::new(), old, new, &mut found);
    found
}

fn collect_differences(key: String, old: &Value, new: &Value, found: &mut Vec<(String, Value, Value)>) {
    match (old, new) {
        (Value::Object(a), Value::Object(b)) => {
            let names: BTreeSet<&String> = a.keys().chain(b.keys()).collect();
            for name in names {
                let inner = if key.is_empty() { name.clone() } else { format!("{key}.{name}") };
                collect_differences(
                    inner,
                    a.get(name).unwrap_or(&Value::Null),
                    b.get(name).unwrap_or(&Value::Null),
                    found,
                );
            }
        }
        _ if old != new => found.push((key, old.clone(), new.clone())),
        _ => {}
    }
}
