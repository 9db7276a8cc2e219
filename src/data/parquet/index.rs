//! The index of a table of pandas, which its Parquet files hold as further columns: it names or numbers the rows, and is
//! neither a feature nor the label unless the configuration names it.

use std::path::Path;

use serde_json::Value;

use super::ParquetRecords;
use crate::Notice;
use crate::data::options::{Label, TargetColumns};
use crate::data::{DataConfig, DataError};

/// Returns the same options with the index among the ignored columns, and with the last other column as the label if
/// none is given; and a note that says so.
pub(in crate::data) fn settled(config: &DataConfig, first: &Path) -> Result<(DataConfig, Vec<Notice>), DataError> {
    let unchanged = || Ok((config.clone(), Vec::new()));
    // Errors of the file are reported when it is read.
    let Ok(records) = ParquetRecords::in_file(first) else { return unchanged() };
    let is_named = |name: &String| {
        let lists = [&config.ignore, &config.categories].into_iter().flatten().flatten();
        let labels = config.label.iter().flat_map(TargetColumns::columns);
        lists.chain(labels).any(|label| *label == Label::Name(name.clone()))
    };
    let index = index(&records.names, records.pandas.as_deref());
    let index: Vec<String> = index.into_iter().filter(|name| !is_named(name)).collect();
    if index.is_empty() {
        return unchanged();
    }
    let mut config = config.clone();
    let others: Vec<&String> = records.names.iter().filter(|name| !index.contains(name)).collect();
    // From the end, columns are counted without the index.
    let from_end = match config.label {
        None => Some(1),
        Some(TargetColumns::One(Label::Index(place))) if place < 0 => usize::try_from(place.unsigned_abs()).ok(),
        Some(TargetColumns::One(_) | TargetColumns::Several(_)) => None,
    };
    let ignored = |name: &String| config.ignore.iter().flatten().any(|label| *label == Label::Name(name.clone()));
    let label = from_end.and_then(|place| {
        let is_default = config.label.is_none();
        let mut last = others.iter().rev().filter(|name| !(is_default && ignored(name)));
        last.nth(place.checked_sub(1)?)
    });
    if let Some(label) = label {
        config.label = Some(Label::Name((*label).clone()).into());
    }
    let names: Vec<String> = index.iter().map(|name| format!("`{name}`")).collect();
    config.ignore.get_or_insert_default().extend(index.into_iter().map(Label::Name));
    let (path, names) = (first.display(), names.join(", "));
    let said = format!("{path}: {names} is the index of a table of pandas, and ignored");
    Ok((config, vec![Notice::Note(said)]))
}

/// Returns the columns of the index: those that pandas says, and those with the names it gives to an index without one.
fn index(names: &[String], pandas: Option<&str>) -> Vec<String> {
    let said: Value = pandas.and_then(|pandas| serde_json::from_str(pandas).ok()).unwrap_or_default();
    let said = said["index_columns"].as_array().cloned().unwrap_or_default();
    let is_said = |name: &str| said.iter().any(|column| column.as_str() == Some(name));
    let is_unnamed = |name: &str| {
        let level = name.strip_prefix("__index_level_").and_then(|rest| rest.strip_suffix("__"));
        level.is_some_and(|level| !level.is_empty() && level.bytes().all(|byte| byte.is_ascii_digit()))
    };
    names.iter().filter(|name| is_said(name) || is_unnamed(name)).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_index_is_what_pandas_says_or_has_the_name_of_one() {
        let names = ["a", "id", "__index_level_0__", "__index_level_x__"].map(str::to_owned);
        assert_eq!(index(&names, None), ["__index_level_0__"]);
        let said = r#"{"index_columns": ["id", {"kind": "range", "start": 0}]}"#;
        assert_eq!(index(&names, Some(said)), ["id", "__index_level_0__"]);
        assert_eq!(index(&names[..2], Some("not JSON")), [""; 0]);
    }
}
