//! A metric in `validation.metrics`: its name, or a table with its settings.

use std::borrow::Cow;
use std::sync::Arc;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Deserializer, Error};
use serde::ser::Serializer;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::Metric;
use crate::KindError;
use crate::registry::{Chosen, Named};
use crate::tagged::Tagged;

/// A metric that a validation computes.
#[derive(Clone, Debug, PartialEq)]
pub struct MetricConfig(Chosen<dyn Metric>);

impl MetricConfig {
    /// Creates the configuration of a catalogue metric or of a registered type.
    ///
    /// # Errors
    /// The type has no name, or the value cannot be written.
    pub fn of<T: Metric + Serialize>(metric: &T) -> Result<Self, KindError> {
        <dyn Metric>::registry().choose(metric).map(Self)
    }

    /// Returns the name of the metric.
    pub fn name(&self) -> &'static str {
        self.0.name()
    }

    /// Returns the metric.
    pub fn metric(&self) -> &Arc<dyn Metric> {
        self.0.get()
    }
}

impl Serialize for MetricConfig {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0.settings().is_empty() {
            true => serializer.serialize_str(self.name()),
            false => self.0.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for MetricConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let table = match Value::deserialize(deserializer)? {
            Value::String(name) => Map::from_iter([("kind".to_owned(), Value::String(name))]),
            Value::Object(table) => table,
            other => {
                let expected = "the name of a metric in quotes, or a table with its `kind`";
                return Err(D::Error::custom(format!("must be {expected}, not {other}")));
            }
        };
        <dyn Metric>::registry().read(Tagged::of(table)?).map(Self)
    }
}

impl JsonSchema for MetricConfig {
    fn schema_name() -> Cow<'static, str> {
        "MetricConfig".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let table = <dyn Metric>::registry().schema(generator);
        let names = <dyn Metric>::registry().names();
        json_schema!({
            "description": "A metric of a validation: its name, or a table with its settings.",
            "anyOf": [json!(names), json!(table)],
        })
    }
}
