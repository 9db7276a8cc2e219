//! A configuration for a table: which column is the target, and which can't be learned from.

use std::path::Path;

use super::StarterError;
use super::lines::{Length, Lines, quoted};
use crate::data::{ColumnSurvey, TableSurvey};

/// Names that a target often has.
const TARGETS: [&str; 9] = ["label", "labels", "class", "target", "y", "outcome", "species", "diagnosis", "quality"];

/// Names of columns that only number the rows.
const NUMBERS: [&str; 4] = ["id", "index", "unnamed: 0", "row"];

/// More different words than this are rather names or texts than categories.
const CATEGORIES: usize = 50;

/// Writes `[data]` and `[model]`.
pub(super) fn describe(
    lines: &mut Lines,
    table: &TableSurvey,
    path: &Path,
    written: &Path,
) -> Result<Length, StarterError> {
    let nothing = |reason: &str| StarterError::NoTarget { path: path.into(), reason: reason.to_owned() };
    let (label, is_class) = target(table).ok_or_else(|| {
        nothing(
            "no column can be the target: none has a few different values, which could be classes, and neither the first \
             nor the last one has numbers",
        )
    })?;
    let features = || table.columns.iter().enumerate().filter(move |(at, _)| *at != label);
    let useless = |column: &ColumnSurvey| is_useless(column, table.rows);
    let listed = |wanted: &dyn Fn(&ColumnSurvey) -> bool| {
        let columns: Vec<String> =
            features().filter(|(_, column)| wanted(column)).map(|(at, _)| reference(table, at)).collect();
        format!("[{}]", columns.join(", "))
    };
    if features().all(|(_, column)| useless(column)) {
        return Err(nothing(
            "no column beside the target can be learned from: each only numbers the rows or has many different words, as dates \
             and numbers with a unit, a decimal comma or words among them are",
        ));
    }

    lines.table("data", "What to learn from.");
    lines.path("path", written, "The table, relative to this file.");
    if !table.is_parquet {
        let header = "Whether the first line names the columns. `skip_lines` passes over lines above it.";
        lines.value("header", &table.has_header.to_string(), header);
    }
    let place = "The column that is the target, by its name or its number: 0 is the first, -1 the last.";
    lines.value("label", &reference(table, label), place);
    let task = if is_class { "\"classification\"" } else { "\"regression\"" };
    lines.value("task", task, "Whether the target is a class (\"classification\") or a value (\"regression\").");
    let ignored = "Columns to leave out; here those that only number the rows, or have many different words: names, dates, \
                   numbers with a unit. Take one out of the list, and `train check` says what it holds.";
    lines.value("ignore", &listed(&useless), ignored);
    let categories = "Columns whose values are names; `encoding` says how they become numbers.";
    lines.value("categories", &listed(&|column| !column.is_numeric && !useless(column)), categories);
    let missing = if features().any(|(_, column)| column.missing > 0 && !useless(column)) { "median" } else { "error" };
    let meaning = "Where a value is missing: \"error\", or what stands in for it: \"mean\", \"median\" or \"zero\".";
    lines.value("missing", &quoted(missing), meaning);
    let standardize = "Whether every feature gets mean 0 and deviation 1; nearly always better.";
    lines.value("standardize", "true", standardize);
    lines.validation(table.rows);
    let length = Length::of_rows(if table.is_whole { table.rows } else { 10 * table.rows }, 32);
    lines.batch_size(&length);
    lines.mlp();
    Ok(length)
}

/// The column that is probably the target, and whether it is a class.
fn target(table: &TableSurvey) -> Option<(usize, bool)> {
    let last = table.columns.len().checked_sub(1).filter(|last| *last > 0)?;
    let named = table
        .columns
        .iter()
        .position(|column| column.name.as_ref().is_some_and(|name| TARGETS.contains(&name.to_lowercase().as_str())));
    let is_class = |at: &usize| table.columns.get(*at).is_some_and(|column| is_class(column, table.rows));
    let is_value = |at: &usize| table.columns.get(*at).is_some_and(|column| column.is_numeric && column.distinct > 1);
    let places = || named.into_iter().chain([last, 0]);
    let usable = |at: &usize| is_class(at) || is_value(at);
    let chosen = named.filter(usable).or_else(|| places().find(is_class)).or_else(|| places().find(is_value))?;
    Some((chosen, is_class(&chosen)))
}

/// A few words, or numbers that count from about 0 with few gaps.
fn is_class(column: &ColumnSurvey, rows: usize) -> bool {
    if column.distinct < 2 || column.missing > 0 {
        return false;
    }
    if column.is_numeric {
        let few = column.distinct <= 20 && column.distinct <= rows / 3;
        few && column.is_counting && column.largest < (2 * column.distinct + 2) as f64
    } else {
        column.distinct <= CATEGORIES && column.distinct <= rows / 2
    }
}

/// Nothing in it, or another value in every row.
fn is_useless(column: &ColumnSurvey, rows: usize) -> bool {
    let present = rows - column.missing.min(rows);
    let numbers_rows = column.name.as_ref().is_some_and(|name| NUMBERS.contains(&name.to_lowercase().as_str()));
    let many_words = !column.is_numeric && column.distinct > CATEGORIES.min(rows / 2);
    present == 0 || many_words || (numbers_rows && column.distinct == present)
}

/// A column as a configuration names it.
fn reference(table: &TableSurvey, at: usize) -> String {
    match table.columns.get(at).and_then(|column| column.name.as_ref()) {
        Some(name) => quoted(name),
        None if at + 1 == table.columns.len() => "-1".to_owned(),
        None => at.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(name: &str, distinct: usize, is_numeric: bool, largest: f64) -> ColumnSurvey {
        let (name, is_counting) = (Some(name.to_owned()), is_numeric);
        ColumnSurvey { name, missing: 0, distinct, is_numeric, is_counting, largest, rarest: 1 }
    }

    fn chosen(columns: Vec<ColumnSurvey>) -> Option<(usize, bool)> {
        target(&TableSurvey { is_parquet: false, has_header: true, columns, rows: 100, is_whole: true })
    }

    #[test]
    fn the_target_is_what_is_called_so_or_has_few_values_or_is_last() {
        let measure = || column("a", 90, true, 5000.0);
        assert_eq!(chosen(vec![measure(), column("Label", 3, true, 2.0), measure()]), Some((1, true)));
        assert_eq!(chosen(vec![column("kind", 3, false, 0.0), measure(), measure()]), Some((0, true)));
        assert_eq!(chosen(vec![measure(), measure(), column("b", 3, true, 3.0)]), Some((2, true)));
        assert_eq!(chosen(vec![measure(), measure()]), Some((1, false)));
        assert_eq!(chosen(vec![measure(), column("gap", 2, true, 7.0)]), Some((1, false)));
        assert_eq!(chosen(vec![column("name", 100, false, 0.0), column("note", 99, false, 0.0)]), None);
    }
}
