//! Parquet, read into a frame. Whatever is wrong is named by row and column.

use std::fs::File;

use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::Field;

use super::columns::{Selection, TableOptions};
use super::file::DataFile;
use super::frame::{Builder, Frame, Value};
use super::{DataConfig, DataError, Fingerprint, Problem};

/// The table in the file at `config.path`, and what identifies it.
pub(super) fn read(config: &DataConfig, options: &TableOptions) -> Result<(Frame, Fingerprint), DataError> {
    let path = config.path.as_path();
    let fingerprint = DataFile::fingerprint(path)?;
    let damaged = |reason: String| DataError::Parquet { path: path.into(), reason };
    let file = File::open(path).map_err(|source| DataError::Read { path: path.into(), source })?;
    let reader = SerializedFileReader::new(file).map_err(|error| damaged(error.to_string()))?;
    let fields = reader.metadata().file_metadata().schema().get_fields();
    let names: Vec<String> = fields.iter().map(|field| field.name().to_owned()).collect();
    if names.len() < 2 {
        return Err(damaged("it has no column beside the label".to_owned()));
    }
    let columns = Selection::new(path, Some(names.clone()), names.len(), options)?;
    let mut builder = Builder::new(columns.roles(), options.frame.clone());
    for (row, record) in reader.get_row_iter(None).map_err(|error| damaged(error.to_string()))?.enumerate() {
        let record = record.map_err(|error| damaged(format!("row {row} (counted from 0): {error}")))?;
        for (column, (_, field)) in record.get_column_iter().enumerate() {
            let pushed = value(field).and_then(|value| builder.push(column, value));
            pushed.map_err(|problem| {
                let column = columns.describe(column);
                DataError::ParquetField { path: path.into(), row, column, problem }
            })?;
        }
    }
    Ok((builder.finish(path)?, fingerprint))
}

/// Numbers are rounded to 32 bits as those of a text are. Dates are days, and times milli- or microseconds, as they are
/// written.
pub(super) fn value(field: &Field) -> Result<Value<'_>, Problem> {
    Ok(match field {
        Field::Null => Value::Missing,
        Field::Float(x) if x.is_nan() => Value::Missing,
        Field::Double(x) if x.is_nan() => Value::Missing,
        Field::Bool(yes) => Value::Number(f32::from(*yes)),
        Field::Byte(x) => Value::Number(f32::from(*x)),
        Field::Short(x) => Value::Number(f32::from(*x)),
        Field::Int(x) | Field::Date(x) | Field::TimeMillis(x) => Value::Number(*x as f32),
        Field::Long(x) | Field::TimeMicros(x) | Field::TimestampMillis(x) | Field::TimestampMicros(x) => {
            Value::Number(*x as f32)
        }
        Field::UByte(x) => Value::Number(f32::from(*x)),
        Field::UShort(x) => Value::Number(f32::from(*x)),
        Field::UInt(x) => Value::Number(*x as f32),
        Field::ULong(x) => Value::Number(*x as f32),
        Field::Float16(x) => Value::Number(x.to_f32()),
        Field::Float(x) => Value::Number(*x),
        Field::Double(x) => Value::Number(*x as f32),
        Field::Str(text) => Value::Word(text),
        Field::Decimal(_) | Field::Bytes(_) | Field::Group(_) | Field::ListInternal(_) | Field::MapInternal(_) => {
            return Err(Problem::NotPlain);
        }
    })
}
