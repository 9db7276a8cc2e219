//! Reads a [`Config`] from a TOML file or a checkpoint, with the changes of `--set`.

use std::path::Path;

use serde_json::{Map, Value};

use super::beyond::beyond;
use super::changes::refuse_fixed;
use super::dotted::{EXCLUSIVE, is_data_path, is_path, lookup, remove, segments};
use super::missing::missing;
use super::run_config::Config;
use super::{paths, spelling, wording};
use crate::data::{DataConfig, Format};
use crate::optim::OptimError;
use crate::plain;
use crate::store;
use crate::tagged;
use crate::train::TrainError;
use crate::train::error::ConfigPlace;
use crate::train::error::remedies::for_data;

/// A `--set key=value`: a dotted key and a TOML value, or a bare word, which is taken as text. An empty value resets
/// the setting to its default.
#[derive(Clone, Debug, PartialEq)]
pub struct Setting {
    key: String,
    value: Value,
}

impl Setting {
    /// Reads `key=value`.
    ///
    /// # Errors
    /// There is no `=`, or the value is a number that is not finite.
    pub fn parse(text: &str) -> Result<Self, TrainError> {
        let wrong = |reason: &str| TrainError::Setting { text: text.to_owned(), reason: reason.to_owned() };
        let (key, value) = text.split_once('=').ok_or_else(|| wrong("write it as key=value"))?;
        let (key, value) = (key.trim().to_owned(), value.trim());
        if key.split('.').any(str::is_empty) {
            return Err(wrong("the key is a dotted name such as `optimizer.lr`"));
        }
        let line = format!("value = {value}");
        let parsed = match line.parse::<toml::Table>() {
            Ok(mut table) => table.remove("value"),
            Err(_) => match beyond(&line) {
                Some(found) => return Err(wrong(&found.of_setting(&key, "value").to_string())),
                None => None,
            },
        };
        let value = match parsed {
            _ if value.is_empty() => Value::Null,
            Some(toml::Value::String(text)) => Value::String(text),
            Some(parsed) => to_json(parsed, &key).map_err(|_| wrong("must be a finite number"))?,
            None => Value::String(value.to_owned()),
        };
        let value = if is_path(&key) { from_here(value) } else { value };
        Ok(Self { key, value })
    }

    /// Sets a key to a value; null resets it.
    pub(super) fn of(key: &str, value: Value) -> Self {
        Self { key: key.to_owned(), value }
    }

    /// Sets the device to `name`, whatever that looks like as a value of TOML.
    pub fn of_device(name: &str) -> Self {
        Self { key: "device".to_owned(), value: Value::String(name.to_owned()) }
    }

    /// Whether it sets exactly this value.
    pub(super) fn is(&self, value: &Value) -> bool {
        self.value == *value
    }

    /// Returns the dotted key.
    pub(crate) fn key(&self) -> &str {
        &self.key
    }

    /// Returns the value; null resets the key to its default.
    #[cfg(feature = "peers")]
    pub(crate) fn value(&self) -> &Value {
        &self.value
    }

    /// Whether it sets a path or a device, and does not affect training results.
    pub(crate) fn is_of_place(&self) -> bool {
        is_data_path(&self.key) || self.key == "device"
    }

    /// Applies the setting to `config`, a table.
    pub(super) fn apply(&self, config: &mut Value) -> Result<(), TrainError> {
        for (set, removed) in EXCLUSIVE {
            if self.key == set {
                remove(config, removed);
            }
        }
        let (parents, last) = self.key.rsplit_once('.').map_or((None, self.key.as_str()), |(p, l)| (Some(p), l));
        let mut place = config;
        for name in parents.into_iter().flat_map(|parents| parents.split('.')) {
            place = self.entry(place, name)?;
        }
        // Another kind has other fields: those of the old one would be refused.
        if let Value::Object(table) = place
            && last == "kind"
            && table.get("kind").is_some_and(|kind| *kind != self.value)
        {
            // Patterns of a group apply to any kind.
            table.retain(|field, _| field == "parameters");
        }
        match place {
            Value::Object(table) if self.value.is_null() => drop(table.remove(last)),
            place => *self.entry(place, last)? = self.value.clone(),
        }
        Ok(())
    }

    /// Whether `field` has its value from this setting: it was set itself, is inside the set value, or was created on
    /// the way because it is not in the `original`.
    fn made(&self, field: &str, original: &Value) -> bool {
        let (key, field) = (segments(&self.key), segments(field));
        field.starts_with(&key) || (key.starts_with(&field) && lookup(original, &field).is_none())
    }

    /// Whether this changes the kind of the table `field`, which removes its other fields.
    fn starts_again(&self, field: &str, original: &Value) -> bool {
        let (key, field) = (segments(&self.key), segments(field));
        key.split_last() == Some((&"kind", &field[..])) && lookup(original, &key).is_some_and(|old| *old != self.value)
    }

    /// Whether its key is the one that the table `field` lacks, by `reason`.
    fn names_missing(&self, field: &str, reason: &str) -> bool {
        let (key, name) = (segments(&self.key), reason.split('`').nth(1));
        key.split_last().is_some_and(|(last, table)| Some(*last) == name && table == segments(field))
    }

    /// Whether it sets the length of the run.
    fn is_of_length(&self) -> bool {
        EXCLUSIVE.iter().any(|(set, _)| self.key == *set)
    }

    /// Returns the entry `name` of a table, created if missing, or number `name` of a list.
    fn entry<'a>(&self, place: &'a mut Value, name: &str) -> Result<&'a mut Value, TrainError> {
        let wrong = |reason: String| TrainError::Setting { text: self.key.clone(), reason };
        match place {
            Value::Array(items) => {
                let count = items.len();
                let item = name.parse::<usize>().ok().and_then(|index| items.get_mut(index));
                item.ok_or_else(|| {
                    wrong(format!("`{name}` is beyond the list, whose length is {count}; entries are counted from 0"))
                })
            }
            Value::Object(table) => Ok(table.entry(name).or_insert_with(|| Value::Object(Map::new()))),
            other => Err(wrong(format!("`{name}` was searched in {other}, which is not a table"))),
        }
    }
}

/// Reads a configuration file and applies `settings` to it.
///
/// # Errors
/// The file cannot be read, is not TOML, or has a field that is unknown, missing or of another type: with file, line
/// and field, and the nearest known name.
pub fn from_file(path: &Path, settings: &[Setting]) -> Result<Config, TrainError> {
    from_file_filled(path, settings, |_| {})
}

/// Like [`from_file`]; `fill` is given the table of the file before it is read, to add what may be missing there.
///
/// # Errors
/// As [`from_file`].
pub(crate) fn from_file_filled(
    path: &Path,
    settings: &[Setting],
    fill: impl FnOnce(&mut Value),
) -> Result<Config, TrainError> {
    let text = store::read_to_string(path).map_err(|source| TrainError::ReadConfig {
        path: path.to_owned(),
        place: place_of(path),
        source,
    })?;
    let wrong = |line: Option<usize>, field: String, reason: &str| {
        let (origin, reason) = (place(path, line), reason.to_owned());
        TrainError::Config { origin, field, reason }
    };
    let table: toml::Table = text.parse().map_err(|error: toml::de::Error| {
        let line = error.span().map(|span| line_of(&text, span.start));
        let reason = match (beyond(&text), error.message()) {
            (Some(found), _) => found.to_string(),
            (None, reason) if place_of(path) == ConfigPlace::Data => format!("{reason}; {}", for_data(path)),
            (None, reason) => reason.to_owned(),
        };
        wrong(line, "not TOML".to_owned(), &reason)
    })?;
    let mut value = to_json(toml::Value::Table(table), "").map_err(|NotFinite { key, number }| {
        wrong(line_of_field(&text, &key), format!("{key} = {number}"), "must be a finite number")
    })?;
    fill(&mut value);
    let folder = path.parent().map(Path::to_path_buf).unwrap_or_default();
    let checks = (|_: &Value| Ok(()), Config::require_steps);
    build(value, settings, &folder, checks, |field| place(path, line_of_field(&text, field)))
}

/// Asks the file system about a path that was given for a configuration.
fn place_of(path: &Path) -> ConfigPlace {
    let is_named_like_data = || Format::of(&DataConfig::new(path)).is_ok();
    match path {
        path if path.is_dir() => ConfigPlace::Folder,
        path if path.is_file() && is_named_like_data() => ConfigPlace::Data,
        _ => ConfigPlace::Other,
    }
}

/// Takes the configuration of a checkpoint and applies `settings` to it; its paths are relative to `folder`.
///
/// # Errors
/// As [`from_file`]; also if a setting changes what cannot change within a run.
pub fn from_checkpoint(saved: &Value, settings: &[Setting], folder: &Path) -> Result<Config, TrainError> {
    // Checked first, because otherwise another kind of optimizer, for example, would only give missing fields.
    let check = |asked: &Value| refuse_fixed(saved, asked);
    let checks = (check, |_: &Config| Ok(()));
    let own = without_what_followed(saved, settings);
    let is_sound =
        || build(own.clone(), &[], folder, (|_: &Value| Ok(()), |_: &Config| Ok(())), |_| String::new()).is_ok();
    build(own.clone(), settings, folder, checks, |_| match !settings.is_empty() && is_sound() {
        true => "--set".to_owned(),
        false => "the checkpoint's configuration".to_owned(),
    })
}

/// Returns a saved configuration without `validation.at_end`, if that only followed from an interval that is automatic
/// now, so that it follows from the new one.
fn without_what_followed(saved: &Value, settings: &[Setting]) -> Value {
    const AT_END: &str = "validation.at_end";
    let mut saved = saved.clone();
    let is_open =
        |setting: &Setting| setting.key == "validation.every" && (setting.value.is_null() || setting.value == "auto");
    let is_given = settings.iter().any(|setting| setting.key == AT_END);
    if settings.iter().any(is_open) && !is_given && saved["validation"]["at_end"] == Value::Bool(false) {
        remove(&mut saved, AT_END);
    }
    saved
}

/// Builds a configuration from its data and settings. The first of `checks` is made before it is read, the second
/// after that.
fn build(
    original: Value,
    settings: &[Setting],
    folder: &Path,
    checks: (impl Fn(&Value) -> Result<(), TrainError>, impl Fn(&Config) -> Result<(), TrainError>),
    origin: impl Fn(&str) -> String,
) -> Result<Config, TrainError> {
    let mut value = original.clone();
    // Kinds first: a changed kind resets its table, and the other settings are for the new kind.
    let (kinds, others): (Vec<_>, Vec<_>) = settings.iter().partition(|setting| setting.key.ends_with(".kind"));
    for setting in kinds.into_iter().chain(others) {
        setting.apply(&mut value)?;
    }
    checks.0(&value)?;
    let origin_of = |field: &str| {
        let is_set = settings.iter().any(|setting| setting.made(field, &original));
        if is_set { "--set".to_owned() } else { origin(field) }
    };
    let config: Config = serde_path_to_error::deserialize(&value).map_err(|error| {
        let (field, reason) = tagged::locate(&error);
        let is_missing = reason.starts_with("missing field");
        let missed =
            |setting: &&Setting| is_missing && setting.value.is_null() && setting.names_missing(&field, &reason);
        if let Some(Setting { key, .. }) = settings.iter().find(missed) {
            let reason = "is required and has no default; give a value after `=`".to_owned();
            return TrainError::Config { origin: format!("--set {key}="), field: String::new(), reason };
        }
        let all = if is_missing { missing(&value) } else { Vec::new() };
        if all.len() > 1 {
            let reason = format!("these are missing: `{}`", all.join("`, `"));
            return TrainError::Config { origin: origin(""), field: String::new(), reason };
        }
        let restarted = settings.iter().find(|setting| setting.starts_again(&field, &original));
        match restarted.filter(|_| is_missing) {
            Some(Setting { key, .. }) => TrainError::Config {
                origin: format!("--set {key}"),
                reason: format!(
                    "{}: another kind inherits nothing from the old one; set this too",
                    plain::of_serde(&reason)
                ),
                field,
            },
            None => {
                let reason = wording::in_plain_words(&reason, |is_near| spelling::question(&value, &field, is_near));
                TrainError::Config { origin: origin_of(&field), reason, field }
            }
        }
    })?;
    let config = config.resolved_against(folder);
    config.validate().and_then(|()| checks.1(&config)).map_err(|error| match error {
        TrainError::Field { field, value, rule } => {
            TrainError::Config { origin: origin_of(&field), field: format!("{field} = {value}"), reason: rule }
        }
        TrainError::NoLength => {
            let origin = settings.iter().find(|setting| setting.is_of_length() && setting.value.is_null());
            let origin = origin.map_or_else(|| origin_of("train"), |setting| format!("--set {}=", setting.key));
            TrainError::Config { origin, field: String::new(), reason: TrainError::NoLength.to_string() }
        }
        TrainError::Optim(OptimError::Hyperparameter { field, value, rule }) => {
            let field = format!("optimizer.{field}");
            let origin = origin_of(&field);
            TrainError::Config { origin, field: format!("{field} = {value}"), reason: rule }
        }
        other => other,
    })?;
    Ok(config)
}

fn place(path: &Path, line: Option<usize>) -> String {
    line.map_or_else(|| path.display().to_string(), |line| format!("{}, line {line}", path.display()))
}

fn line_of(text: &str, offset: usize) -> usize {
    text.bytes().take(offset).filter(|&byte| byte == b'\n').count() + 1
}

/// Returns the line of `field`, a dotted path such as `optimizer.groups[0].lr`; if it is not in the file, that of the
/// nearest table around it.
fn line_of_field(text: &str, field: &str) -> Option<usize> {
    let root = toml::de::DeTable::parse(text).ok()?;
    let mut table = root.get_ref();
    let mut found = None;
    for name in field.split('.') {
        let (name, index) = name.split_once('[').map_or((name, None), |(name, index)| (name, Some(index)));
        let Some((key, value)) = table.iter().find(|(key, _)| key.get_ref() == name) else { break };
        found = Some(line_of(text, key.span().start));
        let index = index.and_then(|index| index.trim_end_matches(']').parse::<usize>().ok());
        let value = match (value.get_ref(), index) {
            (toml::de::DeValue::Array(items), Some(index)) => {
                let item = items.get(index)?;
                found = Some(line_of(text, item.span().start));
                item.get_ref()
            }
            (value, _) => value,
        };
        let toml::de::DeValue::Table(inner) = value else { break };
        table = inner;
    }
    found
}

/// A number that TOML has and JSON does not. No configuration can use one.
struct NotFinite {
    key: String,
    number: f64,
}

/// Makes the path of a setting, or those of a list, absolute: on the command line they are relative to the working directory.
fn from_here(value: Value) -> Value {
    match value {
        Value::String(path) => paths::absolute(Path::new(&path), Path::new("")).to_string_lossy().into_owned().into(),
        Value::Array(list) => Value::Array(list.into_iter().map(from_here).collect()),
        value => value,
    }
}

/// Converts TOML to JSON.
fn to_json(value: toml::Value, key: &str) -> Result<Value, NotFinite> {
    let inside = |name: &str| if key.is_empty() { name.to_owned() } else { format!("{key}.{name}") };
    Ok(match value {
        toml::Value::String(text) => Value::String(text),
        toml::Value::Integer(number) => number.into(),
        toml::Value::Float(number) => match serde_json::Number::from_f64(number) {
            Some(number) => Value::Number(number),
            None => return Err(NotFinite { key: key.to_owned(), number }),
        },
        toml::Value::Boolean(flag) => flag.into(),
        toml::Value::Datetime(time) => Value::String(time.to_string()),
        toml::Value::Array(items) => {
            let items = items.into_iter().enumerate().map(|(i, item)| to_json(item, &format!("{key}[{i}]")));
            Value::Array(items.collect::<Result<_, _>>()?)
        }
        toml::Value::Table(table) => {
            let entries = table.into_iter().map(|(name, item)| {
                let converted = to_json(item, &inside(&name))?;
                Ok((name, converted))
            });
            Value::Object(entries.collect::<Result<_, NotFinite>>()?)
        }
    })
}
