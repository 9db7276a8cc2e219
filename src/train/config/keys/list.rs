//! List of all keys of a configuration, read from its schema.

use serde_json::{Map, Value};

use super::samples::{Sample, samples};
use super::schema::{definition, schema};

/// A table of a configuration, or one kind of it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Table {
    /// Its place, such as `data.augment`, with `[]` after a list of tables: `optimizer.groups[]`. Empty for the whole
    /// configuration.
    pub path: String,
    /// Its kind, if it has one.
    pub kind: Option<String>,
    /// Its meaning.
    pub meaning: String,
    /// Its keys: required ones first, then by name.
    pub keys: Vec<Key>,
}

/// A key of a table.
#[derive(Clone, Debug, PartialEq)]
pub struct Key {
    /// Its name.
    pub name: String,
    /// The type of its values, in words.
    pub kind: String,
    /// The valid values of that type; empty if all are valid.
    pub range: String,
    /// Whether the key is required.
    pub needed: bool,
    /// The defaults, each with the data formats that it applies to. Empty if there is none.
    pub defaults: Vec<(Value, Vec<&'static str>)>,
    /// Whether the default depends on other keys, or on the data.
    pub derived: bool,
    /// Its meaning.
    pub meaning: String,
    /// The allowed words, each with its meaning.
    pub words: Vec<(String, String)>,
    /// Its schema.
    pub schema: Value,
}

/// Returns all tables of a configuration, followed by the kinds of schedules, whose path is `schedule`.
pub fn tables() -> Vec<Table> {
    let schema = schema();
    let mut walk = Walk { definitions: &schema["$defs"], samples: samples(), found: Vec::new() };
    walk.table("", &schema, "");
    walk.schedules();
    walk.found
}

struct Walk<'a> {
    definitions: &'a Value,
    samples: Vec<Sample>,
    found: Vec<Table>,
}

impl<'a> Walk<'a> {
    /// Returns the schema that `schema` refers to, or `schema` itself.
    fn resolved(&self, schema: &'a Value) -> &'a Value {
        let target = schema["$ref"].as_str().and_then(|reference| definition(self.definitions, reference));
        target.unwrap_or(schema)
    }

    /// Adds the table at `path`, each of its kinds, and the tables inside it.
    fn table(&mut self, path: &str, schema: &'a Value, meaning: &str) {
        let schema = self.resolved(schema);
        let meaning = schema["description"].as_str().unwrap_or(meaning).to_owned();
        match kinds(schema) {
            Some(kinds) => kinds.iter().for_each(|kind| self.one_table(path, kind, &meaning)),
            None => self.one_table(path, schema, &meaning),
        }
    }

    fn one_table(&mut self, path: &str, schema: &'a Value, meaning: &str) {
        let kind = schema["properties"]["kind"]["const"].as_str().map(str::to_owned);
        let meaning = schema["description"].as_str().filter(|_| kind.is_some()).unwrap_or(meaning).to_owned();
        let keys = self.keys(path, schema);
        self.found.push(Table { path: path.to_owned(), kind, meaning, keys });
        for (name, inner) in schema["properties"].as_object().into_iter().flatten() {
            let meaning = inner["description"].as_str().unwrap_or_default();
            let (inner, list) = match &inner["items"] {
                Value::Null => (inner, ""),
                items => (items, "[]"),
            };
            let dot = if path.is_empty() { "" } else { "." };
            let inner_path = format!("{path}{dot}{name}{list}");
            let is_new = !self.found.iter().any(|table| table.path == inner_path);
            if let Some(table) = self.table_in(inner).filter(|_| is_new) {
                self.table(&inner_path, table, meaning);
            }
        }
    }

    /// Returns the table that `schema` is, or allows besides a word. Schedules are handled separately.
    fn table_in(&self, schema: &'a Value) -> Option<&'a Value> {
        if self.is_table(schema) {
            return Some(schema);
        }
        let is_schedule = schema["$ref"] == "#/$defs/Schedule";
        let mut choices = self.resolved(schema)["anyOf"].as_array().filter(|_| !is_schedule)?.iter();
        choices.find(|choice| self.is_table(choice))
    }

    fn is_table(&self, schema: &'a Value) -> bool {
        let schema = self.resolved(schema);
        schema["properties"].is_object() || kinds(schema).is_some()
    }

    fn keys(&self, path: &str, schema: &'a Value) -> Vec<Key> {
        let kind = &schema["properties"]["kind"];
        let needed = |name: &str| schema["required"].as_array().is_some_and(|names| names.iter().any(|n| n == name));
        let properties = schema["properties"].as_object().into_iter().flatten();
        let mut keys: Vec<Key> =
            properties.map(|(name, schema)| self.key(path, kind, name, schema, needed(name))).collect();
        keys.sort_by_key(|key| (key.name != "kind", !key.needed));
        keys
    }

    fn key(&self, path: &str, kind: &Value, name: &str, schema: &'a Value, needed: bool) -> Key {
        let (defaults, derived) = self.defaults(path, kind, name);
        let is_table = self.is_table(schema) || self.is_table(&schema["items"]);
        Key {
            name: name.to_owned(),
            kind: self.kind(schema),
            range: self.range(schema).join(", "),
            needed,
            defaults: if needed || is_table { Vec::new() } else { defaults },
            derived: derived && !needed,
            meaning: schema["description"].as_str().unwrap_or_default().to_owned(),
            words: self.words(schema),
            schema: schema.clone(),
        }
    }

    /// Returns the values that samples have for a key that they do not set, and whether the samples differ; `kind` is
    /// the schema of the table's key of that name.
    fn defaults(&self, path: &str, kind: &Value, name: &str) -> (Vec<(Value, Vec<&'static str>)>, bool) {
        let mut found: Vec<(Value, Vec<&'static str>)> = Vec::new();
        for sample in &self.samples {
            let Some(table) = at(&sample.complete, path) else { continue };
            let typed = at(&sample.typed, path);
            let is_of_kind = match (kind, kind.get("const")) {
                (_, Some(kind)) => table["kind"] == *kind,
                (Value::Null, None) => table.get("kind").is_none(),
                _ => true,
            };
            let is_typed = typed.is_some_and(|table| table.get(name).is_some());
            let Some(value) = table.get(name).filter(|_| is_of_kind && !is_typed) else { continue };
            match found.iter_mut().find(|(known, _)| known == value) {
                Some((_, formats)) if formats.contains(&sample.format) => {}
                Some((_, formats)) => formats.push(sample.format),
                None => found.push((value.clone(), vec![sample.format])),
            }
        }
        let mut formats = found.iter().flat_map(|(_, formats)| formats);
        // Two values for one format: the default depends on something else.
        let first: Vec<_> = formats.clone().collect();
        let derived =
            found.len() > 1 && formats.any(|format| first.iter().filter(|other| **other == format).count() > 1);
        if derived { (Vec::new(), true) } else { (found, false) }
    }

    /// Returns the type in words.
    fn kind(&self, schema: &'a Value) -> String {
        if schema["$ref"] == "#/$defs/Schedule" {
            return "schedule".to_owned();
        }
        if self.is_table(schema) {
            return "table".to_owned();
        }
        let schema = self.resolved(schema);
        let either = |choices: &'a Vec<Value>| {
            let mut kinds: Vec<String> = choices.iter().map(|choice| self.kind(choice)).collect();
            kinds.dedup();
            kinds.join(" or ")
        };
        if let Some(constant) = schema.get("const") {
            return format!("`{constant}`");
        }
        if let Some(words) = schema["enum"].as_array() {
            return words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(" or ");
        }
        if let Some(choices) = ["oneOf", "anyOf"].iter().find_map(|choice| schema[*choice].as_array()) {
            return either(choices);
        }
        match schema["type"].as_str() {
            Some("array") if schema["prefixItems"].is_array() => {
                let items = schema["prefixItems"].as_array().into_iter().flatten();
                let each = items.map(|item| [self.kind(item), self.range(item).join(", ")].join(" "));
                format!("[{}]", each.map(|item| item.trim_end().to_owned()).collect::<Vec<_>>().join(", "))
            }
            Some("array") => match (&schema["items"], schema["minItems"].as_u64(), schema["maxItems"].as_u64()) {
                (Value::Null, ..) => "list".to_owned(),
                (items, Some(least), Some(most)) if least == most => format!("list of {most}: {}", self.kind(items)),
                (items, ..) => format!("list: {}", self.kind(items)),
            },
            Some("integer") => "whole number".to_owned(),
            // A length in a schedule.
            Some("string") if schema["pattern"].as_str().is_some_and(|pattern| pattern.ends_with("%$")) => {
                "share such as `\"10%\"`".to_owned()
            }
            Some("string") => "text".to_owned(),
            Some("boolean") => "`true` or `false`".to_owned(),
            Some(other) => other.to_owned(),
            None => "value".to_owned(),
        }
    }

    /// Returns the rules for values, in words.
    fn range(&self, schema: &'a Value) -> Vec<String> {
        let schema = self.resolved(schema);
        let limits = [("minimum", "≥"), ("exclusiveMinimum", ">"), ("maximum", "≤"), ("exclusiveMaximum", "<")];
        let limit = |(key, sign): (&str, &str)| schema.get(key).map(|limit| format!("{sign} {}", number(limit)));
        let mut rules: Vec<String> = limits.into_iter().filter_map(limit).collect();
        if let Some(items) = schema.get("items").filter(|_| !self.is_table(&schema["items"])) {
            let each = self.range(items);
            rules.extend((!each.is_empty()).then(|| format!("each {}", each.join(", "))));
        }
        match (schema["minItems"].as_u64(), schema["maxItems"].as_u64()) {
            (Some(least), None) if least > 0 => rules.push(format!("at least {least} of them")),
            _ => {}
        }
        if let Some(choices) = schema["anyOf"].as_array() {
            rules.extend(choices.iter().flat_map(|choice| self.range(choice)));
        }
        // A rule for list elements.
        let all = rules.clone();
        rules.retain(|rule| rule.strip_prefix("each ").is_none_or(|plain| !all.iter().any(|rule| rule == plain)));
        rules
    }

    fn words(&self, schema: &'a Value) -> Vec<(String, String)> {
        let schema = self.resolved(schema);
        let described =
            |choice: &Value| Some((choice.get("const")?.to_string(), choice["description"].as_str()?.to_owned()));
        schema["oneOf"].as_array().into_iter().flatten().filter_map(described).collect()
    }

    /// Adds the kinds of schedules. Their defaults are in the schema.
    fn schedules(&mut self) {
        let Some(kinds) = kinds(&self.definitions["Schedule"]["anyOf"][1]) else { return };
        for schema in kinds {
            let kind = schema["properties"]["kind"]["const"].as_str().map(str::to_owned);
            let meaning = schema["description"].as_str().unwrap_or_default().to_owned();
            let mut keys = self.keys("schedule", schema);
            for key in &mut keys {
                key.defaults = key.schema.get("default").map(|value| (value.clone(), Vec::new())).into_iter().collect();
                key.derived = false;
            }
            self.found.push(Table { path: "schedule".to_owned(), kind, meaning, keys });
        }
    }
}

/// Returns the tables of each kind, if a table has kinds.
fn kinds(schema: &Value) -> Option<&Vec<Value>> {
    schema["oneOf"].as_array().filter(|kinds| kinds.iter().any(|kind| kind["properties"]["kind"].is_object()))
}

/// Returns the table at `path` of a configuration, the first one of a list.
fn at<'a>(config: &'a Value, path: &str) -> Option<&'a Value> {
    let names = path.split('.').filter(|name| !name.is_empty());
    let found = names.into_iter().try_fold(config, |table, name| match name.strip_suffix("[]") {
        Some(list) => table.get(list)?.get(0),
        None => table.get(name),
    });
    found.filter(|found| found.as_object().is_some_and(|table: &Map<_, _>| !table.is_empty() || path.is_empty()))
}

/// Formats a number in its shortest form: 1 instead of 1.0.
fn number(value: &Value) -> String {
    match value.as_f64() {
        Some(number) if !value.is_u64() && !value.is_i64() => format!("{number:?}").trim_end_matches(".0").to_owned(),
        _ => value.to_string(),
    }
}
