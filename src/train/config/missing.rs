//! All required fields that a configuration lacks, reported at once instead of one per attempt.

use serde_json::{Value, json};

use super::dotted::segments;
use super::run_config::Config;
use crate::tagged;

/// Limit on the number of missing fields.
const MOST: usize = 100;

/// Returns the dotted names of all required fields that are not in `config`, in the order in which they are read.
/// Fields inside a table of unknown kind are unknown too.
pub(super) fn missing(config: &Value) -> Vec<String> {
    let mut trial = config.clone();
    let (mut found, mut set_aside) = (Vec::new(), Vec::new());
    for _ in 0..MOST {
        let Some(fault) = fault(&trial) else { break };
        if let Some(field) = &fault.missing {
            match FILLERS.iter().find_map(|filler| filled(&trial, field, &filler())) {
                Some((with, is_open)) => {
                    trial = with;
                    // If a table has required fields itself, those are reported.
                    if !is_open {
                        found.push(field.clone());
                    }
                    continue;
                }
                None => found.push(field.clone()),
            }
        }
        // A fault in this table hides those in the others.
        let table = segments(&fault.place).first().copied().unwrap_or_default().to_owned();
        if table.is_empty() || set_aside.contains(&table) {
            break;
        }
        replace(&mut trial, &table);
        set_aside.push(table);
    }
    let length = |name: &str| config["train"].get(name).is_some();
    if !found.is_empty() && !set_aside.iter().any(|table| table == "train") && !length("epochs") && !length("steps") {
        found.retain(|field| field != "train");
        found.push("train.epochs` or `train.steps".to_owned());
    }
    found
}

/// Values of every type of a required field.
const FILLERS: [fn() -> Value; 4] = [|| json!({}), || json!(1), || json!("1 epoch"), || json!([])];

/// Replaces a faulty table by a valid one, or removes it if it is optional.
fn replace(config: &mut Value, table: &str) {
    let sound = match table {
        "data" => json!({"path": "rows.csv"}),
        "model" => json!({"kind": "mlp", "hidden": [1]}),
        "optimizer" => json!({"kind": "sgd", "lr": 0.1}),
        "train" => json!({}),
        _ => Value::Null,
    };
    if let Value::Object(entries) = config {
        if sound.is_null() { drop(entries.remove(table)) } else { drop(entries.insert(table.to_owned(), sound)) }
    }
}

/// The first fault in a configuration.
struct Fault {
    place: String,
    /// The dotted name of a field, if it is missing.
    missing: Option<String>,
}

fn fault(config: &Value) -> Option<Fault> {
    let error = serde_path_to_error::deserialize::<_, Config>(config).err()?;
    let (place, reason) = tagged::locate(&error);
    let name = reason.strip_prefix("missing field `").and_then(|rest| rest.split('`').next());
    let missing = name.map(|name| if place.is_empty() { name.to_owned() } else { format!("{place}.{name}") });
    let place = missing.clone().unwrap_or(place);
    Some(Fault { place, missing })
}

/// Returns the configuration with `filler` in `field`, if it is valid there, and whether more is missing inside it.
fn filled(config: &Value, field: &str, filler: &Value) -> Option<(Value, bool)> {
    let mut trial = config.clone();
    let names = segments(field);
    let (last, parents) = names.split_last()?;
    let mut place = &mut trial;
    for name in parents {
        place = match place {
            Value::Array(items) => items.get_mut(name.parse::<usize>().ok()?)?,
            table => table.get_mut(name)?,
        };
    }
    place.as_object_mut()?.insert((*last).to_owned(), filler.clone());
    let inside = fault(&trial).filter(|fault| segments(&fault.place).starts_with(&names));
    match inside {
        None => Some((trial, false)),
        Some(Fault { missing: Some(inner), .. }) if inner != field => Some((trial, true)),
        Some(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_missing_field_is_named() {
        let all = ["data.path", "model.kind", "optimizer.kind", "train.epochs` or `train.steps"];
        let mut found = missing(&json!({}));
        found.sort();
        assert_eq!(found, all);
        let some = json!({"data": {"path": "a.csv"}, "model": {"kind": "convnet"}, "train": {"steps": 3}});
        let found = missing(&some);
        assert!(
            found.contains(&"model.blocks".to_owned()) && found.contains(&"optimizer.kind".to_owned()),
            "{found:?}"
        );
        assert!(!found.iter().any(|field| field.starts_with("train") || field.starts_with("data")), "{found:?}");
    }

    #[test]
    fn fields_in_lists_and_of_optional_tables_are_named_too() {
        let config = json!({
            "data": {},
            "model": {"kind": "convnet"},
            "optimizer": {"kind": "adamw", "groups": [{"lr": 1.0}]},
            "train": {"epochs": 1},
        });
        let found = missing(&config);
        for field in ["data.path", "model.blocks", "optimizer.lr", "optimizer.groups[0].parameters"] {
            assert!(found.iter().any(|name| name == field), "{field} is not in {found:?}");
        }
    }

    #[test]
    fn another_fault_does_not_hide_what_is_missing() {
        let config = json!({"data": {"path": 5}, "model": {"kind": "rnn"}, "optimizer": {"kind": "sgd"}, "train": 3});
        assert_eq!(missing(&config), ["optimizer.lr"]);
    }
}
