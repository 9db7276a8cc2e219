//! Tables of a proposed configuration, written as a person would.

use serde_json::{Map, Value};

use crate::figures::exact;
use crate::wrapped::wrapped;

/// The widest list that stays on one line.
const WIDE: usize = 100;

/// Returns a table of TOML: `kind` first, `remarks` after its values, and the tables in it at the end.
pub(super) fn table(name: &str, table: &Value, remarks: &[String]) -> String {
    let remarks: String = remarks.iter().map(|remark| wrapped(remark, "#     ") + "\n").collect();
    table.as_object().map(|table| tables(&format!("[{name}]"), name, table, &remarks)).unwrap_or_default()
}

fn tables(header: &str, name: &str, table: &Map<String, Value>, remarks: &str) -> String {
    let mut text = format!("{header}\n");
    for (key, value) in values(table) {
        text += &format!("{key} = {}\n", written(value, WIDE));
    }
    text += remarks;
    for (key, value) in table {
        let inner = format!("{name}.{key}");
        let header = if value.is_array() { format!("[[{inner}]]") } else { format!("[{inner}]") };
        for table in within(value) {
            text += &format!("\n{}", tables(&header, &inner, table, ""));
        }
    }
    text
}

/// Returns the same table as one line, for a sentence.
pub(super) fn in_line(table: &Value) -> String {
    let Some(table) = table.as_object() else { return String::new() };
    let line = |table| {
        let values = values(table).map(|(key, value)| format!("{key} = {}", written(value, usize::MAX)));
        values.collect::<Vec<_>>().join(", ")
    };
    let groups = table.values().flat_map(within).enumerate();
    let groups = groups.map(|(place, group)| format!("; group {}: {}", place + 1, line(group)));
    line(table) + &groups.collect::<String>()
}

/// Returns the values of a table that are no tables, in the order in which a person writes them.
fn values(table: &Map<String, Value>) -> impl Iterator<Item = (&String, &Value)> {
    let is_first = |key: &str| ["kind", "parameters"].contains(&key);
    let (first, rest): (Vec<_>, Vec<_>) = table.iter().partition(|(key, _)| is_first(key));
    first.into_iter().chain(rest).filter(|(_, value)| within(value).is_empty() && !value.is_null())
}

/// Returns the tables that a value is, or is a list of.
fn within(value: &Value) -> Vec<&Map<String, Value>> {
    match value {
        Value::Object(table) => vec![table],
        Value::Array(list) => list.iter().filter_map(Value::as_object).collect(),
        _ => Vec::new(),
    }
}

fn written(value: &Value, wide: usize) -> String {
    match value {
        Value::String(text) => quoted(text),
        Value::Array(list) => {
            let items: Vec<String> = list.iter().map(|item| written(item, wide)).collect();
            let line = format!("[{}]", items.join(", "));
            if line.len() < wide { line } else { format!("[\n    {},\n]", items.join(",\n    ")) }
        }
        Value::Number(number) if number.is_f64() => {
            let text = number.as_f64().map(exact).unwrap_or_default();
            // A number without a point would be a whole one.
            if text.contains(['.', 'e']) { text } else { text + ".0" }
        }
        other => other.to_string(),
    }
}

/// Returns a text in quotation marks; those of a literal if there are others in it.
pub(super) fn quoted(text: &str) -> String {
    let is_plain = !text.contains(['\'', '\\']) && !text.contains(char::is_control);
    if is_plain && text.contains('"') { format!("'{text}'") } else { toml::Value::from(text).to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_table_reads_back_as_it_was() {
        let names: Vec<String> = (0..20).map(|number| format!("block.{number}.bias")).collect();
        let value = json!({"betas": [0.9, 0.999], "eps": 1e-8, "kind": "adamw", "lr": 1.0, "text": "a \"b\" 'c'\n",
            "whole": 3, "flag": false, "tied": [["a", "b"]], "groups": [{"parameters": names, "weight_decay": 0.0}]});
        let text = table("optimizer", &value, &["# lr = … # ? unknown".to_owned()]);
        let read: toml::Table = text.parse().unwrap_or_else(|error| panic!("{error}\n{text}"));
        assert_eq!(serde_json::to_value(&read["optimizer"]).unwrap(), value);
        assert!(text.starts_with("[optimizer]\nkind = \"adamw\"\n") && text.contains("eps = 1e-8\n"), "{text}");
        assert!(text.find("# lr = …").unwrap() < text.find("[[optimizer.groups]]").unwrap(), "{text}");
        assert!(text.lines().all(|line| line.len() <= WIDE), "{text}");
        let line = in_line(&json!({"eps": 1e-8, "kind": "adamw", "groups": [{"lr": 1.0, "parameters": ["a"]}]}));
        assert_eq!(line, "kind = \"adamw\", eps = 1e-8; group 1: parameters = [\"a\"], lr = 1.0");
        assert_eq!(quoted("cosine(30, after=\"cycle\")"), "'cosine(30, after=\"cycle\")'");
    }
}
