//! The JSON schema of optimizers and parameter groups: a table for each rule of the catalogue.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::{Map, Value, json};

use super::config::{Common, OptimizerConfig};
use super::group_config::{GroupConfig, OwnTable, SharedTable};
use super::rules;

impl JsonSchema for OptimizerConfig {
    fn schema_name() -> Cow<'static, str> {
        "OptimizerConfig".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let common = Common::json_schema(generator);
        let tables = tables(generator, &common);
        json_schema!({"description": "The update rule of the weights, chosen by `kind`.", "oneOf": tables})
    }
}

impl JsonSchema for GroupConfig {
    fn schema_name() -> Cow<'static, str> {
        "GroupConfig".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let (shared, common) = (SharedTable::json_schema(generator), OwnTable::json_schema(generator));
        let tables: Vec<Value> = std::iter::once(shared.to_value()).chain(tables(generator, &common)).collect();
        json_schema!({
            "description": "Parameters chosen by name, with their differences. Missing keys have the optimizer's \
                            values. A group with a `kind` has its own rule, with the keys of that rule, and inherits \
                            only `decay`.",
            "oneOf": tables,
        })
    }
}

/// Returns the table of each rule in the catalogue, with the `common` keys.
fn tables(generator: &mut SchemaGenerator, common: &Schema) -> Vec<Value> {
    let table = |definition: &super::any_rule::Definition| {
        let mut table = definition.schema?(generator).to_value();
        let entries = table.as_object_mut()?;
        let kind = json!({"type": "string", "const": definition.name});
        merge(entries, &json!({"properties": {"kind": kind}, "required": ["kind"]}));
        merge(entries, common.as_value());
        Some(table)
    };
    rules::catalogue().iter().filter_map(table).collect()
}

/// Adds the properties and required keys of the table `other`. A rule without hyperparameters has neither.
fn merge(table: &mut Map<String, Value>, other: &Value) {
    table.entry("properties").or_insert_with(|| json!({}));
    table.entry("required").or_insert_with(|| json!([]));
    if let (Some(Value::Object(own)), Some(others)) = (table.get_mut("properties"), other["properties"].as_object()) {
        own.extend(others.clone());
    }
    if let (Some(Value::Array(own)), Some(others)) = (table.get_mut("required"), other["required"].as_array()) {
        own.extend(others.iter().cloned());
    }
}
