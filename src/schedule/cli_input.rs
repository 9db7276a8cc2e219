//! Schedules and metrics from command-line arguments.

use std::path::Path;

use thiserror::Error;

use super::{Schedule, ScheduleError};
use crate::plain;
use crate::regular;

/// Reads a schedule from its text form, from a JSON table, or from a TOML file.
///
/// An argument that begins with `{` is JSON. One that ends in `.toml`, or is the path of a file, is a TOML file that
/// either is the schedule or holds it as `schedule`, a table or a line of text. Everything else is the text form.
///
/// # Errors
/// The message says which of the three was read, and the fault.
pub fn read_schedule(typed: &str) -> Result<Schedule, CliInputError> {
    if typed.trim_start().starts_with('{') {
        return serde_json::from_str(typed).map_err(CliInputError::Json);
    }
    if typed.ends_with(".toml") || Path::new(typed).is_file() {
        return read_toml(Path::new(typed));
    }
    Ok(typed.parse()?)
}

fn read_toml(path: &Path) -> Result<Schedule, CliInputError> {
    let wrong = |message: String| CliInputError::Toml { path: path.display().to_string(), message };
    let mut table: toml::Table = toml::from_str(&read(path)?).map_err(|error| wrong(error.to_string()))?;
    let schedule = if table.contains_key("kind") {
        toml::Value::Table(table)
    } else {
        table.remove("schedule").ok_or_else(|| wrong("there is no `schedule` in it, and no `kind`".to_owned()))?
    };
    schedule.try_into().map_err(|error: toml::de::Error| wrong(plain::of_serde(error.message())))
}

/// Reads the metrics for a metric-driven schedule: a file with a JSON array of numbers. It also accepts what programs
/// write for numbers that JSON lacks: `NaN`, `Infinity` and `inf`, and `null` for NaN.
///
/// # Errors
/// The file cannot be read or holds something else.
pub fn read_metrics(path: &Path) -> Result<Vec<f64>, CliInputError> {
    let text = read(path)?;
    let wrong = |found: &str| CliInputError::Metrics {
        path: path.display().to_string(),
        found: found.trim().chars().take(20).collect(),
    };
    let items = text.trim().strip_prefix('[').and_then(|text| text.strip_suffix(']')).ok_or_else(|| wrong(&text))?;
    if items.trim().is_empty() {
        return Ok(Vec::new());
    }
    let number = |item: &str| match item.trim().trim_matches('"') {
        "null" => Ok(f64::NAN),
        number => number.parse().map_err(|_| wrong(item)),
    };
    items.split(',').map(number).collect()
}

fn read(path: &Path) -> Result<String, CliInputError> {
    regular::read_to_string(path).map_err(|source| CliInputError::File { path: path.display().to_string(), source })
}

/// Errors of reading a schedule or metrics from an argument.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum CliInputError {
    /// The text form is invalid.
    #[error(transparent)]
    Text(#[from] ScheduleError),
    /// The JSON table is invalid.
    #[error("the JSON table is not a schedule: {}", plain::of_serde(&.0.to_string()))]
    Json(#[source] serde_json::Error),
    /// The file cannot be read.
    #[error("{path} cannot be read: {source}")]
    File {
        /// The path of the file.
        path: String,
        /// The reason.
        source: std::io::Error,
    },
    /// The TOML file holds no schedule.
    #[error("{path}: {message}")]
    Toml {
        /// The path of the file.
        path: String,
        /// The fault.
        message: String,
    },
    /// The file of metrics holds something else.
    #[error("{path} is not a JSON array of numbers, such as [0.9, 0.7]: it holds `{found}`")]
    Metrics {
        /// The path of the file.
        path: String,
        /// The first entry that is not a number.
        found: String,
    },
}
