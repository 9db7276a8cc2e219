//! Configurations for tables.

use std::collections::BTreeMap;
use std::path::Path;

use super::columns::Use;
use super::lines::{Length, Lines, example, listed, quoted};
use super::target::Target;
use super::{Requests, StarterError, nothing};
use crate::data::{DataConfig, Delimiter, TableSurvey};
use crate::figures::counted;

/// A table with the use of each of its columns, except the target.
struct Plan<'a> {
    table: &'a TableSurvey,
    target: Target,
    uses: Vec<Option<Use>>,
}

impl<'a> Plan<'a> {
    fn new(table: &'a TableSurvey, target: Target) -> Self {
        let columns = table.columns.iter().enumerate();
        let uses = columns.map(|(at, column)| (at != target.at).then(|| Use::of(column, table))).collect();
        Self { table, target, uses }
    }

    /// Returns the columns of a use, each with its number.
    fn of<T>(&self, wanted: impl Fn(&Use) -> Option<T>) -> Vec<(usize, T)> {
        let uses = self.uses.iter().enumerate();
        uses.filter_map(|(at, used)| Some((at, wanted(used.as_ref()?)?))).collect()
    }

    fn left_out(&self) -> Vec<(usize, String)> {
        self.of(|used| match used {
            Use::Left { because } => Some(because.clone()),
            _ => None,
        })
    }

    fn categories(&self) -> Vec<(usize, Option<String>)> {
        self.of(|used| match used {
            Use::Category { because } => Some(because.clone()),
            _ => None,
        })
    }

    /// Returns the columns of numbers with words that mean missing values.
    fn odd(&self) -> Vec<(usize, Vec<String>)> {
        self.of(|used| match used {
            Use::Number { odd } if !odd.is_empty() => Some(odd.clone()),
            _ => None,
        })
    }

    /// Returns the feature columns with missing values.
    fn gaps(&self) -> Vec<(usize, usize)> {
        let used = self.of(|used| (!matches!(used, Use::Left { .. })).then_some(()));
        let gaps = used.into_iter().map(|(at, ())| (at, self.table.columns[at].missing));
        gaps.filter(|(_, missing)| *missing > 0).collect()
    }

    /// Formats columns as a TOML list.
    fn list<T>(&self, columns: &[(usize, T)]) -> String {
        let columns: Vec<String> = columns.iter().map(|(at, _)| reference(self.table, *at)).collect();
        format!("[{}]", columns.join(", "))
    }

    /// Lists columns in a sentence.
    fn names(&self, columns: impl IntoIterator<Item = usize>) -> String {
        listed(columns.into_iter().map(|at| name(self.table, at)).collect::<Vec<_>>().into_iter())
    }
}

/// Writes `[data]` and `[model]`.
pub(super) fn describe(
    lines: &mut Lines,
    table: &TableSurvey,
    path: &Path,
    written: &Path,
    requests: Requests,
) -> Result<Length, StarterError> {
    let plan = Plan::new(table, Target::find(table, path, requests.label)?);
    let left_out = plan.left_out();
    if left_out.len() + 1 == table.columns.len() {
        let reasons: Vec<String> =
            left_out.iter().map(|(at, because)| format!("{}: {because}", name(table, *at))).collect();
        let reason = "no column beside the target can be learned from";
        return Err(nothing(path, format!("{reason}; {}", listed(reasons.into_iter()))));
    }
    decide_form(lines, table, path, requests.skip_lines);
    decide_columns(lines, &plan);

    lines.table("data", "The training data.");
    lines.path("path", written, "The table, relative to this file.");
    if !table.is_parquet {
        write_form(lines, table, path, requests.skip_lines);
    }
    write_columns(lines, &plan);
    let standardize = "Whether every feature gets mean 0 and deviation 1; nearly always better.";
    lines.value("standardize", "true", standardize);
    let length = Length::of_rows(lines.validation(table.rows), 32);
    lines.batch_size(&length);
    lines.mlp();
    Ok(length)
}

/// Writes the decisions about the file format.
fn decide_form(lines: &mut Lines, table: &TableSurvey, path: &Path, skip_lines: usize) {
    let (rows, columns) = (table.rows, table.columns.len());
    let size = format!("{}, {}", counted(rows, "row"), counted(columns, "column"));
    if table.is_parquet {
        return lines.decide(format!("format: Parquet, by the name of the file; {size}"));
    }
    let passed = match skip_lines {
        0 => String::new(),
        1 => "; 1 line above it is skipped".to_owned(),
        lines => format!("; {lines} lines above it are skipped"),
    };
    let usual = if table.delimiter == Delimiter::usual(path) { "" } else { ", according to its first lines" };
    let names = if table.has_header {
        "the first line names the columns"
    } else {
        "no line names the columns, so they have numbers from 0"
    };
    lines.decide(format!(
        "format: CSV, by the name of the file{passed}; columns are separated by {}{usual}; {names}; {size}",
        table.delimiter.in_words()
    ));
}

/// Writes the decisions about the target and each other column.
fn decide_columns(lines: &mut Lines, plan: &Plan) {
    let Plan { table, target, .. } = plan;
    let column = &table.columns[target.at];
    let task = match target.is_class {
        true => format!("classification, with {} classes", column.distinct),
        false => format!("regression, because its values are {} different numbers", column.distinct),
    };
    lines.decide(format!("target: {}, because {}; task: {task}", name(table, target.at), target.because));
    target.faults(table).into_iter().for_each(|fault| lines.warn(fault));
    if table.looked_at < table.rows {
        lines.decide(format!("columns are described by the first {} rows", table.looked_at));
    }
    let mut reasons: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    plan.left_out().into_iter().for_each(|(at, because)| reasons.entry(because).or_default().push(at));
    for (because, columns) in reasons {
        lines.warn(format!("ignored: {}: {because}", plan.names(columns)));
    }
    let (known, plain): (Vec<_>, Vec<_>) = plan.categories().into_iter().partition(|(_, because)| because.is_some());
    if !plain.is_empty() {
        lines.decide(format!("categories: {}", plan.names(plain.into_iter().map(|(at, _)| at))));
    }
    for (at, because) in known {
        lines.decide(format!("categories: {}: {}", name(table, at), because.unwrap_or_default()));
    }
    for (at, odd) in plan.odd() {
        let words = listed(odd.iter().map(|word| example(word)));
        lines.warn(format!(
            "missing values: {} has numbers and {words}, which is taken for missing; the median of the column is used \
             instead",
            name(table, at)
        ));
    }
    let gaps = plan.gaps();
    if !gaps.is_empty() {
        let columns = listed(gaps.iter().map(|(at, missing)| format!("{} ({missing})", name(table, *at))));
        lines.decide(format!("missing values: in {columns}; the median of the column is used instead"));
    }
}

fn write_form(lines: &mut Lines, table: &TableSurvey, path: &Path, skip_lines: usize) {
    if skip_lines > 0 {
        lines.value("skip_lines", &skip_lines.to_string(), "Number of lines above the table to skip.");
    }
    if table.delimiter != Delimiter::usual(path) {
        let meaning = "The character between columns, such as \",\", \";\" or \"\\t\".";
        lines.value("delimiter", &quoted(&String::from(table.delimiter)), meaning);
    }
    let header = "Whether the first line names the columns. `skip_lines` skips lines above it.";
    lines.value("header", &table.has_header.to_string(), header);
}

fn write_columns(lines: &mut Lines, plan: &Plan) {
    let place = "The target column, by its name or its number: 0 is the first, -1 the last.";
    lines.value("label", &reference(plan.table, plan.target.at), place);
    let task = if plan.target.is_class { "\"classification\"" } else { "\"regression\"" };
    lines.value("task", task, "Whether the target is a class (\"classification\") or a value (\"regression\").");
    let ignored = "Columns to ignore, for the reasons above. Remove one from the list, and `train check` shows what it \
                   holds.";
    lines.value("ignore", &plan.list(&plan.left_out()), ignored);
    let categories = "Columns of categories; `encoding` converts them to numbers.";
    lines.value("categories", &plan.list(&plan.categories()), categories);
    let odd: Vec<String> = plan.odd().into_iter().flat_map(|(_, words)| words).collect();
    let missing = if odd.is_empty() && plan.gaps().is_empty() { "error" } else { "median" };
    let meaning = "For missing values: \"error\", or the replacement \"mean\", \"median\" or \"zero\".";
    lines.value("missing", &quoted(missing), meaning);
    if !odd.is_empty() {
        let mut words: Vec<String> = DataConfig::MISSING_VALUES.map(quoted).to_vec();
        words.extend(odd.iter().map(|word| quoted(word)).filter(|word| !words.contains(word)).collect::<Vec<_>>());
        words.dedup();
        let meaning = "The words that mean a missing value.";
        lines.value("missing_values", &format!("[{}]", words.join(", ")), meaning);
    }
}

/// Returns the name of a column for a sentence.
fn name(table: &TableSurvey, at: usize) -> String {
    match table.columns.get(at).and_then(|column| column.name.as_ref()) {
        Some(name) => format!("`{name}`"),
        None => format!("column {at}"),
    }
}

/// Returns the name of a column for a configuration: its number if it has no name, or the name of an earlier one.
fn reference(table: &TableSurvey, at: usize) -> String {
    match table.columns.get(at).and_then(|column| column.name.as_ref().filter(|_| !column.is_double)) {
        Some(name) => quoted(name),
        None if at + 1 == table.columns.len() => "-1".to_owned(),
        None => at.to_string(),
    }
}
