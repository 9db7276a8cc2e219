//! Differences between two JSON values, leaf by leaf.

use std::collections::BTreeSet;

use serde::Serialize;
use serde_json::Value;

/// A difference between two JSON values.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FieldDifference {
    /// A dotted path: `optimizer.groups[1].lr`.
    pub field: String,
    /// The value in A; `None` if it is absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub a: Option<Value>,
    /// The value in B; `None` if it is absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub b: Option<Value>,
}

/// Returns every leaf in which `a` and `b` differ. Lists of equal length are compared entry by entry, others as a
/// whole.
pub(super) fn differences(a: &Value, b: &Value) -> Vec<FieldDifference> {
    let mut found = Vec::new();
    collect(String::new(), Some(a), Some(b), &mut found);
    found
}

fn collect(field: String, a: Option<&Value>, b: Option<&Value>, found: &mut Vec<FieldDifference>) {
    match (a, b) {
        (Some(Value::Object(a)), Some(Value::Object(b))) => {
            for name in a.keys().chain(b.keys()).collect::<BTreeSet<_>>() {
                let inner = if field.is_empty() { name.clone() } else { format!("{field}.{name}") };
                collect(inner, a.get(name), b.get(name), found);
            }
        }
        (Some(Value::Array(a)), Some(Value::Array(b))) if a.len() == b.len() => {
            for (index, (a, b)) in a.iter().zip(b).enumerate() {
                collect(format!("{field}[{index}]"), Some(a), Some(b), found);
            }
        }
        _ if text(a) != text(b) => found.push(FieldDifference { field, a: a.cloned(), b: b.cloned() }),
        _ => {}
    }
}

/// Compared as text, because `Value` takes `0.0` and `-0.0` for equal.
fn text(value: Option<&Value>) -> Option<String> {
    value.map(Value::to_string)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn told(a: Value, b: Value) -> Vec<String> {
        let value = |value: Option<Value>| value.map_or("nothing".to_owned(), |value| value.to_string());
        let line = |d: FieldDifference| format!("{}: {} | {}", d.field, value(d.a), value(d.b));
        differences(&a, &b).into_iter().map(line).collect()
    }

    #[test]
    fn leaves_that_differ_are_named_by_their_path() {
        let a = json!({"step": 1, "groups": [{"lr": 0.1}, {"lr": 0.2}], "same": {"deep": [1, 2]}});
        let b = json!({"step": 1, "groups": [{"lr": 0.1}, {"lr": 0.3}], "same": {"deep": [1, 2]}});
        assert_eq!(told(a, b), ["groups[1].lr: 0.2 | 0.3"]);
        assert_eq!(told(json!([1, 2]), json!([1])), [": [1,2] | [1]"]);
    }

    #[test]
    fn nothing_is_not_null_and_a_float_not_an_integer() {
        assert_eq!(told(json!({"x": null}), json!({})), ["x: null | nothing"]);
        assert_eq!(told(json!({"x": 1}), json!({"x": 1.0})), ["x: 1 | 1.0"]);
        assert_eq!(told(json!({"x": 0.0}), json!({"x": -0.0})), ["x: 0.0 | -0.0"]);
    }
}
