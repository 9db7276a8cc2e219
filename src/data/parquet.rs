//! Reader of Parquet files. Errors name row and column.
//!
//! Only the columns that are used are read, and their types are checked first, because the reader of rows of the crate
//! `parquet` panics at types that it does not know.

mod groups;
mod index;
mod kinds;
mod plain;
mod values;

use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use parquet::errors::ParquetError;
use parquet::file::metadata::RowGroupMetaData;
use parquet::file::reader::{ChunkReader, FileReader, SerializedFileReader};
use parquet::record::Field;
use parquet::record::reader::RowIter;
use parquet::schema::types::{Type, TypePtr};
use rayon::prelude::*;

pub(super) use self::index::settled;
use self::kinds::Kind;
use super::block::{Block, Expected};
use super::builder::{Builder, has_plenty};
use super::columns::double;
use super::error::describe;
use super::file::{self, DataFile};
use super::records::{FrameReader, Records};
use super::value::{Number, Value};
use super::{DataError, Problem, TableError};
use crate::Notice;
use crate::memory::{self, Need};
use crate::regular;

/// The remedy for a damaged file.
const AGAIN: &str = "; fetch or write it again";

/// Most rows of several row groups that are read at once.
const MOST_AT_ONCE: u64 = 1 << 20;

/// Reads the table in `file`, and returns the number of its rows.
pub(super) fn read(DataFile { path, content, .. }: DataFile, reader: &mut FrameReader) -> Result<usize, DataError> {
    let records = ParquetRecords::new(path, Bytes::from(content))?;
    if records.width() < 2 {
        return Err(
            TableError::Parquet { path: path.into(), reason: "it has no column beside the label".to_owned() }.into()
        );
    }
    reader.read(records)
}

/// The records of a Parquet file.
pub(super) struct ParquetRecords {
    path: PathBuf,
    fields: Vec<TypePtr>,
    names: Vec<String>,
    /// The description of the table that pandas has written, as JSON.
    pandas: Option<String>,
    /// The columns that are read, if these are not all.
    projection: Option<Type>,
    schema_name: String,
    /// The file, before it is read row by row.
    file: Option<Box<dyn FileReader>>,
    /// The number of row groups that were read as a whole.
    groups: usize,
    /// The number of those of each block that was read last.
    groups_of_block: usize,
    /// Whether the rows of the next row group need a closer look.
    is_careful: bool,
    /// The rows, once they are read one by one.
    rows: Option<RowIter<'static>>,
    /// By column of the file: its place in a row that is read, and the type of its values.
    places: Vec<Option<(usize, Kind)>>,
    /// The places of lists.
    lists: Vec<usize>,
    /// The number of the next row.
    next: usize,
}

impl ParquetRecords {
    /// Opens the file at `path`, which may be larger than memory unless it is packed.
    pub fn in_file(path: &Path) -> Result<Self, DataError> {
        file::require_file(path)?;
        let unreadable = |source| DataError::Read { path: path.into(), source };
        if file::is_packed(path).map_err(unreadable)? {
            // A packed file can only be read from its start.
            return Self::new(path, Bytes::from(DataFile::read(path)?.content));
        }
        Self::new(path, regular::open(path).map_err(unreadable)?)
    }

    fn new(path: &Path, content: impl ChunkReader + 'static) -> Result<Self, DataError> {
        let reader = guarded(path, "", || SerializedFileReader::new(content))?;
        let metadata = reader.metadata().file_metadata();
        let pairs = metadata.key_value_metadata().into_iter().flatten();
        let pandas = pairs.filter(|pair| pair.key == "pandas").find_map(|pair| pair.value.clone());
        let (fields, schema_name) = (metadata.schema().get_fields().to_vec(), metadata.schema().name().to_owned());
        let names: Vec<String> = fields.iter().map(|field| field.name().to_owned()).collect();
        Ok(Self {
            path: path.into(),
            places: vec![None; fields.len()],
            fields,
            names,
            pandas,
            projection: None,
            schema_name,
            file: Some(Box::new(reader)),
            groups: 0,
            groups_of_block: 1,
            is_careful: false,
            rows: None,
            lists: Vec::new(),
            next: 0,
        })
    }

    /// Begins to read row by row, after the rows of the row groups that were read as a whole.
    fn begin_rows(&mut self) -> Result<(), DataError> {
        let Some(file) = self.file.take() else { return Ok(()) };
        let mut rows = RowIter::from_file_into(file);
        if let Some(projection) = self.projection.take() {
            rows = guarded(&self.path, "", || rows.project(Some(projection)))?;
        }
        for row in 0..self.next {
            guarded(&self.path, &place(row), || rows.next().transpose())?;
        }
        self.rows = Some(rows);
        Ok(())
    }

    /// Whether all rows were read in whole row groups.
    fn is_at_end(&self) -> bool {
        self.groups > 0 && self.file.as_ref().is_some_and(|file| self.groups == file.num_row_groups())
    }

    /// Restricts what is read to the columns that can be read.
    pub fn only_readable(&mut self) -> Result<(), DataError> {
        let readable = self.fields.iter().enumerate().filter(|(_, field)| Kind::of(field).is_ok());
        let columns: Vec<usize> = readable.map(|(column, _)| column).collect();
        self.only(&columns)
    }
}

/// Returns the number of columns that are used.
fn used(expected: &[Expected<'_>]) -> usize {
    expected.iter().filter(|expected| !matches!(expected, Expected::Ignored)).count()
}

/// Returns the number of rows for which the first row group has room, so that its numbers are not copied when those of others
/// are added.
fn room(file: &dyn FileReader, expected: &[Expected<'_>]) -> usize {
    let rows = usize::try_from(file.metadata().file_metadata().num_rows()).unwrap_or(0);
    if has_plenty(used(expected), rows) { rows } else { 0 }
}

/// Whether the memory can hold the numbers that row groups say that they have. If not, they are read row by row, and refused
/// where they become too large, because they may say so wrongly.
fn are_held(file: &dyn FileReader, groups: Range<usize>, expected: &[Expected<'_>]) -> bool {
    let Some(groups) = file.metadata().row_groups().get(groups) else { return false };
    let rows = |group: &RowGroupMetaData| u64::try_from(group.num_rows()).unwrap_or(u64::MAX);
    let rows = groups.iter().map(rows).fold(0, u64::saturating_add);
    if groups.len() > 1 && rows > MOST_AT_ONCE {
        return false;
    }
    let bytes = rows.saturating_mul(8 * used(expected) as u64);
    memory::require("the rows", vec![Need::new("numbers", bytes, "")], 0, Vec::new()).is_ok()
}

/// Reads row groups in blocks, up to one with something that needs a closer look, and returns the number of row groups in
/// each block.
fn blocks(file: &dyn FileReader, groups: Range<usize>, expected: &[Expected<'_>]) -> (Vec<Block>, usize) {
    let room = if groups.start == 0 { room(file, expected) } else { 0 };
    let is_enough_for_all_threads = used(expected) >= rayon::current_num_threads();
    if groups.len() > 1
        && is_enough_for_all_threads
        && let Some(block) = groups::read(file, groups.clone(), room, expected)
    {
        // The numbers of a column are then where they stay.
        return (vec![block], groups.len());
    }
    let read = |group| groups::read(file, group..group + 1, if group == 0 { room } else { 0 }, expected);
    let blocks: Vec<Option<Block>> = groups.into_par_iter().map(read).collect();
    (blocks.into_iter().map_while(|block| block).collect(), 1)
}

/// Returns the place of a row, for a message.
fn place(row: usize) -> String {
    format!("row {row} (counted from 0): ")
}

/// Returns the result of reading, also where the crate panics instead of an error.
fn guarded<T>(path: &Path, place: &str, read: impl FnOnce() -> Result<T, ParquetError>) -> Result<T, DataError> {
    let damaged = |reason: String| TableError::Parquet { path: path.into(), reason: format!("{place}{reason}{AGAIN}") };
    match catch_unwind(AssertUnwindSafe(read)) {
        Ok(read) => Ok(read.map_err(|error| damaged(error.to_string()))?),
        Err(_) => Err(damaged("it has values that its reader does not know".to_owned()).into()),
    }
}

/// A row that was read.
pub(super) struct ParquetRow {
    number: usize,
    /// Its fields with the names of their columns.
    fields: Vec<(String, Field)>,
    /// The numbers of those that are lists, with their places; `None` if a list holds something else.
    lists: Vec<(usize, Option<Vec<Option<Number>>>)>,
}

impl ParquetRow {
    /// Creates the row, whose fields at `places` may be lists.
    fn new(number: usize, fields: Vec<(String, Field)>, places: &[usize]) -> Self {
        let list = |&place: &usize| match fields.get(place) {
            Some((_, Field::ListInternal(list))) => Some((place, values::numbers(list))),
            _ => None,
        };
        let lists = places.iter().filter_map(list).collect();
        Self { number, fields, lists }
    }
}

impl Records for ParquetRecords {
    type Record = ParquetRow;

    fn path(&self) -> &Path {
        &self.path
    }

    fn names(&self) -> Option<&[String]> {
        Some(&self.names)
    }

    fn width(&self) -> usize {
        self.names.len()
    }

    fn only(&mut self, columns: &[usize]) -> Result<(), DataError> {
        let mut sorted = columns.to_vec();
        sorted.sort_unstable();
        sorted.dedup();
        for (place, &column) in sorted.iter().enumerate() {
            let Some(field) = self.fields.get(column) else { continue };
            let kind = Kind::of(field).map_err(|what| {
                let column = describe(Some(&self.names), column);
                TableError::ParquetColumn { path: self.path.clone(), column, what }
            })?;
            self.places[column] = Some((place, kind));
        }
        // Columns are chosen by name, so two of one name are read with all others.
        let are_all_read = double(&self.names, 0..self.names.len()).is_some();
        if are_all_read {
            self.places.iter_mut().enumerate().for_each(|(column, place)| {
                if let Some((place, _)) = place {
                    *place = column;
                }
            });
        }
        let lists = self.places.iter().flatten().filter(|(_, kind)| *kind == Kind::List);
        self.lists = lists.map(|(place, _)| *place).collect();
        if are_all_read {
            return Ok(());
        }
        let used = sorted.iter().filter_map(|&column| self.fields.get(column).cloned()).collect();
        let name = self.schema_name.clone();
        self.projection = Some(guarded(&self.path, "", || Type::group_type_builder(&name).with_fields(used).build())?);
        Ok(())
    }

    fn blocks(&mut self, builder: &Builder) -> Vec<Block> {
        let (Some(file), false) = (&self.file, self.is_careful || self.is_at_end()) else { return Vec::new() };
        let (blocks, of_block) = builder.expected().map_or_else(Default::default, |expected| {
            let file = file.as_ref();
            let ends = (self.groups + 1..=file.num_row_groups()).take(rayon::current_num_threads());
            let end = ends.take_while(|&end| are_held(file, self.groups..end, &expected)).last();
            blocks(file, self.groups..end.unwrap_or(self.groups), &expected)
        });
        (self.is_careful, self.groups_of_block) = (blocks.is_empty(), of_block);
        blocks
    }

    fn pass(&mut self, taken: usize, rows: usize) {
        self.groups += taken * self.groups_of_block;
        self.next += rows;
        self.is_careful = taken == 0;
    }

    fn next(&mut self) -> Result<Option<Self::Record>, DataError> {
        if self.is_at_end() {
            return Ok(None);
        }
        self.begin_rows()?;
        let row = self.next;
        self.next += 1;
        let Some(rows) = self.rows.as_mut() else { return Ok(None) };
        let record = guarded(&self.path, &place(row), || rows.next().transpose())?;
        Ok(record.map(|record| ParquetRow::new(row, record.into_columns(), &self.lists)))
    }

    fn value<'a>(&self, row: &'a ParquetRow, column: usize) -> Result<Value<'a>, Problem> {
        let Some((place, kind)) = self.places.get(column).copied().flatten() else { return Ok(Value::Missing) };
        if let Some((_, numbers)) = row.lists.iter().find(|(at, _)| *at == place) {
            return numbers.as_deref().map(Value::List).ok_or(Problem::NotPlain);
        }
        row.fields.get(place).map_or(Ok(Value::Missing), |(_, field)| values::value(field, kind))
    }

    fn place(&self, row: &ParquetRow) -> String {
        format!("row {} (counted from 0)", row.number)
    }

    fn notices(&self) -> Vec<Notice> {
        let columns = self.fields.iter().zip(&self.places);
        let cut =
            columns.filter(|(field, place)| place.is_some() && kinds::is_cut(field)).map(|(field, _)| field.name());
        let said = cut.map(|name| {
            format!(
                "{}, column `{name}`: times of the type INT96, which are read to the millisecond; for more digits write them \
                 as timestamps of 64 bits",
                self.path.display()
            )
        });
        said.map(Notice::Note).collect()
    }

    fn wrong(&self, row: &ParquetRow, column: usize, problem: Problem) -> DataError {
        let (path, row, column) = (self.path.clone(), row.number, describe(self.names(), column));
        TableError::ParquetField { path, row, column, problem }.into()
    }
}

#[cfg(test)]
mod tests;
