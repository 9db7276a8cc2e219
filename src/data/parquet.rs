//! Reader of Parquet files. Errors name row and column.
//!
//! Only the columns that are used are read, and their types are checked first, because the reader of rows of the crate
//! `parquet` panics at types that it does not know.

mod index;
mod kinds;
mod values;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use parquet::errors::ParquetError;
use parquet::file::reader::{ChunkReader, FileReader, SerializedFileReader};
use parquet::record::Field;
use parquet::record::reader::RowIter;
use parquet::schema::types::{Type, TypePtr};

pub(super) use self::index::settled;
use self::kinds::Kind;
use super::columns::double;
use super::error::describe;
use super::file::{self, DataFile};
use super::records::{FrameReader, Records};
use super::value::{Number, Value};
use super::{DataError, Problem, TableError};
use crate::regular;

/// The remedy for a damaged file.
const AGAIN: &str = "; fetch or write it again";

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
    schema_name: String,
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
        let rows = Some(RowIter::from_file_into(Box::new(reader)));
        let places = vec![None; fields.len()];
        Ok(Self { path: path.into(), fields, names, pandas, schema_name, rows, places, lists: Vec::new(), next: 0 })
    }

    /// Restricts what is read to the columns that can be read.
    pub fn only_readable(&mut self) -> Result<(), DataError> {
        let readable = self.fields.iter().enumerate().filter(|(_, field)| Kind::of(field).is_ok());
        let columns: Vec<usize> = readable.map(|(column, _)| column).collect();
        self.only(&columns)
    }
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
        let Some(rows) = self.rows.take() else { return Ok(()) };
        let name = self.schema_name.clone();
        self.rows = Some(guarded(&self.path, "", || {
            rows.project(Some(Type::group_type_builder(&name).with_fields(used).build()?))
        })?);
        Ok(())
    }

    fn next(&mut self) -> Result<Option<Self::Record>, DataError> {
        let row = self.next;
        self.next += 1;
        let Some(rows) = self.rows.as_mut() else { return Ok(None) };
        let place = format!("row {row} (counted from 0): ");
        let record = guarded(&self.path, &place, || rows.next().transpose())?;
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

    fn wrong(&self, row: &ParquetRow, column: usize, problem: Problem) -> DataError {
        let (path, row, column) = (self.path.clone(), row.number, describe(self.names(), column));
        TableError::ParquetField { path, row, column, problem }.into()
    }
}

#[cfg(test)]
mod tests {
    use super::super::columns::TableOptions;
    use super::super::{DataConfig, Fingerprint};
    use super::*;

    /// A file that later replaces it is another table.
    #[test]
    fn a_fingerprint_is_that_of_the_bytes_that_were_read() {
        let people = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/people.snappy.parquet");
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.parquet");
        std::fs::copy(people, &path).unwrap();
        let file = DataFile::read(&path).unwrap();
        std::fs::write(&path, "PAR1").unwrap();
        assert_eq!(file.fingerprint, Fingerprint::of(&std::fs::read(people).unwrap()));
        let config = DataConfig { missing: Some(crate::data::Missing::Mean), ..DataConfig::new(&path) };
        let options = TableOptions::new(&config).unwrap();
        let mut reader = FrameReader::new(&options);
        read(file, &mut reader).unwrap();
        let frame = reader.finish().unwrap();
        assert_eq!(frame.targets.len(), 4);
    }
}
