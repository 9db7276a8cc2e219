//! A configuration with every default written out, as in the `config.toml` of a run, so that a version with other
//! defaults interprets it in the same way.

use serde_json::{Value, json};

use super::every::Interval;
use super::run_config::{Config, TrainConfig};
use crate::data::{Format, Task};
use crate::device;
use crate::schedule::Schedule;

impl Config {
    /// Returns the same configuration with every default written out. Unused optional settings are omitted, and so are
    /// those that depend on the data, such as the number of classes.
    pub fn complete(&self) -> Self {
        let mut config = self.clone();
        config.data = self.data.complete();
        config.model = self.model.complete(self.data.context.map(|context| context.get()));
        match (config.data.format, config.data.task) {
            (Some(Format::Csv | Format::Parquet), _) if config.data.has_labels() => config.loss = self.loss.of_labels(),
            (Some(Format::Csv | Format::Parquet), Some(task)) => {
                config.loss = self.loss.named(task == Task::Regression);
            }
            (Some(Format::Idx | Format::Images | Format::Text | Format::Jsonl), _) => {
                config.loss = self.loss.named(false);
            }
            _ => {}
        }
        config.train.accumulate.get_or_insert(1);
        config.validation.at_end.get_or_insert(self.validation.every == Interval::Auto);
        config
    }

    /// Returns the complete configuration as TOML, including the defaults of its schedules.
    ///
    /// # Errors
    /// A value cannot be represented in TOML, such as a path that is not Unicode.
    pub fn to_complete_toml(&self) -> Result<String, toml::ser::Error> {
        let config = self.complete();
        let mut table = toml::Table::try_from(&config)?;
        for (key, schedule) in config.schedules() {
            table.insert(key.to_owned(), complete_schedule(schedule)?);
        }
        toml::to_string(&table)
    }

    /// Returns what all processes of a run must have in common.
    pub(in crate::train) fn in_common(&self) -> Value {
        let mut config = json!(self.complete());
        // Each process may have another device of the same kind.
        config["device"] = device::kind(&self.device).into();
        config
    }
}

impl TrainConfig {
    /// Whether batch norms take the statistics of the whole batch; by default they do not.
    pub(in crate::train) fn has_sync_batch_norm(&self) -> bool {
        self.sync_batch_norm.unwrap_or(false)
    }
}

fn complete_schedule(schedule: &Schedule) -> Result<toml::Value, toml::ser::Error> {
    toml::Value::try_from(schedule.complete())
}

/// Returns a configuration of a checkpoint or file with every default written out, so that written and omitted defaults
/// compare equal; unchanged if it is not a complete configuration.
pub(super) fn complete(config: &Value) -> Value {
    let read: Result<Config, _> = serde_path_to_error::deserialize(config);
    read.ok().and_then(|config| serde_json::to_value(config.complete()).ok()).unwrap_or_else(|| config.clone())
}
