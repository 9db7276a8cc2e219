//! The `[data]` table as it is written: with the settings of a registered format, and a path that may be a list.

use std::path::Path;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::de::{Deserializer, Error};
use serde::ser::Serializer;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::format_kind::{COMMON, Format};
use super::{DataConfig, DatasetSpec, Paths};
use crate::registry::Named;
use crate::tagged;

/// The table without the settings of a registered format, and with the first path alone.
struct Common<T>(T);

impl Serialize for Common<&DataConfig> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        DataConfig::serialize(self.0, serializer)
    }
}

impl<'de> Deserialize<'de> for Common<DataConfig> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        DataConfig::deserialize(deserializer).map(Self)
    }
}

impl Serialize for DataConfig {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct WithOwn<'a> {
            #[serde(flatten)]
            common: Common<&'a DataConfig>,
            #[serde(flatten)]
            own: &'a toml::Table,
        }
        #[derive(Serialize)]
        struct WithList<'a> {
            path: Paths,
            #[serde(flatten)]
            rest: Common<&'a DataConfig>,
        }
        match &self.own {
            None if !self.more_paths.is_empty() => {
                let rest = Self { path: Default::default(), more_paths: Vec::new(), ..self.clone() };
                WithList { path: self.paths(), rest: Common(&rest) }.serialize(serializer)
            }
            None => Common(self).serialize(serializer),
            Some(own) => WithOwn { common: Common(self), own: own.settings() }.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for DataConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut table: Map<String, Value> = Map::deserialize(deserializer)?;
        let format = table.get("format").and_then(Value::as_str).unwrap_or_default();
        let registry = <dyn DatasetSpec>::registry();
        let (is_custom, kind) = (format == Format::Custom.word(), registry.find(format));
        if is_custom || kind.is_some() {
            table.entry("path").or_insert_with(|| "".into());
        }
        let more_paths = match table.get_mut("path") {
            Some(list @ Value::Array(_)) => {
                let paths =
                    Paths::deserialize(list.take()).map_err(|error| D::Error::custom(format!("path: {error}")))?;
                let (first, others) = paths.split();
                *list = first.to_string_lossy().into_owned().into();
                others
            }
            _ => Vec::new(),
        };
        let own = match kind {
            Some(kind) => {
                let (common, own) = table.into_iter().partition(|(name, _)| COMMON.contains(&name.as_str()));
                table = common;
                Some(kind.choose(own).map_err(D::Error::custom)?)
            }
            None => None,
        };
        let Common(config) = tagged::read_table(table)?;
        Ok(Self { own, more_paths, ..config })
    }
}

/// Whether no path is given.
pub(super) fn is_nowhere(path: &Path) -> bool {
    path.as_os_str().is_empty()
}

/// The form of `path` in a configuration.
pub(super) fn path_schema(generator: &mut SchemaGenerator) -> Schema {
    Paths::json_schema(generator)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_paths_is_written_as_it_was_typed() {
        let text = "path = [\"a.csv\", \"part-*.csv\"]\ntest_path = \"test.csv\"\nfold = \"2/5\"\n";
        let config: DataConfig = toml::from_str(text).unwrap();
        assert_eq!(config.paths().iter().collect::<Vec<_>>(), [Path::new("a.csv"), Path::new("part-*.csv")]);
        let written = toml::to_string(&config).unwrap();
        assert_eq!(toml::from_str::<DataConfig>(&written).unwrap(), config, "{written}");
        assert!(written.starts_with("path = [\"a.csv\", \"part-*.csv\"]\n"), "{written}");
        assert_eq!(toml::from_str::<DataConfig>("path = [\"a.csv\"]").unwrap(), DataConfig::new("a.csv"));
        let message = toml::from_str::<DataConfig>("path = []").unwrap_err().to_string();
        assert!(message.contains("the list names no file"), "{message}");
        let message = toml::from_str::<DataConfig>("path = [1]").unwrap_err().to_string();
        assert!(message.contains("a path, or a list of paths, in quotes"), "{message}");
    }
}
