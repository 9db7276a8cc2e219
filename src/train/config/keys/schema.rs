//! JSON schema of a configuration, draft 2020-12.

use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use crate::train::config::Config;

/// Returns the JSON schema of a configuration, for editors that check and complete TOML.
pub fn schema() -> Value {
    let schema = SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<Config>();
    let mut schema = schema.to_value();
    let definitions = schema["$defs"].clone();
    flatten_kinds(&mut schema, &definitions);
    tidy(&mut schema);
    schema["title"] = json!("Configuration of a Rekindle run");
    schema
}

/// Merges a table with a `kind` with the table of that kind, which has no key `kind`.
fn flatten_kinds(schema: &mut Value, definitions: &Value) {
    match schema {
        Value::Object(object) => {
            if object.contains_key("properties")
                && let Some(Value::String(reference)) = object.remove("$ref")
                && let Some(Value::Object(target)) = definition(definitions, &reference)
            {
                merge(object, target);
            }
            object.values_mut().for_each(|inner| flatten_kinds(inner, definitions));
        }
        Value::Array(items) => items.iter_mut().for_each(|inner| flatten_kinds(inner, definitions)),
        _ => {}
    }
}

/// Returns the definition of a reference such as `#/$defs/Name`.
pub(super) fn definition<'a>(definitions: &'a Value, reference: &str) -> Option<&'a Value> {
    definitions.get(reference.strip_prefix("#/$defs/")?)
}

fn merge(into: &mut Map<String, Value>, from: &Map<String, Value>) {
    for (key, value) in from {
        match (into.get_mut(key), value) {
            (Some(Value::Object(into)), Value::Object(from)) => merge(into, from),
            (Some(Value::Array(into)), Value::Array(from)) => into.extend(from.iter().cloned()),
            (Some(_), _) => {}
            (None, value) => drop(into.insert(key.clone(), value.clone())),
        }
    }
}

/// Removes parts that TOML does not need: `null`, Rust's names of number types, defaults that are tables, line breaks,
/// and links of Rust's documentation.
fn tidy(schema: &mut Value) {
    match schema {
        Value::Object(object) => {
            if object.get("format").is_some_and(Value::is_string) {
                object.remove("format");
            }
            if object.get("default").is_some_and(|default| default.is_null() || default.is_object()) {
                object.remove("default");
            }
            if let Some(Value::Array(types)) = object.get_mut("type") {
                types.retain(|name| name != "null");
                if let [only] = &types[..] {
                    let only = only.clone();
                    object.insert("type".to_owned(), only);
                }
            }
            if let Some(Value::String(text)) = object.get_mut("description") {
                *text = plain(text);
            }
            if let Some(Value::Array(choices)) = object.get_mut("anyOf") {
                choices.retain(|choice| choice["type"] != "null");
                if let [Value::Object(only)] = &choices[..] {
                    let only = only.clone();
                    object.remove("anyOf");
                    merge(object, &only);
                }
            }
            object.values_mut().for_each(tidy);
        }
        Value::Array(items) => items.iter_mut().for_each(tidy),
        _ => {}
    }
}

/// Returns a Rust comment as plain text: on one line, with the names of links.
fn plain(comment: &str) -> String {
    let mut text = comment.split_whitespace().collect::<Vec<_>>().join(" ");
    while let Some(start) = text.find("[`") {
        let Some(end) = text[start..].find("`]").map(|end| start + end + 1) else { break };
        let after = text[end + 1..].strip_prefix('(').and_then(|rest| Some(end + 2 + rest.find(')')? + 1));
        let name = text[start + 1..end].to_owned();
        text.replace_range(start..after.unwrap_or(end + 1), &name);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_become_their_names() {
        assert_eq!(plain("As [`Mlp`] and\n [`Gpt`](super::Gpt) in `[0, 1)`."), "As `Mlp` and `Gpt` in `[0, 1)`.");
    }
}
