//! Tables whose `kind` says what else is in them.
//!
//! Serde's own tagged enums do the same, but forget on the way where in the table a fault lies.

use std::fmt::Display;

use serde::de::{DeserializeOwned, Error, Visitor, value};
use serde::{Deserialize, Deserializer, forward_to_deserialize_any};
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

    /// The kind of `table`, and the rest of it.
    pub fn of<E: Error>(mut table: Map<String, Value>) -> Result<Self, E> {
        match table.remove("kind") {
            Some(Value::String(kind)) => Ok(Self { kind, rest: table }),
            Some(other) => Err(E::custom(format!("kind: must be a name in quotes, not {other}"))),
            None => Err(E::missing_field("kind")),
        }
    }

    /// The rest of the table as what the kind asks for. A fault is told as `place: what is wrong`.
    pub fn read<T: DeserializeOwned, E: Error>(self) -> Result<T, E> {
        read(self.rest)
    }

    /// The rest of the table.
    pub fn into_settings(self) -> Map<String, Value> {
        self.rest
    }

    /// The error for a kind that is none of `known`.
    pub fn unknown<E: Error>(&self, known: &'static [&'static str]) -> E {
        let unknown: serde_json::Error = Error::unknown_variant(&self.kind, known);
        E::custom(format!("kind: {unknown}"))
    }
}

impl<'de> Deserialize<'de> for Kinded {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::of(Map::deserialize(deserializer)?)
    }
}

/// A table as a `T`. A fault is told as `place: what is wrong`.
pub(crate) fn read<T: DeserializeOwned, E: Error>(table: Map<String, Value>) -> Result<T, E> {
    serde_path_to_error::deserialize(Value::Object(table)).map_err(|error| {
        let (place, reason) = locate(&error);
        E::custom(if place.is_empty() { reason } else { format!("{place}: {reason}") })
    })
}

/// The names of the fields that `T` is read from, in order; none where it is no struct with named fields.
pub(crate) fn fields<T: DeserializeOwned>() -> Option<&'static [&'static str]> {
    let mut names = None;
    // That this fails is how it ends: the names come first.
    let _ = T::deserialize(Names(&mut names));
    names
}

/// A deserializer that learns the names of fields and gives nothing.
struct Names<'a>(&'a mut Option<&'static [&'static str]>);

impl<'de> Deserializer<'de> for Names<'_> {
    type Error = value::Error;

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        fields: &'static [&'static str],
        _visitor: V,
    ) -> Result<V::Value, value::Error> {
        *self.0 = Some(fields);
        Err(Error::custom("only the names are wanted"))
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _visitor: V,
    ) -> Result<V::Value, value::Error> {
        *self.0 = Some(&[]);
        Err(Error::custom("only the names are wanted"))
    }

    fn deserialize_any<V: Visitor<'de>>(self, _visitor: V) -> Result<V::Value, value::Error> {
        Err(Error::custom("it is no struct"))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit newtype_struct
        seq tuple tuple_struct map enum identifier ignored_any
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
