//! Tables whose `kind` determines their other keys.
//!
//! Serde's tagged enums do the same, but lose the location of a fault in the table.

use std::fmt::Display;

use serde::de::{DeserializeOwned, Error};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

/// A table with a `kind`, which is read before the other keys.
pub(crate) struct Tagged {
    kind: String,
    rest: Map<String, Value>,
}

impl Tagged {
    /// Returns the kind.
    pub fn kind(&self) -> &str {
        &self.kind
    }

    /// Splits `table` into its kind and the other keys.
    pub fn of<E: Error>(mut table: Map<String, Value>) -> Result<Self, E> {
        match table.remove("kind") {
            Some(Value::String(kind)) => Ok(Self { kind, rest: table }),
            Some(other) => Err(E::custom(format!("kind: must be a name in quotes, not {other}"))),
            None => Err(E::missing_field("kind")),
        }
    }

    /// Returns the kind and the other keys.
    pub fn into_parts(self) -> (String, Map<String, Value>) {
        (self.kind, self.rest)
    }
}

/// Reads a table as a type. A fault is reported as `place: fault`.
pub(crate) fn read_table<T: DeserializeOwned, E: Error>(table: Map<String, Value>) -> Result<T, E> {
    serde_path_to_error::deserialize(Value::Object(table)).map_err(|error| {
        let (place, reason) = locate(&error);
        E::custom(if place.is_empty() { reason } else { format!("{place}: {reason}") })
    })
}

/// Creates the error for a kind that is not among `known`.
pub(crate) fn unknown_kind<E: Error>(kind: &str, known: &[&str]) -> E {
    E::custom(format!("kind: unknown variant `{kind}`, expected {}", one_of(known)))
}

/// Creates the error for a field that is not among `known`.
pub(crate) fn unknown_field<E: Error>(field: &str, known: &[&str]) -> E {
    E::custom(format!("{field}: unknown field `{field}`, expected {}", one_of(known)))
}

/// Lists names like serde.
fn one_of(names: &[&str]) -> String {
    let quoted: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    match &quoted[..] {
        [one] => one.clone(),
        [one, other] => format!("{one} or {other}"),
        all => format!("one of {}", all.join(", ")),
    }
}

impl<'de> Deserialize<'de> for Tagged {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::of(Map::deserialize(deserializer)?)
    }
}

/// Returns the place of a fault, as a dotted path that includes an unknown field, and the fault.
pub(crate) fn locate<E: Display>(error: &serde_path_to_error::Error<E>) -> (String, String) {
    let (path, reason) = (error.path().to_string(), error.inner().to_string());
    let path = if path == "." { String::new() } else { path };
    // A fault inside a nested table with a kind already includes its place.
    if let Some((inner, reason)) = reason.split_once(": ").filter(|(inner, _)| is_place(inner)) {
        return (join(&path, inner), reason.to_owned());
    }
    let unknown = reason.strip_prefix("unknown field `").and_then(|rest| rest.split('`').next());
    match unknown {
        Some(name) if path.rsplit('.').next() != Some(name) => (join(&path, name), reason),
        _ => (path, reason),
    }
}

fn is_place(text: &str) -> bool {
    text.chars().all(|c| c.is_ascii_alphanumeric() || "_.[]".contains(c))
}

fn join(outer: &str, inner: &str) -> String {
    let dot = if outer.is_empty() || inner.starts_with('[') { "" } else { "." };
    format!("{outer}{dot}{inner}")
}

/// Takes what is under `keys` out of a table.
pub(crate) fn split(table: &mut Map<String, Value>, keys: &[&str]) -> Map<String, Value> {
    keys.iter().filter_map(|key| table.remove_entry(*key)).collect()
}
