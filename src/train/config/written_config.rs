//! The `config.toml` of a run: written by the run, read by users, and perhaps edited by one.
//!
//! A run uses its newest checkpoint, and the file has the same configuration. Its first lines hold the BLAKE3 of the
//! rest: a file that matches was written by a run, and may be overwritten. Any other is a user's, and is kept. Values
//! in it that the run does not have are refused, with the `--set` that applies them, because a resume that ignored them
//! would not train what the user has asked for.

use std::io::ErrorKind;
use std::path::Path;

use serde_json::Value;

use super::changes::{Fixed, differences};
use super::dotted::{is_path, lookup, segments};
use super::edits::{Edit, Edits};
use super::load::{self, Setting};
use super::paths;
use super::run_config::Config;
use crate::checkpoint::Checkpoint;
use crate::train::TrainError;
use crate::{shell, store};

const NOTE: &str = "# Written by a run, which uses its newest checkpoint. To change a setting:\n\
                    # train --resume RUN --set KEY=VALUE\n";
const DIGEST: &str = "# BLAKE3 of what follows: ";

/// Encodes the file for `config`, whose paths are relative to it, with every default written out.
pub(crate) fn encode(config: &Config) -> Result<String, toml::ser::Error> {
    let body = config.to_complete_toml()?;
    Ok(format!("{NOTE}{DIGEST}{}\n{body}", blake3::hash(body.as_bytes())))
}

/// Whether `text` is, to the byte, what a run wrote. For files of earlier versions, without a digest, this is never
/// certain.
pub(crate) fn is_as_written(text: &str) -> bool {
    let rest = text.strip_prefix(NOTE).and_then(|rest| rest.strip_prefix(DIGEST));
    let parts = rest.and_then(|rest| rest.split_once('\n'));
    parts.is_some_and(|(digest, body)| blake3::hash(body.as_bytes()).to_hex().as_str() == digest)
}

/// Reads the file at `path`; `None` if it does not exist.
pub(crate) fn read(path: &Path) -> Result<Option<String>, TrainError> {
    match store::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(source) => Err(TrainError::Unopened { path: path.to_owned(), source }),
    }
}

/// State of a run's file, compared with the run's new configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// It does not exist.
    Missing,
    /// Written by a run.
    AsWritten,
    /// Edited, with the values of the run.
    Agrees,
    /// Edited, with values that this resume changes.
    Behind,
}

/// Compares the file of the run at `run` with `config`, the run's new configuration, and with the configuration in its
/// checkpoint.
///
/// # Errors
/// A user has set values that neither of the two has, or the file is invalid.
pub(crate) fn compare(run: &Path, checkpoint: &Checkpoint, config: &Config) -> Result<Found, TrainError> {
    let file = run.join("config.toml");
    match read(&file)? {
        None => return Ok(Found::Missing),
        Some(text) if is_as_written(&text) => return Ok(Found::AsWritten),
        Some(_) => {}
    }
    let written = load::from_file(&file, &[])
        .map_err(|error| TrainError::BadRunConfig { error: Box::new(error), path: file.clone() })?;
    let saved = checkpoint.field("config").cloned().unwrap_or_default();
    let saved = load::from_checkpoint(&saved, &[], run)?;
    let [saved, config, written] = [&saved, config, &written].map(|config| comparable(config, run));
    let differences = differences(&config, &written);
    if differences.is_empty() {
        return Ok(Found::Agrees);
    }
    let fixed = Fixed::of(&config);
    let is_edit = |key: &str, value: &Value| lookup(&saved, &segments(key)).unwrap_or(&Value::Null) != value;
    let edits: Vec<Edit> = differences
        .into_iter()
        .filter(|(key, _, value)| is_edit(key, value))
        .map(|(key, own, value)| edit(key, own, value, run, &fixed))
        .collect();
    if edits.is_empty() { Ok(Found::Behind) } else { Err(Edits { run: run.to_owned(), edits }.into()) }
}

/// Returns a configuration as values for comparison and messages: schedules in their text form.
fn comparable(config: &Config, run: &Path) -> Value {
    let mut value = serde_json::to_value(config.relative_to(run).complete()).unwrap_or_default();
    for (key, schedule) in config.schedules() {
        value[key] = Value::String(schedule.to_string());
    }
    value
}

/// A value of the file that the run does not have, and the setting that takes it, where it is not `fixed`.
fn edit(key: String, own: Value, edited: Value, run: &Path, fixed: &Fixed) -> Edit {
    let setting = (!fixed.has(&key)).then(|| setting(&key, &edited, run));
    let said = |value: &Value| if value.is_null() { "not given".to_owned() } else { value.to_string() };
    Edit { own: said(&own), edited: said(&edited), setting, key }
}

/// Returns a path that is relative to the run as one that is relative to the working directory, if it is inside that.
fn as_typed_here(path: &str, run: &Path) -> String {
    let (path, here) = (paths::absolute(Path::new(path), run), paths::absolute(Path::new(""), Path::new("")));
    path.strip_prefix(here).unwrap_or(&path).to_string_lossy().into_owned()
}

/// Returns `key=value` for the command line of a shell.
fn setting(key: &str, value: &Value, run: &Path) -> String {
    let text = match value {
        Value::Null => String::new(),
        Value::String(path) if is_path(key) => as_typed_here(path, run),
        Value::Array(list) if is_path(key) => {
            let paths = list.iter().filter_map(Value::as_str).map(|path| format!("{:?}", as_typed_here(path, run)));
            format!("[{}]", paths.collect::<Vec<_>>().join(", "))
        }
        // A word that is only text in TOML needs no quotes.
        Value::String(text) if Setting::parse(&format!("{key}={text}")).is_ok_and(|setting| setting.is(value)) => {
            text.clone()
        }
        value => toml::Value::try_from(value).map_or_else(|_| value.to_string(), |value| value.to_string()),
    };
    shell::word(&format!("{key}={text}"))
}
