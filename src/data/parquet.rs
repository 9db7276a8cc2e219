//! Reader of Parquet files. Errors name row and column.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use parquet::errors::ParquetError;
use parquet::file::reader::{ChunkReader, FileReader, SerializedFileReader};
use parquet::record::Field;
use parquet::record::reader::RowIter;

use super::columns::TableOptions;
use super::error::describe;
use super::file::{self, DataFile};
use super::frame::Frame;
use super::records::{self, Records};
use super::value::{Number, Value};
use super::{DataError, Problem, TableError};
use crate::regular;

/// The remedy for a damaged file.
const AGAIN: &str = "; fetch or write it again";

/// Reads the table in `file`.
pub(super) fn read(DataFile { path, content, .. }: DataFile, options: &TableOptions) -> Result<Frame, DataError> {
    let records = ParquetRecords::new(path, Bytes::from(content))?;
    if records.width() < 2 {
        return Err(
            TableError::Parquet { path: path.into(), reason: "it has no column beside the label".to_owned() }.into()
        );
    }
    records::frame(records, options)
}

/// The records of a Parquet file.
pub(super) struct ParquetRecords {
    path: PathBuf,
    names: Vec<String>,
    rows: RowIter<'static>,
    /// The number of the next row.
    next: usize,
}

impl ParquetRecords {
    /// Opens the file at `path`, which may be larger than memory unless it is a gzip file.
    pub fn in_file(path: &Path) -> Result<Self, DataError> {
        file::require_file(path)?;
        let unreadable = |source| DataError::Read { path: path.into(), source };
        match file::unpacked(path).map_err(unreadable)? {
            // A gzip file can only be read from its start.
            (_, true) => Self::new(path, Bytes::from(DataFile::read(path)?.content)),
            (_, false) => Self::new(path, regular::open(path).map_err(unreadable)?),
        }
    }

    fn new(path: &Path, content: impl ChunkReader + 'static) -> Result<Self, DataError> {
        let damaged =
            |error: ParquetError| TableError::Parquet { path: path.into(), reason: format!("{error}{AGAIN}") };
        let reader = SerializedFileReader::new(content).map_err(damaged)?;
        let fields = reader.metadata().file_metadata().schema().get_fields();
        let names = fields.iter().map(|field| field.name().to_owned()).collect();
        Ok(Self { path: path.into(), names, rows: RowIter::from_file_into(Box::new(reader)), next: 0 })
    }
}

impl Records for ParquetRecords {
    /// The number of the row, and its fields with the names of their columns.
    type Record = (usize, Vec<(String, Field)>);

    fn path(&self) -> &Path {
        &self.path
    }

    fn names(&self) -> Option<&[String]> {
        Some(&self.names)
    }

    fn width(&self) -> usize {
        self.names.len()
    }

    fn next(&mut self) -> Result<Option<Self::Record>, DataError> {
        let row = self.next;
        self.next += 1;
        let damaged = |error: ParquetError| TableError::Parquet {
            path: self.path.clone(),
            reason: format!("row {row} (counted from 0): {error}{AGAIN}"),
        };
        let record = self.rows.next().transpose().map_err(damaged)?;
        Ok(record.map(|record| (row, record.into_columns())))
    }

    fn value<'a>(&self, (_, fields): &'a Self::Record, column: usize) -> Result<Value<'a>, Problem> {
        fields.get(column).map_or(Ok(Value::Missing), |(_, field)| value(field))
    }

    fn place(&self, &(row, _): &Self::Record) -> String {
        format!("row {row} (counted from 0)")
    }

    fn wrong(&self, &(row, _): &Self::Record, column: usize, problem: Problem) -> DataError {
        TableError::ParquetField { path: self.path.clone(), row, column: describe(self.names(), column), problem }
            .into()
    }
}

/// Dates become days, and times milli- or microseconds, as stored. Yes is 1 and no is 0.
fn value(field: &Field) -> Result<Value<'_>, Problem> {
    let integer = |number: i128| Value::Number(Number::Integer(number));
    Ok(match *field {
        Field::Null => Value::Missing,
        Field::Float16(x) if x.is_nan() => Value::Missing,
        Field::Float(x) if x.is_nan() => Value::Missing,
        Field::Double(x) if x.is_nan() => Value::Missing,
        Field::Bool(yes) => integer(yes.into()),
        Field::Byte(x) => integer(x.into()),
        Field::Short(x) => integer(x.into()),
        Field::Int(x) | Field::Date(x) | Field::TimeMillis(x) => integer(x.into()),
        Field::Long(x) | Field::TimeMicros(x) | Field::TimestampMillis(x) | Field::TimestampMicros(x) => {
            integer(x.into())
        }
        Field::UByte(x) => integer(x.into()),
        Field::UShort(x) => integer(x.into()),
        Field::UInt(x) => integer(x.into()),
        Field::ULong(x) => integer(x.into()),
        Field::Float16(x) => Value::Number(Number::Single(x.to_f32())),
        Field::Float(x) => Value::Number(Number::Single(x)),
        Field::Double(x) => Value::Number(Number::Double(x)),
        Field::Str(ref text) => Value::Word(text),
        Field::Decimal(_) | Field::Bytes(_) | Field::Group(_) | Field::ListInternal(_) | Field::MapInternal(_) => {
            return Err(Problem::NotPlain);
        }
    })
}

#[cfg(test)]
mod tests {
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
        let frame = read(file, &TableOptions::new(&config).unwrap()).unwrap();
        assert_eq!(frame.targets.len(), 4);
    }
}
