//! The records of a table one after the other, whatever file they are in, and how they become a frame.

use std::path::Path;

use super::columns::{Selection, TableOptions};
use super::file;
use super::frame::{Builder, Frame};
use super::remarks::LineBreaks;
use super::value::Value;
use super::{DataError, Problem};
use crate::memory::{self, Need};

/// Reads the records of a file.
pub(super) trait Records {
    /// What was read of a record, and where it is.
    type Record;

    /// The file.
    fn path(&self) -> &Path;

    /// What the columns are called, where they have names.
    fn names(&self) -> Option<&[String]>;

    /// How many columns there are.
    fn width(&self) -> usize;

    /// The next record; none at the end.
    fn next(&mut self) -> Result<Option<Self::Record>, DataError>;

    /// What stands in a column of a record.
    fn value<'a>(&self, record: &'a Self::Record, column: usize) -> Result<Value<'a>, Problem>;

    /// Where a record is in the file.
    fn place(&self, record: &Self::Record) -> String;

    /// The error of a field, with its place.
    fn wrong(&self, record: &Self::Record, column: usize, problem: Problem) -> DataError;
}

/// Refuses a table whose next rows do not fit in memory. A column that is full, of as many rows as a power of two, is
/// given room for as many more.
fn require_room(path: &Path, rows: usize, builder: &Builder) -> Result<(), DataError> {
    const MANY: usize = 1 << 16;
    if rows < MANY || !rows.is_power_of_two() {
        return Ok(());
    }
    let rows = memory::grouped(rows as u64);
    let needs = vec![Need::new("more rows", builder.bytes(), format!("as many as the {rows} so far, beside the file"))];
    Ok(memory::require(&path.display().to_string(), needs, 0, file::remedies())?)
}

/// All records as a frame, with targets and features as `options` say. What stands in an ignored column is not looked
/// at.
pub(super) fn frame(mut records: impl Records, options: &TableOptions) -> Result<Frame, DataError> {
    let width = records.width();
    let columns = Selection::new(records.path(), records.names().map(<[String]>::to_vec), width, options)?;
    let mut builder = Builder::new(columns.roles(), options.frame.clone());
    let (used, mut breaks) = (columns.used(), LineBreaks::new(width));
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
