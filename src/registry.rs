//! Kinds that a configuration can name: those of a catalogue, and types that a program registers.
//!
//! A table such as `[model]` has a `kind` and the settings of that kind. A [`Registry`] holds the kinds of such a
//! table, and a [`Chosen`] is one of them with its settings.

use std::any::TypeId;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{DeserializeOwned, Deserializer, Error};
use serde::ser::{SerializeMap, Serializer};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use thiserror::Error as ThisError;

use crate::field_names::field_names;
use crate::tagged::{self, Tagged};

/// Errors of registering a type, or of writing its value into a configuration.
#[derive(Clone, Debug, PartialEq, ThisError)]
#[non_exhaustive]
pub enum KindError {
    /// The name is invalid.
    #[error("`{0}` cannot be a name; take letters, digits and `_`, and a letter first")]
    Name(String),
    /// The name is taken.
    #[error("there is a {what} called `{name}` already; take another name")]
    Taken {
        /// The kind of thing, such as "model".
        what: &'static str,
        /// The name.
        name: &'static str,
    },
    /// The type already has a name.
    #[error("{type_name} is registered already, as `{name}`; register each type once")]
    Twice {
        /// The type.
        type_name: &'static str,
        /// Its name.
        name: &'static str,
    },
    /// The settings of the type cannot be found out, or one of them has another meaning already.
    #[error("{type_name} cannot be read from a table: {fault}")]
    Fields {
        /// The type.
        type_name: &'static str,
        /// The fault.
        fault: String,
    },
    /// The type has no name, so a configuration with it could not be read back.
    #[error("{type_name} has no name yet; call `rekindle::{module}::register::<{type_name}>(\"name\")` first")]
    Unregistered {
        /// The type.
        type_name: &'static str,
        /// The module of the `register` function.
        module: &'static str,
    },
    /// A value cannot be written into a configuration.
    #[error("`{name}` cannot be written into a configuration: {fault}")]
    Value {
        /// The name of its type.
        name: &'static str,
        /// The fault.
        fault: String,
    },
}

/// A kind that was read: the written form of its settings, and the value itself.
type Read<S> = Result<(toml::Table, Arc<S>), String>;

/// A kind of a table.
pub(crate) struct Kind<S: ?Sized> {
    pub name: &'static str,
    /// A sentence about it, for the reference.
    pub doc: &'static str,
    type_id: TypeId,
    type_name: &'static str,
    read: Box<dyn Fn(Map<String, Value>) -> Read<S> + Send + Sync>,
    /// `None` for a registered kind.
    schema: Option<fn(&mut SchemaGenerator) -> Schema>,
}

impl<S: ?Sized + 'static> Kind<S> {
    /// Creates a kind of the catalogue.
    pub fn new<T>(name: &'static str, doc: &'static str, wrap: fn(T) -> Arc<S>) -> Self
    where
        T: Serialize + DeserializeOwned + JsonSchema + 'static,
    {
        let read = move |settings| {
            let value: T = read(settings)?;
            Ok((written(&value)?, wrap(value)))
        };
        Self {
            doc,
            schema: Some(T::json_schema),
            ..Self::of(name, std::any::type_name::<T>(), read, TypeId::of::<T>())
        }
    }

    /// Creates a kind registered by a program. No field may have one of the `reserved` names.
    pub fn own<T>(name: &'static str, reserved: &[&str], wrap: fn(T) -> Arc<S>) -> Result<Self, KindError>
    where
        T: Serialize + DeserializeOwned + 'static,
    {
        let type_name = std::any::type_name::<T>();
        let fault = |fault: String| KindError::Fields { type_name, fault };
        let fields = field_names::<T>().map_err(fault)?;
        if let Some(field) = fields.iter().find(|field| reserved.contains(field)) {
            return Err(fault(format!("its field `{field}` has a meaning already; give it another name")));
        }
        let read = move |settings: Map<String, Value>| {
            if let Some(unknown) = settings.keys().find(|name| !fields.contains(&name.as_str())) {
                return Err(unknown_name("field", unknown, fields.iter().copied()));
            }
            let value: T = read(settings)?;
            let written = written(&value)?;
            let again: T = read(to_json(&written)?).map_err(|fault| format!("could not be read again; {fault}"))?;
            if self::written(&again)? != written {
                return Err("its settings would not be the same when they are read again".to_owned());
            }
            Ok((written, wrap(value)))
        };
        Ok(Self::of(name, type_name, read, TypeId::of::<T>()))
    }

    fn of(
        name: &'static str,
        type_name: &'static str,
        read: impl Fn(Map<String, Value>) -> Read<S> + Send + Sync + 'static,
        type_id: TypeId,
    ) -> Self {
        Self { name, doc: "", type_id, type_name, read: Box::new(read), schema: None }
    }

    /// Creates the kind with these settings. A fault is reported as `place: fault`.
    pub fn choose(&self, settings: Map<String, Value>) -> Result<Chosen<S>, String> {
        let (settings, value) = (self.read)(settings)?;
        Ok(Chosen { name: self.name, settings, value })
    }

    /// Returns the schema of its table, without the `kind`.
    pub fn schema(&self, generator: &mut SchemaGenerator) -> Option<Schema> {
        self.schema.map(|schema| schema(generator))
    }
}

fn read<T: DeserializeOwned>(settings: Map<String, Value>) -> Result<T, String> {
    tagged::read_table::<T, serde_json::Error>(settings).map_err(|error| error.to_string())
}

/// Returns the settings of a value, in the order of its fields.
fn written<T: Serialize>(value: &T) -> Result<toml::Table, String> {
    toml::Table::try_from(value).map_err(|error| error.to_string())
}

fn to_json(settings: &toml::Table) -> Result<Map<String, Value>, String> {
    match serde_json::to_value(settings) {
        Ok(Value::Object(settings)) => Ok(settings),
        Ok(_) => Err("its settings are not a table".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

/// Phrased like serde's message, so that the nearest name is found in the same way.
fn unknown_name<'a>(what: &str, name: &str, known: impl Iterator<Item = &'a str>) -> String {
    let known: Vec<String> = known.map(|name| format!("`{name}`")).collect();
    match known.len() {
        0 => format!("unknown {what} `{name}`, there are none"),
        _ => format!("unknown {what} `{name}`, expected one of {}", known.join(", ")),
    }
}

/// The kinds of a table.
pub(crate) struct Registry<S: ?Sized + 'static> {
    /// The kind of thing, such as "model".
    what: &'static str,
    /// The module of the `register` function.
    module: &'static str,
    catalogue: usize,
    /// The catalogue's kinds come first.
    kinds: RwLock<Vec<&'static Kind<S>>>,
}

impl<S: ?Sized + 'static> Registry<S> {
    /// Creates a registry with the kinds of the catalogue.
    pub fn new(what: &'static str, module: &'static str, catalogue: Vec<Kind<S>>) -> Self {
        let kinds: Vec<&'static Kind<S>> = catalogue.into_iter().map(leaked).collect();
        Self { what, module, catalogue: kinds.len(), kinds: RwLock::new(kinds) }
    }

    /// Adds a kind.
    pub fn register(&self, kind: Kind<S>) -> Result<(), KindError> {
        let is_name = kind.name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        if !(is_name && kind.name.starts_with(|c: char| c.is_ascii_alphabetic())) {
            return Err(KindError::Name(kind.name.to_owned()));
        }
        let mut kinds = self.kinds.write().unwrap_or_else(PoisonError::into_inner);
        if kinds.iter().any(|other| other.name == kind.name) {
            return Err(KindError::Taken { what: self.what, name: kind.name });
        }
        if let Some(other) = kinds.iter().find(|other| other.type_id == kind.type_id) {
            return Err(KindError::Twice { type_name: kind.type_name, name: other.name });
        }
        kinds.push(leaked(kind));
        Ok(())
    }

    /// Returns all kinds, the catalogue's first.
    pub fn all(&self) -> Vec<&'static Kind<S>> {
        self.kinds.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Returns the kinds of the catalogue.
    pub fn catalogue(&self) -> impl Iterator<Item = &'static Kind<S>> {
        self.all().into_iter().take(self.catalogue)
    }

    /// Returns the kind called `name`.
    pub fn find(&self, name: &str) -> Option<&'static Kind<S>> {
        self.all().into_iter().find(|kind| kind.name == name)
    }

    /// Creates a choice from a value of a registered type.
    pub fn choose<T: Serialize + 'static>(&self, value: &T) -> Result<Chosen<S>, KindError> {
        let type_name = std::any::type_name::<T>();
        let kind = self.all().into_iter().find(|kind| kind.type_id == TypeId::of::<T>());
        let kind = kind.ok_or(KindError::Unregistered { type_name, module: self.module })?;
        let chosen = written(value).and_then(|settings| kind.choose(to_json(&settings)?));
        chosen.map_err(|fault| KindError::Value { name: kind.name, fault })
    }

    /// Reads the kind that a table names, with its settings. A fault is reported as `place: fault`.
    pub fn read<E: Error>(&self, table: Tagged) -> Result<Chosen<S>, E> {
        let Some(kind) = self.find(table.kind()) else {
            let unknown = unknown_name("variant", table.kind(), self.all().into_iter().map(|kind| kind.name));
            let register =
                format!("a user-defined one must be registered first, with rekindle::{}::register", self.module);
            return Err(E::custom(format!("kind: {unknown}; {register}")));
        };
        kind.choose(table.into_parts().1).map_err(E::custom)
    }

    /// Returns the schema of a table with one of the kinds of the catalogue.
    pub fn schema(&self, generator: &mut SchemaGenerator) -> Schema {
        let kinds = self.catalogue().filter_map(|kind| {
            let mut schema = kind.schema(generator)?;
            let object = schema.ensure_object();
            object.insert("description".to_owned(), kind.doc.into());
            let properties = object.entry("properties").or_insert_with(|| Map::new().into());
            properties["kind"] = serde_json::json!({"type": "string", "const": kind.name});
            match object.get_mut("required").and_then(Value::as_array_mut) {
                Some(required) => required.insert(0, "kind".into()),
                None => drop(object.insert("required".to_owned(), vec!["kind"].into())),
            }
            Some(schema)
        });
        let kinds: Vec<Schema> = kinds.collect();
        json_schema!({"oneOf": kinds})
    }

    /// Returns the schema of the word that names a kind of the catalogue.
    pub fn names(&self) -> Schema {
        let word = |kind: &Kind<S>| serde_json::json!({"type": "string", "const": kind.name, "description": kind.doc});
        json_schema!({"oneOf": self.catalogue().map(word).collect::<Vec<_>>()})
    }
}

/// A kind stays registered until the program ends.
fn leaked<S: ?Sized>(kind: Kind<S>) -> &'static Kind<S> {
    Box::leak(Box::new(kind))
}

/// A trait whose implementations a table can name.
pub(crate) trait Named: 'static {
    /// Returns the registry of its implementations.
    fn registry() -> &'static Registry<Self>;
}

/// A kind with its settings: a table that was read.
pub struct Chosen<S: ?Sized> {
    name: &'static str,
    /// In the order of the fields.
    settings: toml::Table,
    value: Arc<S>,
}

impl<S: ?Sized> Chosen<S> {
    /// Returns the name of the kind.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Returns the settings.
    pub(crate) fn settings(&self) -> &toml::Table {
        &self.settings
    }

    /// Returns the value that the table describes.
    pub fn get(&self) -> &Arc<S> {
        &self.value
    }
}

impl<S: ?Sized> Clone for Chosen<S> {
    fn clone(&self) -> Self {
        Self { name: self.name, settings: self.settings.clone(), value: Arc::clone(&self.value) }
    }
}

impl<S: ?Sized> fmt::Debug for Chosen<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct(self.name).field("settings", &self.settings).finish()
    }
}

impl<S: ?Sized> PartialEq for Chosen<S> {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name && self.settings == other.settings
    }
}

impl<S: ?Sized> Serialize for Chosen<S> {
    fn serialize<Ser: Serializer>(&self, serializer: Ser) -> Result<Ser::Ok, Ser::Error> {
        let mut map = serializer.serialize_map(Some(1 + self.settings.len()))?;
        map.serialize_entry("kind", self.name)?;
        self.settings.iter().try_for_each(|(name, value)| map.serialize_entry(name, value))?;
        map.end()
    }
}

impl<'de, S: Named + ?Sized> Deserialize<'de> for Chosen<S> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        S::registry().read(Tagged::deserialize(deserializer)?)
    }
}
