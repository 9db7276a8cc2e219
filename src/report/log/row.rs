//! The rows of a CSV file. Lines that differ in their numbers alone have their values in the same columns, so the columns
//! are looked for once.

use super::columns::{Columns, list};
use super::line::{Field, Line};

/// Writes lines as rows.
pub(super) struct Rows<'a> {
    columns: &'a Columns,
    /// The places of the values of the line before, if they are known.
    plan: Option<Plan>,
}

/// Where the cells of a row come from.
struct Plan {
    parts: Vec<Part>,
    /// Whether each value has a column.
    has_all: bool,
}

/// Cells beside each other.
struct Part {
    /// The number of their field in the line; `None` if it has none.
    field: Option<usize>,
    /// The number of empty cells after its values.
    empty: usize,
}

impl<'a> Rows<'a> {
    pub fn of(columns: &'a Columns) -> Self {
        Self { columns, plan: None }
    }

    /// Adds the row of a line to `rows`, and returns whether each value of the line has a column; others are left out.
    pub fn add(&mut self, line: Line<'_>, rows: &mut Vec<u8>) -> bool {
        if !line.is_like_before {
            self.plan = None;
            let has_all = self.columns.cells(line.fields, |number, cell| write_cell(rows, number, cell));
            rows.push(b'\n');
            return has_all;
        }
        let plan = self.plan.get_or_insert_with(|| Plan::of(self.columns, line.fields));
        if !plan.has_all {
            self.columns.cells(line.fields, |number, cell| write_cell(rows, number, cell));
            rows.push(b'\n');
            return false;
        }
        plan.write(line.fields, rows);
        true
    }
}

impl Plan {
    /// Makes it for a line without words in its lists.
    fn of(columns: &Columns, fields: &[Field<'_>]) -> Self {
        let (mut parts, mut found, mut has_all) = (Vec::new(), 0, true);
        for (number, cells) in columns.places(fields) {
            let values = number
                .and_then(|number| fields.get(number))
                .map_or(0, |(_, value)| list(value).map_or(1, Iterator::count));
            found += usize::from(number.is_some());
            has_all &= values <= cells;
            parts.push(Part { field: number, empty: cells.saturating_sub(values) });
        }
        Self { parts, has_all: has_all && found == fields.len() }
    }

    fn write(&self, fields: &[Field<'_>], rows: &mut Vec<u8>) {
        for Part { field, empty } in &self.parts {
            let value = field.and_then(|number| fields.get(number)).map(|(_, value)| *value);
            // The elements of a list are the cells, with a comma between them.
            let list = value.and_then(|value| value.strip_prefix('[')).and_then(|list| list.strip_suffix(']'));
            match (list, value) {
                (Some(""), _) | (None, None) => {}
                (Some(cells), _) => add(rows, cells),
                (None, Some(value)) => add(rows, without_null(value)),
            }
            (0..*empty).for_each(|_| rows.push(b','));
        }
        // In place of the comma after the last cell.
        if let Some(last) = rows.last_mut() {
            *last = b'\n';
        }
    }
}

fn add(rows: &mut Vec<u8>, cells: &str) {
    rows.extend_from_slice(cells.as_bytes());
    rows.push(b',');
}

/// Returns a value, or nothing for `null`.
pub(super) fn without_null(value: &str) -> &str {
    if value == "null" { "" } else { value }
}

/// Writes a value of a row. Numbers and words need no quotes, and texts have theirs.
pub(super) fn write_cell(row: &mut Vec<u8>, number: usize, cell: &str) {
    if number > 0 {
        row.push(b',');
    }
    row.extend_from_slice(cell.as_bytes());
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::super::line;
    use super::*;

    #[test]
    fn lines_like_the_one_before_have_the_rows_that_they_have_alone() {
        let like = [
            "{\"step\":0,\"lr\":[0.1,2],\"loss\":0.5}",
            "{\"step\":1,\"lr\":[0.1],\"loss\":null,\"skipped\":true}",
            "{\"step\":2,\"loss\":0.5,\"lr\":[0.1,2,3]}",
            "{\"step\":3,\"lr\":[],\"val_loss\":0.25,\"note\":\"a,1]\"}",
            "{\"step\":4,\"loss\":1,\"loss\":2}",
            "{\"step\":5,\"more\":1,\"lr\":7}",
            "{\"step\":6,\"lr\":[null,2],\"loss\":3}",
        ];
        let log: String = like.iter().flat_map(|line| [*line, "\n", *line, "\n", *line, "\n"]).collect();
        for known in 0..like.len() {
            let mut columns = Columns::default();
            let see = |line: Line<'_>| {
                columns.see(line.fields);
                Ok::<_, io::Error>(())
            };
            line::each_in((like[..=known].join("\n") + "\n").as_bytes(), see).unwrap();
            let (mut rows, mut all, mut expected, mut alone) = (Rows::of(&columns), Vec::new(), Vec::new(), Vec::new());
            let mut found = (Vec::new(), Vec::new());
            line::each_in(log.as_bytes(), |line| {
                found.0.push(rows.add(line, &mut all));
                alone.clear();
                found.1.push(columns.cells(line.fields, |number, cell| write_cell(&mut alone, number, cell)));
                expected.extend_from_slice(&alone);
                expected.push(b'\n');
                Ok::<_, io::Error>(())
            })
            .unwrap();
            assert_eq!(String::from_utf8(all).unwrap(), String::from_utf8(expected).unwrap(), "{known}");
            assert_eq!(found.0, found.1, "{known}");
        }
    }
}
