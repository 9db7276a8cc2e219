//! A file of names, where rules cannot tell which tensor is which: lines `peer name = our name`.
//!
//! The left side may also be the id of a parameter in the peer's optimizer. Nothing on the right side leaves a tensor
//! out.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use super::error::ImportError;

/// Our name for a peer's name or id; `None` for a tensor that is left out.
pub(super) type ParamNames = BTreeMap<String, Option<String>>;

/// Largest file of names: one of a million lines is far below.
const MOST_BYTES: u64 = 1 << 28;

/// Reads the file; empty lines and those that begin with `#` are skipped.
pub(super) fn read(path: &Path) -> Result<ParamNames, ImportError> {
    let wrong = |line, reason: String| ImportError::Names { path: path.to_owned(), line, reason };
    let size = fs::metadata(path).map_err(|error| wrong(None, error.to_string()))?;
    if !size.is_file() || size.len() > MOST_BYTES {
        return Err(wrong(None, "is no file of lines `peer name = our name`".to_owned()));
    }
    let text = fs::read_to_string(path).map_err(|error| wrong(None, error.to_string()))?;
    parse(&text).map_err(|(line, reason)| wrong(Some(line), reason))
}

fn parse(text: &str) -> Result<ParamNames, (usize, String)> {
    let mut names = ParamNames::new();
    for (index, line) in text.lines().enumerate() {
        let (line, number) = (line.trim(), index + 1);
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let Some((theirs, ours)) = line.split_once('=') else {
            return Err((number, format!("`{line}` is not like `peer name = our name`")));
        };
        let (theirs, ours) = (theirs.trim(), ours.trim());
        let named = (!ours.is_empty()).then(|| ours.to_owned());
        if names.insert(theirs.to_owned(), named).is_some() {
            return Err((number, format!("`{theirs}` is given twice")));
        }
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_names_or_ids_and_nothing_leaves_out() {
        let names = parse("# ours\n\nhidden.weight = 0.weight\n3 = 2.bias\nhead =\n").unwrap();
        assert_eq!(names["hidden.weight"].as_deref(), Some("0.weight"));
        assert_eq!((names["3"].as_deref(), names["head"].as_deref()), (Some("2.bias"), None));
    }

    #[test]
    fn a_name_twice_and_a_line_without_a_sign_are_refused() {
        assert_eq!(parse("a = b\na = c").unwrap_err(), (2, "`a` is given twice".to_owned()));
        assert!(parse("a b").unwrap_err().1.contains("is not like"));
    }
}
