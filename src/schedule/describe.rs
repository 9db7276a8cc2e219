//! Schedules as a JSON schema: one line of text, or a table of a kind.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::{Map, Value as Json, json};

use super::argument::Argument;
use super::definition::{Definition, Described};
use super::{Schedule, Unit, kinds};

impl JsonSchema for Schedule {
    fn schema_name() -> Cow<'static, str> {
        "Schedule".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let kinds: Vec<Json> = kinds::definitions().iter().map(|definition| of_kind(definition)).collect();
        json_schema!({
            "anyOf": [
                {"type": "string", "description": "One line of text, such as \"warmup(100) -> cosine(900)\"."},
                {"type": "object", "required": ["kind"], "oneOf": kinds},
            ],
        })
    }
}

fn of_kind(definition: &Definition) -> Json {
    let described = (definition.describe)();
    let kind = ("kind".to_owned(), json!({"const": definition.name}));
    let mut unit = Unit::schema();
    unit["description"] = "Whether it counts steps or epochs.".into();
    unit["default"] = json!("step");
    let parameters = described.iter().map(|parameter| (parameter.name.to_owned(), of_parameter(parameter)));
    let properties: Map<String, Json> = [kind, ("unit".to_owned(), unit)].into_iter().chain(parameters).collect();
    let required = described.iter().filter(|parameter| parameter.needed).map(|parameter| parameter.name);
    let required: Vec<&str> = ["kind"].into_iter().chain(required).collect();
    json!({
        "type": "object",
        "description": definition.doc,
        "properties": properties,
        "required": required,
        "additionalProperties": false,
    })
}

fn of_parameter(parameter: &Described) -> Json {
    let mut schema = parameter.schema.clone();
    schema["description"] = parameter.doc.into();
    if let Some(default) = parameter.default.as_ref().and_then(|default| serde_json::to_value(default).ok()) {
        schema["default"] = default;
    }
    schema
}
