//! The column of a table that is probably the target, and whether it is a class or a value.

use std::path::Path;

use super::columns::{CATEGORIES, is_mostly_numbers};
use super::lines::{example, listed};
use super::{StarterError, nothing};
use crate::data::{ColumnSurvey, TableSurvey};

/// Names that targets often have.
const TARGETS: [&str; 9] = ["label", "labels", "class", "target", "y", "outcome", "species", "diagnosis", "quality"];

/// The target, and the reason for the choice.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Target {
    /// The number of its column.
    pub at: usize,
    /// Whether it is a class.
    pub is_class: bool,
    /// The reason for the choice.
    pub because: String,
}

impl Target {
    /// Chooses the `wanted` column, otherwise the one with the name of a target, otherwise the first or last one with
    /// few distinct values, or with numbers.
    ///
    /// # Errors
    /// There is no such column, or nothing can be learned from it. No other column is tried instead.
    pub fn find(table: &TableSurvey, path: &Path, wanted: Option<&str>) -> Result<Self, StarterError> {
        let columns = &table.columns;
        if columns.len() < 2 {
            let reason = "it has a single column, and learning takes one beside the target; columns are separated by \
                          commas, semicolons, tabs or bars, as many in each line";
            return Err(nothing(path, reason));
        }
        if let Some(wanted) = wanted {
            let at = place(table, wanted).ok_or_else(|| no_such_column(table, path, wanted))?;
            return Self::at(table, at, "`--label` says so").map_err(|fault| nothing(path, fault));
        }
        let is_named = |column: &ColumnSurvey| {
            column.name.as_ref().is_some_and(|name| TARGETS.contains(&name.to_lowercase().as_str()))
        };
        if let Some(at) = columns.iter().position(is_named) {
            return Self::at(table, at, "its name says so").map_err(|fault| nothing(path, fault + OTHER));
        }
        let last = columns.len() - 1;
        if let Some(value) = constant(&columns[last]) {
            let fault = format!("{}, the last one, is {value} in every row", describe(table, last));
            return Err(nothing(path, format!("{fault}, so there is nothing to learn{OTHER}")));
        }
        let found = |is_it: &dyn Fn(&ColumnSurvey) -> bool| [last, 0].into_iter().find(|at| is_it(&columns[*at]));
        let is_value = |column: &ColumnSurvey| column.is_numeric() && column.distinct > 1;
        let class = found(&|column| is_class(column, table.looked_at)).map(|at| (at, true));
        let (at, is_class) = class.or_else(|| found(&is_value).map(|at| (at, false))).ok_or_else(|| {
            let reason = "no column can be the target: neither the first nor the last one has a few different values, \
                          which could be classes, or numbers alone";
            nothing(path, format!("{reason}{OTHER}"))
        })?;
        let side = if at == last { "last" } else { "first" };
        let reason = if is_class { "has few different values" } else { "has numbers" };
        let because = format!("no column has the name of a target, and it is the {side} column and {reason}");
        Ok(Self { at, is_class, because })
    }

    /// Uses the column at `at` as the target, or returns the reason why it cannot be.
    fn at(table: &TableSurvey, at: usize, because: &str) -> Result<Self, String> {
        let column = &table.columns[at];
        let name = describe(table, at);
        if column.present == 0 {
            return Err(format!("{name}, the target, has no values"));
        }
        if let Some(value) = constant(column) {
            return Err(format!("{name}, the target, is {value} in every row, so there is nothing to learn"));
        }
        let is_repeated = column.distinct < column.present;
        let is_class = if is_mostly_numbers(column) {
            is_class(column, table.looked_at)
        } else if is_repeated && column.look.is_none() {
            true
        } else if let Some((text, what)) = &column.look {
            return Err(format!("{name}, the target, holds {what}, such as {}; write plain numbers", example(text)));
        } else {
            return Err(format!(
                "{name}, the target, has {} different words in {} rows, and each class needs several",
                column.distinct, column.present
            ));
        };
        Ok(Self { at, is_class, because: because.to_owned() })
    }

    /// Describes values that a run would refuse.
    pub fn faults(&self, table: &TableSurvey) -> Vec<String> {
        let (column, name) = (&table.columns[self.at], describe(table, self.at));
        let mut found = Vec::new();
        if let Some(row) = column.first_missing {
            let (rows, have) = (column.missing, if column.missing == 1 { "row has" } else { "rows have" });
            found.push(format!(
                "{name}, the target, is missing: {rows} {have} none, first row {} (without the header); a run is \
                 refused until these rows are removed or completed",
                row + 1
            ));
        }
        if let Some((word, row)) = column.words.first().filter(|_| column.numbers > 0) {
            found.push(format!(
                "{name}, the target, mixes numbers and words, such as {} in row {} (without the header); a run takes \
                 all of them as names of classes",
                example(word),
                row + 1
            ));
        }
        found
    }
}

/// The remedy if another column is the target.
const OTHER: &str = "; name another column to predict with `--label`";

/// Returns its only value, if it has just one.
fn constant(column: &ColumnSurvey) -> Option<String> {
    column.example.as_deref().filter(|_| column.distinct == 1).map(example)
}

/// Whether it has a few words, or whole numbers from about 0 with few gaps.
fn is_class(column: &ColumnSurvey, rows: usize) -> bool {
    if column.distinct < 2 {
        return false;
    }
    if column.is_numeric() {
        let few = column.distinct <= 20 && column.distinct <= (rows / 3).max(2);
        let are_signs = column.distinct == 2 && (column.smallest, column.largest) == (-1.0, 1.0);
        few && (are_signs || column.is_counting && column.largest < (2 * column.distinct + 2) as f64)
    } else {
        !is_mostly_numbers(column) && column.distinct <= CATEGORIES && column.distinct <= (rows / 2).max(2)
    }
}

/// Returns the number of the column called `wanted`, or with that number.
fn place(table: &TableSurvey, wanted: &str) -> Option<usize> {
    let named = table.columns.iter().position(|column| column.name.as_deref() == Some(wanted));
    named.or_else(|| {
        let number: i64 = wanted.parse().ok()?;
        let count = table.columns.len() as i64;
        let place = if number < 0 { number + count } else { number };
        usize::try_from(place).ok().filter(|place| *place < table.columns.len())
    })
}

fn no_such_column(table: &TableSurvey, path: &Path, wanted: &str) -> StarterError {
    let columns = (0..table.columns.len()).map(|at| match &table.columns[at].name {
        Some(name) => format!("`{name}`"),
        None => at.to_string(),
    });
    nothing(path, format!("--label {wanted}: there is no such column; it has {}", listed(columns)))
}

/// Returns the name of a column for a sentence.
fn describe(table: &TableSurvey, at: usize) -> String {
    match table.columns.get(at).and_then(|column| column.name.as_ref()) {
        Some(name) => format!("column `{name}`"),
        None => format!("column {at} (counted from 0)"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(name: &str, distinct: usize, is_numeric: bool, largest: f64) -> ColumnSurvey {
        let numbers = if is_numeric { 100 } else { 0 };
        let (name, example) = (Some(name.to_owned()), Some("a".to_owned()));
        let is_counting = is_numeric;
        ColumnSurvey { name, example, present: 100, distinct, numbers, is_counting, largest, ..ColumnSurvey::default() }
    }

    fn found(columns: Vec<ColumnSurvey>, wanted: Option<&str>) -> Result<(usize, bool), String> {
        let delimiter = crate::data::Delimiter::COMMA;
        let table = TableSurvey { is_parquet: false, has_header: true, delimiter, columns, looked_at: 100, rows: 100 };
        let target = Target::find(&table, Path::new("a.csv"), wanted).map_err(|error| error.to_string())?;
        Ok((target.at, target.is_class))
    }

    #[test]
    fn the_target_is_what_is_called_so_or_has_few_values_or_is_last() {
        let measure = || column("a", 90, true, 5000.0);
        assert_eq!(found(vec![measure(), column("Label", 3, true, 2.0), measure()], None), Ok((1, true)));
        assert_eq!(found(vec![column("kind", 3, false, 0.0), measure(), measure()], None), Ok((0, true)));
        assert_eq!(found(vec![measure(), measure(), column("b", 3, true, 3.0)], None), Ok((2, true)));
        assert_eq!(found(vec![measure(), measure()], None), Ok((1, false)));
        assert_eq!(found(vec![measure(), column("gap", 2, true, 7.0)], None), Ok((1, false)));
        assert_eq!(found(vec![column("b", 3, true, 3.0), measure()], Some("b")), Ok((0, true)));
        assert_eq!(found(vec![column("b", 3, true, 3.0), measure()], Some("-1")), Ok((1, false)));
        let words = vec![column("name", 100, false, 0.0), column("note", 99, false, 0.0)];
        assert!(found(words, None).unwrap_err().contains("no column can be the target"));
    }

    #[test]
    fn a_named_target_is_not_exchanged_for_another_column() {
        let measure = || column("a", 90, true, 5000.0);
        let gaps = ColumnSurvey { missing: 1, first_missing: Some(4), ..column("label", 2, false, 0.0) };
        assert_eq!(found(vec![gaps, measure()], None), Ok((0, true)));
        let message = found(vec![measure(), column("label", 1, false, 0.0)], None).unwrap_err();
        assert!(message.contains("column `label`, the target, is \"a\" in every row"), "{message}");
        let message = found(vec![measure(), column("label", 100, false, 0.0)], None).unwrap_err();
        assert!(message.contains("100 different words in 100 rows") && message.contains("--label"), "{message}");
    }
}
