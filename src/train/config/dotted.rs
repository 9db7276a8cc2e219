//! Dotted keys, such as `optimizer.lr`: what they mean, and the values that they name.

use serde_json::Value;

use crate::data::DataConfig;

/// Whether a setting names a file; its path on the command line is then relative to the working directory.
pub(super) fn is_path(key: &str) -> bool {
    is_data_path(key) || ["train.initial_weights", "train.initial_adapter"].contains(&key)
}

/// Whether a setting is a path of data, and does not describe the data.
pub(super) fn is_data_path(key: &str) -> bool {
    key.strip_prefix("data.").is_some_and(|option| DataConfig::PATHS.contains(&option))
}

/// Pairs of exclusive settings; setting one removes the other.
pub(super) const EXCLUSIVE: [(&str, &str); 2] = [("train.steps", "train.epochs"), ("train.epochs", "train.steps")];

/// Splits a dotted key into names; an index in a list is written `groups[1]` or `groups.1`.
pub(super) fn segments(key: &str) -> Vec<&str> {
    key.split(['.', '[', ']']).filter(|name| !name.is_empty()).collect()
}

/// The value at `names`, one inside the other.
pub(super) fn lookup<'a>(value: &'a Value, names: &[&str]) -> Option<&'a Value> {
    names.iter().try_fold(value, |value, name| match value {
        Value::Array(items) => items.get(name.parse::<usize>().ok()?),
        table => table.get(name),
    })
}

/// Removes a setting.
pub(super) fn remove(config: &mut Value, key: &str) {
    if let Some((parent, name)) = key.split_once('.')
        && let Some(Value::Object(table)) = config.get_mut(parent)
    {
        table.remove(name);
    }
}
