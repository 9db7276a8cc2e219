//! A configuration as a list of settings, and the changes to it.

use serde::Serialize;
use serde_json::Value;

/// A setting: its dotted key, and its value as in a configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Setting {
    /// The key, such as `optimizer.lr`.
    pub key: String,
    /// The value, as TOML has it.
    pub value: String,
}

/// Returns the settings of a configuration in their order.
pub(super) fn of_config(config: &Value) -> Vec<Setting> {
    let mut found = Vec::new();
    collect(String::new(), config, &mut found);
    found
}

fn collect(key: String, value: &Value, found: &mut Vec<Setting>) {
    match value {
        Value::Null => {}
        Value::Object(table) => {
            for (name, value) in table {
                let inner = if key.is_empty() { name.clone() } else { format!("{key}.{name}") };
                collect(inner, value, found);
            }
        }
        value => found.push(Setting { key, value: text(value) }),
    }
}

/// Formats a value for people: JSON, which is TOML for everything but tables.
pub(super) fn text(value: &Value) -> String {
    match value {
        Value::Null => "not set".to_owned(),
        value => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_configuration_is_a_list_of_dotted_keys() {
        let config = json!({"seed": 1, "optimizer": {"kind": "sgd", "lr": 0.1, "groups": []}, "device": null});
        let found: Vec<String> =
            of_config(&config).into_iter().map(|Setting { key, value }| format!("{key}={value}")).collect();
        let mut expected = vec!["seed=1", "optimizer.kind=\"sgd\"", "optimizer.lr=0.1", "optimizer.groups=[]"];
        expected.sort_unstable();
        let mut sorted = found;
        sorted.sort_unstable();
        assert_eq!(sorted, expected);
    }
}
