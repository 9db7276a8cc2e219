//! Settings that can and cannot change when a run is resumed.

use std::collections::BTreeSet;

use serde::Deserialize;
use serde_json::{Value, json};

use super::complete::complete;
use super::dotted::{is_data_path, lookup, segments};
use super::keys::{Table, tables};
use super::load::Setting;
use super::paths::base_of;
use super::run_config::Config;
use crate::checkpoint::Checkpoint;
use crate::model::ModelConfig;
use crate::train::TrainError;

/// Formats a value of a configuration for a message. A missing value has its default, which `null` would not express.
pub(crate) fn written(value: &Value) -> String {
    if value.is_null() { "not set".to_owned() } else { value.to_string() }
}

/// Formats a value that a setting of `config` has now, or had: one that is not written is shown as the default that it is.
pub(crate) fn written_or_default(config: &Value, key: &str, value: &Value) -> String {
    match default_of(config, key).filter(|_| value.is_null()) {
        Some(default) => format!("{default} (the default)"),
        None => written(value),
    }
}

/// Returns the value of a setting that a complete configuration leaves out as a default. Of some it is known by no name: it
/// is the one that vanishes when it is written.
fn default_of(config: &Value, key: &str) -> Option<Value> {
    let (path, name) = key.rsplit_once('.').unwrap_or(("", key));
    let kind = &lookup(config, &segments(path))?["kind"];
    let path = path.split_once('[').map_or(path.to_owned(), |(list, _)| format!("{list}[]"));
    let of_key = |table: &Table| table.path == path && table.kind.as_deref().is_none_or(|of| kind == of);
    let key_of = |table: Table| table.keys.into_iter().find(|key| key.name == name);
    let found = tables().into_iter().filter(of_key).find_map(key_of)?;
    let words = found.words.iter().filter_map(|(word, _)| serde_json::from_str(word).ok());
    let dotted = key.replace('[', ".").replace(']', "");
    [json!(false), json!(0.0), json!([])].into_iter().chain(words).find(|value| {
        let setting = Setting::of(&dotted, value.clone());
        let mut written = config.clone();
        setting.apply(&mut written).is_ok() && lookup(&complete(&written), &segments(key)).is_none()
    })
}

/// Settings that determine a run's position or shape.
pub(super) struct Fixed {
    /// The settings of the model that can change.
    resumable: &'static [&'static str],
}

impl Fixed {
    /// Returns those of a run with this configuration.
    pub fn of(config: &Value) -> Self {
        let model = ModelConfig::deserialize(&config["model"]);
        Self { resumable: model.map(|model| model.spec().resumable()).unwrap_or_default() }
    }

    /// Whether a setting is among them.
    pub fn has(&self, key: &str) -> bool {
        // The position in the data is kept in rows, so another batch size continues with the next row.
        let decides_rows = key.starts_with("data.") && !is_data_path(key) && key != "data.batch_size";
        let decides_shape = key.strip_prefix("model.").is_some_and(|setting| !self.resumable.contains(&setting));
        // Initial weights no longer matter after the start.
        let others = ["seed", "loss.kind"];
        let of_start = ["initial_weights", "initial_adapter", "missing_weights", "new_weights", "rename_weights"];
        let begins = key.strip_prefix("train.").is_some_and(|setting| of_start.contains(&setting));
        decides_rows || decides_shape || begins || decides_state(key) || others.contains(&key)
    }
}

/// Whether a setting decides what the state of an update rule holds, or means: a momentum has the rate in it in one form
/// of a rule, and not in another.
fn decides_state(key: &str) -> bool {
    const FORMS: [&str; 5] = ["kind", "variant", "amsgrad", "centered", "max_precondition_dim"];
    let setting = key.strip_prefix("optimizer.").map(|setting| match setting.strip_prefix("groups[") {
        Some(of_group) => of_group.split_once("].").map_or("", |(_, setting)| setting),
        None => setting,
    });
    setting.is_some_and(|setting| FORMS.contains(&setting))
}

/// Returns the groups of parameters of a configuration, each with its kind: without one, a group has the optimizer's.
fn groups(config: &Value) -> Vec<Value> {
    let optimizer = &config["optimizer"];
    let mut groups = optimizer["groups"].as_array().cloned().unwrap_or_default();
    for group in groups.iter_mut().filter_map(Value::as_object_mut) {
        group.entry("kind").or_insert_with(|| optimizer["kind"].clone());
    }
    groups
}

/// Returns the differences of groups of parameters, if there are as many.
fn differences_of_groups(old: &Value, new: &Value) -> Vec<(String, Value, Value)> {
    let (old, new) = (groups(old), groups(new));
    let mut found = Vec::new();
    if old.len() == new.len() {
        for (number, (old, new)) in old.iter().zip(&new).enumerate() {
            collect_differences(format!("optimizer.groups[{number}]"), old, new, &mut found);
        }
    }
    found
}

/// Whether a run can always be given this setting of its data on a resume: to check images, and to skip those that
/// cannot be read.
fn is_open(key: &str, asked: &Value) -> bool {
    key == "data.check_images" || (key == "data.skip_bad" && *asked == Value::Bool(true))
}

/// Refuses a configuration, in a checkpoint's form, that differs from the saved one in a fixed setting.
pub(super) fn refuse_fixed(saved: &Value, asked: &Value) -> Result<(), TrainError> {
    let (all_saved, all_asked) = (complete(saved), complete(asked));
    let fixed = Fixed::of(&all_saved);
    let is_refused = |(key, _, asked): &(String, Value, Value)| fixed.has(key) && !is_open(key, asked);
    let all = differences(&all_saved, &all_asked).into_iter().chain(differences_of_groups(&all_saved, &all_asked));
    let mut refused: Vec<_> = all.filter(is_refused).collect();
    // Another kind has other settings, whose differences would be less helpful.
    refused.sort_by_key(|(key, ..)| !key.ends_with(".kind"));
    match refused.into_iter().next() {
        Some((what, saved, asked)) => Err(TrainError::Refused {
            saved: written_or_default(&all_saved, &what, &saved),
            asked: written_or_default(&all_asked, &what, &asked),
            what,
            remedy: "; start a new run for that".to_owned(),
        }),
        None => Ok(()),
    }
}

/// Returns the differences between `config` and the one in the checkpoint, for the history.
pub(crate) fn changes(config: &Config, checkpoint: &Checkpoint) -> Result<Vec<Value>, TrainError> {
    let base = base_of(checkpoint.path());
    let Some(saved) = checkpoint.field("config") else { return Ok(Vec::new()) };
    let saved = complete(saved);
    let mut asked = serde_json::to_value(config.relative_to(&base).complete()).unwrap_or_default();
    for start in ["initial_weights", "initial_adapter"] {
        if let Some(path) = saved["train"].get(start) {
            // That file may be missing, and the form of a path depends on where it was searched.
            asked["train"][start] = path.clone();
        }
    }
    refuse_fixed(&saved, &asked)?;
    // The same data at another path is the same data.
    let changed = differences(&saved, &asked).into_iter().filter(|(key, ..)| !is_data_path(key));
    Ok(changed.map(|(key, from, to)| json!({"key": key, "from": from, "to": to})).collect())
}

/// Returns every leaf in which two configurations differ: its dotted key, the old value and the new one.
pub(in crate::train) fn differences(old: &Value, new: &Value) -> Vec<(String, Value, Value)> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_that_is_not_written_is_told_with_its_default() {
        let config = complete(&json!({
            "data": {"path": "a.csv"}, "model": {"kind": "mlp", "hidden": [2]}, "schedule": "constant()",
            "optimizer": {"kind": "adamw", "lr": 0.1}, "train": {"steps": 3},
        }));
        let told = |key: &str| written_or_default(&config, key, &Value::Null);
        assert_eq!(told("optimizer.caution"), "false (the default)");
        assert_eq!(told("optimizer.mu_dtype"), "\"f32\" (the default)");
        assert_eq!(told("train.freeze"), "[] (the default)");
        assert_eq!(told("train.clip_norm"), "not set", "it has no value then");
        assert_eq!(written_or_default(&config, "optimizer.caution", &json!(true)), "true");
    }

    #[test]
    fn what_the_state_of_an_update_rule_means_cannot_change() {
        let refused = |saved: Value, asked: Value| {
            let config = |optimizer| json!({"optimizer": optimizer});
            refuse_fixed(&config(saved), &config(asked)).map_err(|error| error.to_string())
        };
        let lars = |variant: Value, lr: f64| json!({"kind": "lars", "lr": lr, "variant": variant});
        let told = refused(lars(Value::Null, 0.1), lars("optax".into(), 0.1)).unwrap_err();
        assert!(
            told.starts_with("optimizer.variant cannot change within a run: it is not set in the checkpoint"),
            "{told}"
        );
        assert!(refused(lars("optax".into(), 0.1), lars("optax".into(), 0.2)).is_ok());
        let groups = |group: Value| json!({"kind": "sgd", "lr": 0.1, "groups": [{"lr": 0.2}, group]});
        let adam = |amsgrad: bool, lr: f64| groups(json!({"kind": "adam", "lr": lr, "amsgrad": amsgrad}));
        let told = refused(adam(false, 0.1), adam(true, 0.1)).unwrap_err();
        assert!(told.starts_with("optimizer.groups[1].amsgrad cannot change within a run"), "{told}");
        assert!(refused(adam(true, 0.1), adam(true, 0.2)).is_ok());
    }
}
