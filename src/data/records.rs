//! Records of a table, for any file format, and their conversion to a frame.

use std::path::Path;

use super::columns::{Selection, TableOptions};
use super::file;
use super::frame::{Builder, Frame};
use super::labels::LabelKind;
use super::remarks::LineBreaks;
use super::value::Value;
use super::{DataError, Problem};
use crate::memory::{self, Need};

/// Reads the records of a file.
pub(super) trait Records {
    /// A record that was read, with its place.
    type Record;

    /// Returns the path of the file.
    fn path(&self) -> &Path;

    /// Returns the column names, if there are any.
    fn names(&self) -> Option<&[String]>;

    /// Returns the number of columns.
    fn width(&self) -> usize;

    /// Restricts what is read to these columns, before the first record is read. The values of others are missing.
    ///
    /// # Errors
    /// A column has values that cannot be read.
    fn only(&mut self, columns: &[usize]) -> Result<(), DataError> {
        let _ = columns;
        Ok(())
    }

    /// Reads the next record; `None` at the end.
    fn next(&mut self) -> Result<Option<Self::Record>, DataError>;

    /// Returns the value in a column of a record.
    fn value<'a>(&self, record: &'a Self::Record, column: usize) -> Result<Value<'a>, Problem>;

    /// Returns the place of a record in the file.
    fn place(&self, record: &Self::Record) -> String;

    /// Creates the error of a field, with its place.
    fn wrong(&self, record: &Self::Record, column: usize, problem: Problem) -> DataError;
}

/// Refuses a table whose next rows do not fit in memory. When a column is full, at a power of two, its capacity is
/// doubled.
fn require_room(path: &Path, rows: usize, builder: &Builder) -> Result<(), DataError> {
    const MANY: usize = 1 << 10;
    if rows < MANY || !rows.is_power_of_two() {
        return Ok(());
    }
    let rows = memory::grouped(rows as u64);
    let needs =
        vec![Need::new("more rows", builder.bytes(), format!("as many as the {rows} so far, in addition to the file"))];
    Ok(memory::require(&path.display().to_string(), needs, 0, file::remedies())?)
}

/// Reads all records into a frame, with the targets and features of `options`. Values of ignored columns are not
/// checked.
pub(super) fn frame(mut records: impl Records, options: &TableOptions) -> Result<Frame, DataError> {
    let width = records.width();
    let columns = Selection::new(records.path(), records.names().map(<[String]>::to_vec), width, options)?;
    let mut frame_options = options.frame.clone();
    if columns.label_is_named {
        frame_options.labels = LabelKind::Names;
    }
    let mut builder = Builder::new(columns.roles(), frame_options);
    let (used, mut breaks) = (columns.used(), LineBreaks::new(width));
    records.only(&used)?;
    let mut rows: usize = 0;
    while let Some(record) = records.next()? {
        require_room(records.path(), rows, &builder)?;
        rows += 1;
        for &column in &used {
            let pushed = records.value(&record, column).and_then(|value| {
                if let Value::Text(text) = value {
                    breaks.look(column, text, || records.place(&record));
                }
                builder.push(column, value)
            });
            pushed.map_err(|problem| records.wrong(&record, column, problem))?;
        }
    }
    let mut frame = builder.finish(records.path(), columns.label())?;
    frame.notices.extend(columns.notice(records.path()));
    frame.notices.extend(breaks.notices(records.path(), records.names()));
    Ok(frame)
}
