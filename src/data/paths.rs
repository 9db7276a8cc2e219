//! Paths of data as they are written: one, or a list, each of a file or a pattern of names.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Deserializer, Error};
use serde::ser::Serializer;
use serde::{Deserialize, Serialize};

/// One path or several, each of a file, or a pattern such as `part-*.csv`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Paths(Vec<PathBuf>);

impl Paths {
    /// Creates it of a single path.
    pub fn one(path: impl Into<PathBuf>) -> Self {
        Self(vec![path.into()])
    }

    /// Creates it of a path and those after it.
    pub(super) fn of(first: &Path, others: &[PathBuf]) -> Self {
        Self([&[first.to_owned()], others].concat())
    }

    /// Returns the paths in their order; at least one.
    pub fn iter(&self) -> impl Iterator<Item = &Path> {
        self.0.iter().map(PathBuf::as_path)
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut PathBuf> {
        self.0.iter_mut()
    }

    /// Returns the path if it is the only one.
    pub fn only(&self) -> Option<&Path> {
        match self.0.as_slice() {
            [path] => Some(path),
            _ => None,
        }
    }

    /// Returns the first path and the others.
    pub(super) fn split(mut self) -> (PathBuf, Vec<PathBuf>) {
        let others = self.0.split_off(self.0.len().min(1));
        (self.0.pop().unwrap_or_default(), others)
    }
}

impl Serialize for Paths {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.only() {
            Some(path) => path.serialize(serializer),
            None => self.0.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Paths {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged, expecting = "a path, or a list of paths, in quotes")]
        enum Given {
            One(PathBuf),
            Several(Vec<PathBuf>),
        }
        match Given::deserialize(deserializer)? {
            Given::One(path) => Ok(Self(vec![path])),
            Given::Several(paths) if paths.is_empty() => Err(D::Error::custom("the list names no file")),
            Given::Several(paths) => Ok(Self(paths)),
        }
    }
}

impl JsonSchema for Paths {
    fn schema_name() -> Cow<'static, str> {
        "Paths".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"anyOf": [
            {"type": "string"},
            {"type": "array", "items": {"type": "string"}, "minItems": 1}
        ]})
    }
}
