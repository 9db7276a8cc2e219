//! Reader of Parquet files. Errors name row and column.
//!
//! Only the columns that are used are read, and their types are checked first, because the reader of rows of the crate
//! `parquet` panics at types that it does not know.

mod index;
mod kinds;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use parquet::data_type::Decimal;
use parquet::errors::ParquetError;
use parquet::file::reader::{ChunkReader, FileReader, SerializedFileReader};
use parquet::record::Field;
use parquet::record::reader::RowIter;
use parquet::schema::types::{Type, TypePtr};

pub(super) use self::index::settled;
use self::kinds::Kind;
use super::columns::{TableOptions, double};
use super::error::describe;
use super::file::{self, DataFile};
use super::frame::Frame;
use super::moments::Stored;
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
    fields: Vec<TypePtr>,
    names: Vec<String>,
    /// The description of the table that pandas has written, as JSON.
    pandas: Option<String>,
    schema_name: String,
    rows: Option<RowIter<'static>>,
    /// By column of the file: its place in a row that is read, and the type of its values.
    places: Vec<Option<(usize, Kind)>>,
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
        Ok(Self { path: path.into(), fields, names, pandas, schema_name, rows, places, next: 0 })
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
        if double(&self.names, 0..self.names.len()).is_some() {
            self.places.iter_mut().enumerate().for_each(|(column, place)| {
                if let Some((place, _)) = place {
                    *place = column;
                }
            });
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
        Ok(record.map(|record| (row, record.into_columns())))
    }

    fn value<'a>(&self, (_, fields): &'a Self::Record, column: usize) -> Result<Value<'a>, Problem> {
        let Some((place, kind)) = self.places.get(column).copied().flatten() else { return Ok(Value::Missing) };
        fields.get(place).map_or(Ok(Value::Missing), |(_, field)| value(field, kind))
    }

    fn place(&self, &(row, _): &Self::Record) -> String {
        format!("row {row} (counted from 0)")
    }

    fn wrong(&self, &(row, _): &Self::Record, column: usize, problem: Problem) -> DataError {
        TableError::ParquetField { path: self.path.clone(), row, column: describe(self.names(), column), problem }
            .into()
    }
}

/// Dates become days, and times ticks, as stored. Yes is 1 and no is 0.
fn value(field: &Field, kind: Kind) -> Result<Value<'_>, Problem> {
    let integer = |number: i128| Value::Number(Number::Integer(number));
    let stored = |stored: Stored| Value::Number(Number::Stored(stored));
    let ticks = |ticks, per_second| stored(Stored::Ticks { ticks, per_second });
    Ok(match *field {
        Field::Null => Value::Missing,
        Field::Float16(x) if x.is_nan() => Value::Missing,
        Field::Float(x) if x.is_nan() => Value::Missing,
        Field::Double(x) if x.is_nan() => Value::Missing,
        Field::Bool(yes) => stored(Stored::Boolean(yes)),
        Field::Date(days) => stored(Stored::Days(days)),
        Field::TimestampMillis(x) => ticks(x, 1000),
        Field::TimestampMicros(x) => ticks(x, 1_000_000),
        Field::Long(x) if kind == Kind::Nanoseconds => ticks(x, 1_000_000_000),
        Field::Byte(x) => integer(x.into()),
        Field::Short(x) => integer(x.into()),
        Field::Int(x) | Field::TimeMillis(x) => integer(x.into()),
        Field::Long(x) | Field::TimeMicros(x) => integer(x.into()),
        Field::UByte(x) => integer(x.into()),
        Field::UShort(x) => integer(x.into()),
        Field::UInt(x) => integer(x.into()),
        Field::ULong(x) => integer(x.into()),
        Field::Float16(x) => Value::Number(Number::Single(x.to_f32())),
        Field::Float(x) => Value::Number(Number::Single(x)),
        Field::Double(x) => Value::Number(Number::Double(x)),
        Field::Decimal(ref decimal) => Value::Number(Number::Double(decimal_value(decimal).ok_or(Problem::NotPlain)?)),
        Field::Str(ref text) => Value::Word(text),
        // Some writers do not mark their text as text.
        Field::Bytes(ref bytes) => Value::Word(std::str::from_utf8(bytes.data()).map_err(|_| Problem::NotPlain)?),
        Field::Group(_) | Field::ListInternal(_) | Field::MapInternal(_) => return Err(Problem::NotPlain),
    })
}

/// Returns the number nearest to a decimal: an integer of up to 16 bytes, the highest first, over a power of ten.
fn decimal_value(decimal: &Decimal) -> Option<f64> {
    let bytes = decimal.data();
    let (first, scale) = (*bytes.first()?, usize::try_from(decimal.scale()).ok()?);
    let mut whole = [if first >= 0x80 { 0xff } else { 0 }; 16];
    let start = whole.len().checked_sub(bytes.len())?;
    whole[start..].copy_from_slice(bytes);
    // Parsing rounds once; a division would round twice.
    format!("{}e-{scale}", i128::from_be_bytes(whole)).parse().ok()
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

    #[test]
    fn a_decimal_is_the_nearest_number() {
        let of = |bytes: &[u8], scale| decimal_value(&Decimal::from_bytes(bytes.to_vec().into(), 20, scale));
        assert_eq!(of(&1999_i32.to_be_bytes(), 2), Some(19.99));
        assert_eq!(of(&[0xff, 0x85], 1), Some(-12.3));
        assert_eq!(of(&i128::MIN.to_be_bytes(), 0), Some(i128::MIN as f64));
        assert_eq!(of(&[0; 17], 0), None);
        assert_eq!(of(&[], 0), None);
    }
}
