//! Records of tables, for any file format, and their conversion to a frame.

use std::path::{Path, PathBuf};

use super::block::Block;
use super::builder::Builder;
use super::columns::{Selection, TableOptions};
use super::error::{FilesError, TableError};
use super::file;
use super::frame::Frame;
use super::labels::LabelKind;
use super::remarks::LineBreaks;
use super::value::Value;
use super::{DataError, Problem};
use crate::Notice;
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

    /// Reads the next records in blocks, as far as they need no closer look; none if the next one is to be read by itself.
    fn blocks(&mut self, builder: &Builder) -> Vec<Block> {
        let _ = builder;
        Vec::new()
    }

    /// Returns about how many rows follow the `blocks` blocks that were read last, which have this many rows together; 0 if
    /// that is not known.
    fn to_come(&self, blocks: usize, rows: usize) -> usize {
        let _ = (blocks, rows);
        0
    }

    /// Passes over the first `taken` of the blocks that were read last, with this many rows together. The records of the
    /// others are read one by one.
    fn pass(&mut self, taken: usize, rows: usize) {
        let _ = (taken, rows);
    }

    /// Reads the next record; `None` at the end.
    fn next(&mut self) -> Result<Option<Self::Record>, DataError>;

    /// Returns the value in a column of a record.
    fn value<'a>(&self, record: &'a Self::Record, column: usize) -> Result<Value<'a>, Problem>;

    /// Returns the place of a record in the file.
    fn place(&self, record: &Self::Record) -> String;

    /// Returns remarks about the columns that are read.
    fn notices(&self) -> Vec<Notice> {
        Vec::new()
    }

    /// Creates the error of a field, with its place.
    fn wrong(&self, record: &Self::Record, column: usize, problem: Problem) -> DataError;
}

/// Refuses a table whose `next` rows, after others, do not fit in memory. When a column is full, at a power of two, its
/// capacity is doubled.
fn require_room(path: &Path, rows: usize, next: usize, builder: &Builder) -> Result<(), DataError> {
    const MANY: usize = 1 << 10;
    let full: usize = 1 << (rows + next).saturating_sub(1).max(1).ilog2();
    if full < rows.max(MANY) {
        return Ok(());
    }
    let bytes = builder.bytes().saturating_mul(full as u64) / rows.max(1) as u64;
    let full = memory::grouped(full as u64);
    let needs = vec![Need::new("more rows", bytes, format!("as many as the {full} so far, in addition to the file"))];
    Ok(memory::require(&path.display().to_string(), needs, 0, file::remedies())?)
}

/// Adds blocks to `rows` rows, as far as no value needs a closer look, and returns the number of the rows that were added.
fn take(
    records: &mut impl Records,
    builder: &mut Builder,
    rows: usize,
    blocks: Vec<Block>,
) -> Result<usize, DataError> {
    let each: Vec<usize> = blocks.iter().map(|block| block.rows).collect();
    let next = each.iter().sum();
    require_room(records.path(), rows, next, builder)?;
    builder.make_room(next, records.to_come(each.len(), next));
    let taken = builder.extend(rows, blocks);
    let rows = each.iter().take(taken).sum();
    records.pass(taken, rows);
    Ok(rows)
}

/// Reads the records of one file after the other into a frame, with the targets and features of its options.
pub(super) struct FrameReader<'a> {
    options: &'a TableOptions<'a>,
    /// The columns, known from the first file.
    table: Option<Columns>,
    /// The files read, with their numbers of rows.
    files: Vec<(PathBuf, usize)>,
    notices: Vec<Notice>,
}

/// The columns of all files, and their values so far.
struct Columns {
    names: Option<Vec<String>>,
    width: usize,
    selection: Selection,
    used: Vec<usize>,
    builder: Builder,
}

impl Columns {
    fn of(records: &impl Records, options: &TableOptions) -> Result<Self, DataError> {
        let (names, width) = (records.names().map(<[String]>::to_vec), records.width());
        let selection = Selection::new(records.path(), names.clone(), width, options)?;
        let mut frame_options = options.frame.clone();
        if selection.label_is_named {
            frame_options.labels = LabelKind::Names;
        }
        let builder = Builder::new(selection.roles(), frame_options);
        let used = selection.used();
        Ok(Self { names, width, selection, used, builder })
    }

    /// Returns the first difference of other columns.
    fn difference(&self, names: Option<&[String]>, width: usize) -> Option<String> {
        if width != self.width {
            return Some(format!("it has {width} columns, and the other {}", self.width));
        }
        let (own, others) = (self.names.as_ref()?, names?);
        let differ = |(own, other): &(&String, &String)| own.trim() != other.trim();
        let (place, (own, other)) = own.iter().zip(others).enumerate().find(|(_, pair)| differ(pair))?;
        Some(format!("column {place} (counted from 0) is `{other}`, and `{own}` there"))
    }
}

impl<'a> FrameReader<'a> {
    /// Creates a reader of files with the same columns.
    pub fn new(options: &'a TableOptions<'a>) -> Self {
        Self { options, table: None, files: Vec::new(), notices: Vec::new() }
    }

    /// Refuses other classes than those so far in the files that follow.
    pub fn know_classes(&mut self) {
        if let Some(table) = &mut self.table {
            table.builder.know_classes();
        }
    }

    /// Reads all records of a file. Values of ignored columns are not checked.
    pub fn read(&mut self, mut records: impl Records) -> Result<usize, DataError> {
        let mut table = match self.table.take() {
            Some(table) => table,
            None => Columns::of(&records, self.options)?,
        };
        if let (Some(difference), Some((first, _))) =
            (table.difference(records.names(), records.width()), self.files.first())
        {
            let (path, first) = (records.path().to_owned(), first.clone());
            return Err(FilesError::OtherColumns { path, first, difference }.into());
        }
        let mut breaks = LineBreaks::new(table.width);
        records.only(&table.used)?;
        let before: usize = self.files.iter().map(|(_, rows)| rows).sum();
        let mut rows: usize = 0;
        loop {
            let blocks = records.blocks(&table.builder);
            if !blocks.is_empty() {
                rows += take(&mut records, &mut table.builder, before + rows, blocks)?;
                continue;
            }
            let Some(record) = records.next()? else { break };
            require_room(records.path(), before + rows, 1, &table.builder)?;
            rows += 1;
            for &column in &table.used {
                let pushed = records.value(&record, column).and_then(|value| {
                    if let Value::Text(text) = value {
                        breaks.look(column, text, || records.place(&record));
                    }
                    table.builder.push(column, value)
                });
                pushed.map_err(|problem| records.wrong(&record, column, problem))?;
            }
        }
        if rows == 0 {
            return Err(DataError::NoRows { path: records.path().to_owned() });
        }
        self.notices.extend(breaks.notices(records.path(), records.names()));
        self.notices.extend(records.notices());
        self.files.push((records.path().to_owned(), rows));
        self.table = Some(table);
        Ok(rows)
    }

    /// Returns the rows of all files.
    pub fn finish(self) -> Result<Frame, DataError> {
        let Self { table, files, notices, .. } = self;
        let (Some(table), Some((first, _))) = (table, files.first()) else { return Err(DataError::NothingToVisit) };
        let finished = table.builder.finish(first, table.selection.labels());
        let mut frame = finished.map_err(|error| in_its_file(error, &files))?;
        frame.notices.extend(table.selection.notice(first));
        frame.notices.extend(notices);
        Ok(frame)
    }
}

/// Replaces the number of a row among those of all `files` by its number in its file.
fn in_its_file(error: DataError, files: &[(PathBuf, usize)]) -> DataError {
    let error = match error {
        DataError::Table(error) => *error,
        error => return error,
    };
    match error {
        TableError::Label { row, column, problem, path } => {
            let (mut row, mut place) = (row, path);
            for (file, rows) in files {
                if row < *rows {
                    place.clone_from(file);
                    break;
                }
                row -= rows;
            }
            TableError::Label { path: place, row, column, problem }.into()
        }
        error => error.into(),
    }
}
