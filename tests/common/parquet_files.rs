//! Parquet files made for tests.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use parquet::basic::{ConvertedType, Repetition, Type as Physical};
use parquet::data_type::{ByteArray, ByteArrayType, DataType, DoubleType, Int64Type};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::types::Type;

/// The values of a column, row after row.
#[allow(dead_code, reason = "each test file uses its own part of this")]
pub enum Cells {
    Integers(Vec<Option<i64>>),
    Doubles(Vec<Option<f64>>),
    Words(Vec<Option<String>>),
}

/// Writes a file of these columns.
#[allow(dead_code, reason = "as above")]
pub fn write_parquet(path: &Path, columns: &[(&str, Cells)]) {
    write_groups(path, columns, usize::MAX, WriterProperties::default());
}

/// Writes a file of these columns, with at most this many rows in a row group.
pub fn write_groups(path: &Path, columns: &[(&str, Cells)], most: usize, properties: WriterProperties) {
    let field = |(name, cells): &(&str, Cells)| {
        let (physical, converted) = match cells {
            Cells::Integers(_) => (Physical::INT64, ConvertedType::NONE),
            Cells::Doubles(_) => (Physical::DOUBLE, ConvertedType::NONE),
            Cells::Words(_) => (Physical::BYTE_ARRAY, ConvertedType::UTF8),
        };
        let field = Type::primitive_type_builder(name, physical).with_repetition(Repetition::OPTIONAL);
        Arc::new(field.with_converted_type(converted).build().unwrap())
    };
    let fields = columns.iter().map(field).collect();
    let schema = Arc::new(Type::group_type_builder("rows").with_fields(fields).build().unwrap());
    let mut writer = SerializedFileWriter::new(File::create(path).unwrap(), schema, Arc::new(properties)).unwrap();
    let rows = columns.first().map_or(0, |(_, cells)| cells.len());
    for start in (0..rows).step_by(most) {
        let rows = start..rows.min(start.saturating_add(most));
        let mut group = writer.next_row_group().unwrap();
        for (_, cells) in columns {
            match cells {
                Cells::Integers(cells) => write_column::<Int64Type>(&mut group, cells[rows.clone()].iter().copied()),
                Cells::Doubles(cells) => write_column::<DoubleType>(&mut group, cells[rows.clone()].iter().copied()),
                Cells::Words(cells) => {
                    let word = |word: &Option<String>| word.as_deref().map(ByteArray::from);
                    write_column::<ByteArrayType>(&mut group, cells[rows.clone()].iter().map(word));
                }
            }
        }
        group.close().unwrap();
    }
    writer.close().unwrap();
}

impl Cells {
    fn len(&self) -> usize {
        match self {
            Self::Integers(cells) => cells.len(),
            Self::Doubles(cells) => cells.len(),
            Self::Words(cells) => cells.len(),
        }
    }
}

fn write_column<T: DataType>(
    group: &mut SerializedRowGroupWriter<'_, File>,
    cells: impl Iterator<Item = Option<T::T>>,
) {
    let cells: Vec<Option<T::T>> = cells.collect();
    let levels: Vec<i16> = cells.iter().map(|cell| i16::from(cell.is_some())).collect();
    let there: Vec<T::T> = cells.into_iter().flatten().collect();
    let mut column = group.next_column().unwrap().unwrap();
    column.typed::<T>().write_batch(&there, Some(&levels), None).unwrap();
    column.close().unwrap();
}
