//! The records of a table one after the other, whatever file they are in, and how they become a frame.

use std::path::Path;

use super::columns::{Selection, TableOptions};
use super::frame::{Builder, Frame};
use super::value::Value;
use super::{DataError, Problem};

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

    /// The error of a field, with its place.
    fn wrong(&self, record: &Self::Record, column: usize, problem: Problem) -> DataError;
}

/// All records as a frame, with targets and features as `options` say.
pub(super) fn frame(mut records: impl Records, options: &TableOptions) -> Result<Frame, DataError> {
    let width = records.width();
    let columns = Selection::new(records.path(), records.names().map(<[String]>::to_vec), width, options)?;
    let mut builder = Builder::new(columns.roles(), options.frame.clone());
    while let Some(record) = records.next()? {
        for column in 0..width {
            let pushed = records.value(&record, column).and_then(|value| builder.push(column, value));
            pushed.map_err(|problem| records.wrong(&record, column, problem))?;
        }
    }
    builder.finish(records.path())
}
