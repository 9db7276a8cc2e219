//! Survey of a table: its format and its columns.

use std::path::Path;

use super::super::csv::CsvRecords;
use super::super::delimiter::Delimiter;
use super::super::options::{Decimal, MISSING_VALUES};
use super::super::records::Records;
use super::super::value::Value;
use super::super::{DataConfig, DataError};
use super::column::{ColumnSurvey, is_number};

/// Number of rows for the summary of the columns.
const ROWS: usize = 5000;

/// Summary of a table.
#[derive(Clone, Debug, PartialEq)]
pub struct TableSurvey {
    /// Whether it is a Parquet file.
    pub is_parquet: bool,
    /// Whether the first line names the columns.
    pub has_header: bool,
    /// The character between columns; a comma for Parquet, which has none.
    pub delimiter: Delimiter,
    /// The columns.
    pub columns: Vec<ColumnSurvey>,
    /// Number of rows that the columns are summarized from.
    pub looked_at: usize,
    /// Number of rows.
    pub rows: usize,
}

pub(super) type Row = Vec<Option<String>>;

/// Examines the CSV file at `path`, after its first `skip_lines` lines.
pub(super) fn csv(path: &Path, skip_lines: usize) -> Result<TableSurvey, DataError> {
    let (header, skip_lines) = (Some(false), Some(skip_lines));
    let (config, _) = DataConfig { header, skip_lines, ..DataConfig::new(path) }.settled()?;
    let delimiter = config.delimiter();
    let (mut rows, mut count) = beginning(CsvRecords::in_file(&config)?)?;
    let has_header = has_header(&rows);
    let names = if has_header && !rows.is_empty() { rows.remove(0) } else { Vec::new() };
    count -= usize::from(has_header);
    if count == 0 {
        return Err(DataError::NoRows { path: path.into() });
    }
    rows.truncate(ROWS);
    let columns = columns(&names, &rows, config.decimal.unwrap_or_default());
    Ok(TableSurvey { is_parquet: false, has_header, delimiter, columns, looked_at: rows.len(), rows: count })
}

/// Whether there is a header: names above numbers; a table of only words is assumed to have one.
fn has_header(rows: &[Row]) -> bool {
    let [first, rest @ ..] = rows else { return true };
    let is_plain = |value: &Option<String>| value.as_ref().is_none_or(|value| is_number(value));
    // A few odd words in a column of numbers do not matter.
    let are_numbers = |at: usize| {
        let others = rest.iter().filter(|row| !row.get(at).is_none_or(is_plain)).count();
        others * 10 <= rest.len()
    };
    let is_named = first.iter().enumerate().any(|(at, name)| !is_plain(name) && are_numbers(at));
    let is_named_in_words = first.iter().all(|name| name.is_some() && !is_plain(name));
    is_named || is_named_in_words
}

#[cfg(feature = "parquet")]
pub(super) fn parquet(path: &Path) -> Result<TableSurvey, DataError> {
    let mut records = super::super::parquet::ParquetRecords::in_file(path)?;
    records.only_readable()?;
    let names: Vec<Option<String>> = records.names().into_iter().flatten().cloned().map(Some).collect();
    let (mut rows, count) = beginning(records)?;
    if count == 0 {
        return Err(DataError::NoRows { path: path.into() });
    }
    rows.truncate(ROWS);
    let (columns, looked_at) = (columns(&names, &rows, Decimal::Point), rows.len());
    let delimiter = Delimiter::COMMA;
    Ok(TableSurvey { is_parquet: true, has_header: true, delimiter, columns, looked_at, rows: count })
}

#[cfg(not(feature = "parquet"))]
pub(super) fn parquet(path: &Path) -> Result<TableSurvey, DataError> {
    Err(super::super::TableError::NoParquet { path: path.into() }.into())
}

/// Returns the first rows as text, one more than needed for a header, with `None` for missing values; and the number of
/// all rows.
fn beginning(mut records: impl Records) -> Result<(Vec<Row>, usize), DataError> {
    let (mut rows, mut count) = (Vec::new(), 0);
    while let Some(record) = records.next()? {
        count += 1;
        if rows.len() > ROWS {
            continue;
        }
        let text = |column| {
            let value = records.value(&record, column).map_err(|problem| records.wrong(&record, column, problem))?;
            let text = match value {
                Value::Missing => String::new(),
                Value::Number(number) => number.to_string(),
                Value::Word(text) | Value::Text(text) => text.to_owned(),
                // The numbers of a list are alike; the first one stands for all.
                Value::List(numbers) => {
                    numbers.first().copied().flatten().map(|number| number.to_string()).unwrap_or_default()
                }
            };
            Ok(Some(text).filter(|text| !MISSING_VALUES.contains(&text.as_str())))
        };
        rows.push((0..records.width()).map(text).collect::<Result<Row, DataError>>()?);
    }
    Ok((rows, count))
}

fn columns(names: &[Option<String>], rows: &[Row], decimal: Decimal) -> Vec<ColumnSurvey> {
    let width = rows.first().map_or(names.len(), Vec::len);
    let column = |at: usize| {
        let name = names.get(at).cloned().flatten();
        let is_double = name.is_some() && names[..at].contains(&name);
        ColumnSurvey::of(name, is_double, rows.iter().map(|row| row.get(at).and_then(Option::as_deref)), decimal)
    };
    (0..width).map(column).collect()
}
