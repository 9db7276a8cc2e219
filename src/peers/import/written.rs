//! Tables of a proposed configuration, written as a person would.

use serde_json::{Map, Value};

use crate::figures::exact;
use crate::peers::wrapped::wrapped;

/// The widest list that stays on one line.
const WIDE: usize = 100;

/// Returns a table of TOML: `kind` first, `remarks` after its values, and the tables in it at the end.
pub(super) fn table(name: &str, table: &Value, remarks: &[String]) -> String {
    let remarks: String = remarks.iter().map(|remark| wrapped(remark, "#     ") + "\n").collect();
    table.as_object().map(|table| tables(&format!("[{name}]"), name, table, &remarks)).unwrap_or_default()
}

fn tables(header: &str, name: &str, table: &Map<String, Value>, remarks: &str) -> String {
    let mut text = format!("{header}\n");
    let is_first = |key: &&String| ["kind", "parameters"].contains(&key.as_str());
    let keys = table.keys().filter(is_first).chain(table.keys().filter(|key| !is_first(key)));
    for key in keys {
        if let Some(value) = table.get(key).filter(|value| within(value).is_empty() && !value.is_null()) {
            text += &format!("{key} = {}\n", written(value));
        }
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

/// Returns the tables that a value is, or is a list of.
fn within(value: &Value) -> Vec<&Map<String, Value>> {
    match value {
        Value::Object(table) => vec![table],
        Value::Array(list) => list.iter().filter_map(Value::as_object).collect(),
        _ => Vec::new(),
    }
}

fn written(value: &Value) -> String {
    match value {
        Value::String(text) => quoted(text),
        Value::Array(list) => {
            let items: Vec<String> = list.iter().map(written).collect();
            let line = format!("[{}]", items.join(", "));
            if line.len() < WIDE { line } else { format!("[\n    {},\n]", items.join(",\n    ")) }
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
        assert_eq!(quoted("cosine(30, after=\"cycle\")"), "'cosine(30, after=\"cycle\")'");
    }
}
