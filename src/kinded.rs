//! Tables whose `kind` says what else is in them.
//!
//! Serde's own tagged enums do the same, but forget on the way where in the table a fault lies.

use std::fmt::Display;

use serde::de::{DeserializeOwned, Error};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

/// A table with a `kind`, which is read before the rest of it.
pub(crate) struct Kinded {
    kind: String,
    rest: Map<String, Value>,
}

impl Kinded {
    /// The kind.
    pub fn kind(&self) -> &str {
        &self.kind
    }

    /// The rest of the table as what the kind asks for. A fault is told as `place: what is wrong`.
    pub fn read<T: DeserializeOwned, E: Error>(self) -> Result<T, E> {
        serde_path_to_error::deserialize(Value::Object(self.rest)).map_err(|error| {
            let (place, reason) = locate(&error);
            E::custom(if place.is_empty() { reason } else { format!("{place}: {reason}") })
        })
    }

    /// The error for a kind that is none of `known`.
    pub fn unknown<E: Error>(&self, known: &'static [&'static str]) -> E {
        let unknown: serde_json::Error = Error::unknown_variant(&self.kind, known);
        E::custom(format!("kind: {unknown}"))
    }
}

impl<'de> Deserialize<'de> for Kinded {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut rest = Map::deserialize(deserializer)?;
        match rest.remove("kind") {
            Some(Value::String(kind)) => Ok(Self { kind, rest }),
            Some(other) => Err(D::Error::custom(format!("kind: must be a name in quotes, not {other}"))),
            None => Err(D::Error::missing_field("kind")),
        }
    }
}

/// Where a fault lies, as a dotted path that includes a field nobody knows, and what is wrong there.
pub(crate) fn locate<E: Display>(error: &serde_path_to_error::Error<E>) -> (String, String) {
    let (path, reason) = (error.path().to_string(), error.inner().to_string());
    let path = if path == "." { String::new() } else { path };
    // What is inside a table with a kind has said where before it came here.
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
