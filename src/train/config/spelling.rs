//! Suggests the key that was probably meant by an unknown or misplaced one.

use serde_json::Value;

use super::dotted::{lookup, segments};
use super::keys::{Table, tables};
use crate::nearest::distance;

/// Names of configuration keys in other programs.
const OTHER_NAMES: [(&str, &str); 6] = [
    ("learning_rate", "lr"),
    ("num_epochs", "epochs"),
    ("max_epochs", "epochs"),
    ("max_steps", "steps"),
    ("gradient_clipping", "clip_norm"),
    ("target", "label"),
];

/// Maximal number of suggested keys.
const MOST: usize = 5;

/// Returns a question whether another key was meant by `field`, which is in `config` and unknown to its table, or
/// should be a table and is not. `is_near` says whether its own table has a similar name. `None` if there is no similar
/// name.
pub(super) fn question(config: &Value, field: &str, is_near: bool) -> Option<String> {
    let tables: Vec<Table> = tables().into_iter().filter(|table| is_there(table, config)).collect();
    let name = field.rsplit('.').next().unwrap_or(field);
    let inner = || match lookup(config, &segments(field)) {
        Some(Value::Object(table)) => table.keys().map(|name| same_name(&tables, name)).find(|found| !found.is_empty()),
        _ => None,
    };
    let mut found = same_name(&tables, name);
    found.retain(|key| key != field);
    if found.is_empty() && !is_near {
        found = inner().unwrap_or_else(|| nearest(&tables, name).into_iter().collect());
        found.retain(|key| key != field);
    }
    let (last, others) = found.split_last()?;
    let others = if others.is_empty() { String::new() } else { format!("`{}` or ", others.join("`, `")) };
    (found.len() <= MOST).then(|| format!("did you mean {others}`{last}`?"))
}

/// Whether a configuration of the kinds in `config` has this table. Schedules report their parameters themselves.
fn is_there(table: &Table, config: &Value) -> bool {
    let kinds = match table.path.strip_suffix("[]") {
        Some(list) => kinds_in(config, list),
        None => Vec::from_iter(lookup(config, &segments(&table.path)).and_then(|found| found["kind"].as_str())),
    };
    let is_of_kind = table.kind.as_deref().is_none_or(|kind| kinds.is_empty() || kinds.contains(&kind));
    table.path != "schedule" && is_of_kind
}

/// Returns the kinds of the tables in a list; one without a kind has that of the table that the list is in.
fn kinds_in<'a>(config: &'a Value, list: &str) -> Vec<&'a str> {
    let kind = |found: Option<&'a Value>| found.and_then(|found| found["kind"].as_str());
    let around = list.rsplit_once('.').map_or("", |(around, _)| around);
    let items = lookup(config, &segments(list)).and_then(Value::as_array).into_iter().flatten();
    kind(lookup(config, &segments(around))).into_iter().chain(items.filter_map(|item| kind(Some(item)))).collect()
}

/// Returns the dotted keys that end in `name`. Those of a list of tables are only used if there are no others.
fn same_name(tables: &[Table], name: &str) -> Vec<String> {
    let name = OTHER_NAMES.iter().find(|(other, _)| *other == name).map_or(name, |(_, ours)| ours);
    let has = |table: &&Table| table.keys.iter().any(|key| key.name == name);
    let of = |in_lists: bool| {
        let tables = tables.iter().filter(has).filter(move |table| table.path.contains("[]") == in_lists);
        let mut found: Vec<String> = tables.map(|table| dotted(table, name)).collect();
        found.dedup();
        found
    };
    let found = of(false);
    if found.is_empty() { of(true) } else { found }
}

/// Returns the dotted key whose last name is most similar to `name`.
fn nearest(tables: &[Table], name: &str) -> Option<String> {
    let lowercase = name.to_lowercase();
    let keys = tables.iter().flat_map(|table| table.keys.iter().map(move |key| (table, &key.name)));
    let rated = keys.map(|(table, key)| (distance(&lowercase, key), table.path.contains("[]"), table, key));
    let (distance, _, table, key) = rated.min_by_key(|(distance, in_list, ..)| (*distance, *in_list))?;
    // Short names are similar to everything.
    (distance <= name.chars().count() / 3).then(|| dotted(table, key))
}

fn dotted(table: &Table, name: &str) -> String {
    if table.path.is_empty() { name.to_owned() } else { format!("{}.{name}", table.path) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_key_is_found_in_the_table_that_has_it() {
        let config = json!({"optimizer": {"kind": "sgd"}, "model": {"kind": "mlp"}, "optim": {"lr": 1}, "x": 1});
        let asked = |field: &str| question(&config, field, false).unwrap_or_default();
        assert_eq!(asked("lr"), "did you mean `optimizer.lr`?");
        assert_eq!(asked("epochs"), "did you mean `train.epochs`?");
        assert_eq!(asked("train.learning_rate"), "did you mean `optimizer.lr`?");
        assert_eq!(asked("momentum"), "did you mean `optimizer.momentum`?");
        assert_eq!(
            asked("every"),
            "did you mean `checkpoint.every`, `checkpoint.keep.every`, `ema.every`, `swa.every` or `validation.every`?"
        );
        assert_eq!(asked("epocs"), "did you mean `train.epochs`?");
        assert_eq!(asked("optim"), "did you mean `optimizer.lr`?");
        assert_eq!(asked("depths"), "", "only a resnet has it");
        assert_eq!(asked("optimizer.mu_dtype"), "", "and this adam and adamw");
        let mixed = json!({"optimizer": {"kind": "sgd", "groups": [{"kind": "adam"}]}});
        let told = question(&mixed, "optimizer.mu_dtype", false).unwrap();
        assert_eq!(told, "did you mean `optimizer.groups[].mu_dtype`?");
        assert_eq!(asked("x"), "");
    }
}
