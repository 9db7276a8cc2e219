//! `state.json`: the step, the names of the parts, their JSON, and further fields.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Map, Value};

use super::error::CheckpointError;
use super::name;
use crate::plain;
use crate::state::State;

/// Maximal size of `state.json` in bytes, for writing and reading: large data belongs in tensors.
pub(super) const LIMIT: u64 = 64 << 20;

/// A JSON object.
pub(super) type Object = Map<String, Value>;

pub(super) fn encode(
    step: u64,
    fields: &BTreeMap<String, Value>,
    parts: &[(String, State)],
) -> Result<Vec<u8>, CheckpointError> {
    let mut top = Object::new();
    top.insert("step".to_owned(), step.into());
    top.insert("parts".to_owned(), parts.iter().map(|(part, _)| part.as_str()).collect());
    top.extend(fields.clone());
    for (part, state) in parts.iter().filter(|(_, state)| !state.json.is_null()) {
        insert(&mut top, part, state.json.clone());
    }
    let unreadable = |reason| CheckpointError::Unreadable { file: name::STATE.to_owned(), reason };
    let bytes = serde_json::to_vec_pretty(&top).map_err(|error| unreadable(error.to_string()))?;
    if bytes.len() as u64 > LIMIT {
        return Err(unreadable(format!("it has {} bytes, more than the limit of {LIMIT}", bytes.len())));
    }
    // JSON that is nested too deeply can be written, but not read. It is refused now, not at a resume.
    serde_json::from_slice::<Value>(&bytes).map_err(|error| unreadable(error.to_string()))?;
    Ok(bytes)
}

/// Puts `json` at the dotted `path`. The names of parts were checked not to collide.
fn insert(object: &mut Object, path: &str, json: Value) {
    match path.split_once('.') {
        None => {
            object.insert(path.to_owned(), json);
        }
        Some((word, rest)) => {
            if let Value::Object(inner) = object.entry(word).or_insert_with(|| Object::new().into()) {
                insert(inner, rest, json);
            }
        }
    }
}

/// Returns the JSON at the dotted `path`; `Null` if there is none.
pub(super) fn at(object: &Object, path: &str) -> Value {
    match path.split_once('.') {
        None => object.get(path).cloned().unwrap_or_default(),
        Some((word, rest)) => object.get(word).and_then(Value::as_object).map_or(Value::Null, |inner| at(inner, rest)),
    }
}

/// Parses the `state.json` at `path` of the checkpoint of step `named`: its content, and the names of the parts.
pub(super) fn parse(bytes: &[u8], path: &Path, named: u64) -> Result<(Object, Vec<String>), CheckpointError> {
    let malformed = |reason: String| CheckpointError::Malformed { path: path.to_owned(), reason };
    let top: Object = serde_json::from_slice(bytes).map_err(|error| malformed(plain::of_serde(&error.to_string())))?;
    let step = top.get("step").and_then(Value::as_u64).ok_or_else(|| malformed("it has no `step`".to_owned()))?;
    if step != named {
        return Err(CheckpointError::Step { path: path.to_owned(), found: step, named });
    }
    let listed = top.get("parts").and_then(Value::as_array).ok_or_else(|| malformed("it has no `parts`".to_owned()))?;
    let mut parts: Vec<String> = Vec::new();
    for part in listed {
        let part = part.as_str().ok_or_else(|| malformed(format!("the part {part} is not a name")))?;
        name::check("part", part).map_err(|error| malformed(error.to_string()))?;
        parts.push(part.to_owned());
    }
    let mut sorted: Vec<&String> = parts.iter().collect();
    sorted.sort();
    match sorted.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => Err(malformed(format!("the part `{}` is named twice", pair[0]))),
        None => Ok((top, parts)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn dots_nest() {
        let mut top = Object::new();
        insert(&mut top, "schedulers.lr", json!({"t": 3}));
        insert(&mut top, "schedulers.wd", json!(7));
        assert_eq!(Value::Object(top.clone()), json!({"schedulers": {"lr": {"t": 3}, "wd": 7}}));
        assert_eq!(at(&top, "schedulers.lr"), json!({"t": 3}));
        assert_eq!(at(&top, "schedulers.momentum"), Value::Null);
        assert_eq!(at(&top, "model"), Value::Null);
    }

    #[test]
    fn what_is_nested_too_deeply_to_be_read_is_not_written() {
        let deep = (0..200).fold(Value::Null, |inner, _| json!([inner]));
        let error = encode(1, &BTreeMap::from([("config".to_owned(), deep)]), &[]).unwrap_err();
        assert!(error.to_string().contains("recursion limit"), "{error}");
    }

    #[test]
    fn a_state_must_name_its_step_and_its_parts() {
        let parse =
            |json: Value| parse(json.to_string().as_bytes(), Path::new("state.json"), 5).unwrap_err().to_string();
        assert!(parse(json!({"parts": []})).contains("no `step`"));
        assert!(parse(json!({"step": 5})).contains("no `parts`"));
        assert!(parse(json!({"step": 6, "parts": []})).contains("says step 6"));
        assert!(parse(json!({"step": 5, "parts": [7]})).contains("the part 7 is not a name"));
        assert!(parse(json!({"step": 5, "parts": ["../x"]})).contains("cannot be the name of a part"));
        assert!(parse(json!({"step": 5, "parts": ["a", "b", "a"]})).contains("`a` is named twice"));
        assert!(parse(json!([5])).contains("state.json is invalid"));
    }
}
