//! A log as a Parquet file, one row group after the other. A value that a line lacks is null.

use std::io::{self, Write};
use std::sync::Arc;

use parquet::basic::{Compression, ConvertedType, Repetition, Type as PhysicalType, ZstdLevel};
use parquet::column::writer::ColumnWriter;
use parquet::data_type::ByteArray;
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::Type;

use super::columns::Kind;

/// Number of rows kept in memory before they are written as a group.
const GROUP: usize = 1 << 16;

/// The values of a column that are not null.
enum Values {
    Booleans(Vec<bool>),
    Integers(Vec<i64>),
    Floats(Vec<f64>),
    Texts(Vec<ByteArray>),
}

struct Column {
    values: Values,
    /// 1 for each row with a value, 0 for each without.
    levels: Vec<i16>,
}

/// A table that is being written.
pub(super) struct Table<W: Write + Send> {
    file: SerializedFileWriter<W>,
    columns: Vec<Column>,
    rows: usize,
}

impl<W: Write + Send> Table<W> {
    pub fn new(columns: &[(String, Kind)], out: W) -> io::Result<Self> {
        let properties = WriterProperties::builder().set_compression(Compression::ZSTD(ZstdLevel::default()));
        let schema = Arc::new(schema(columns).map_err(io::Error::other)?);
        let file = SerializedFileWriter::new(out, schema, Arc::new(properties.build())).map_err(io::Error::other)?;
        let columns = columns.iter().map(|(_, kind)| Column { values: Values::of(*kind), levels: Vec::new() });
        Ok(Self { file, columns: columns.collect(), rows: 0 })
    }

    /// Adds a row of values as JSON.
    pub fn write(&mut self, row: &[&str]) -> io::Result<()> {
        for (column, value) in self.columns.iter_mut().zip(row) {
            column.levels.push(i16::from(column.values.add(value)));
        }
        self.rows += 1;
        if self.rows >= GROUP { self.write_group() } else { Ok(()) }
    }

    fn write_group(&mut self) -> io::Result<()> {
        if self.rows == 0 {
            return Ok(());
        }
        let mut group = self.file.next_row_group().map_err(io::Error::other)?;
        for column in &mut self.columns {
            let Some(mut writer) = group.next_column().map_err(io::Error::other)? else { break };
            column.write(writer.untyped()).map_err(io::Error::other)?;
            writer.close().map_err(io::Error::other)?;
        }
        group.close().map_err(io::Error::other)?;
        self.rows = 0;
        Ok(())
    }

    /// Writes the rest, and returns the output.
    pub fn finish(mut self) -> io::Result<W> {
        self.write_group()?;
        self.file.into_inner().map_err(io::Error::other)
    }
}

impl Values {
    fn of(kind: Kind) -> Self {
        match kind {
            Kind::Boolean => Self::Booleans(Vec::new()),
            Kind::Integer => Self::Integers(Vec::new()),
            Kind::Float | Kind::Empty => Self::Floats(Vec::new()),
            Kind::Text => Self::Texts(Vec::new()),
        }
    }

    /// Adds a value, and returns whether it is not null.
    fn add(&mut self, value: &str) -> bool {
        fn push<T>(values: &mut Vec<T>, value: Option<T>) -> bool {
            let is_there = value.is_some();
            values.extend(value);
            is_there
        }
        match self {
            Self::Booleans(values) => push(values, value.parse().ok()),
            Self::Integers(values) => push(values, value.parse().ok()),
            Self::Floats(values) => push(values, value.parse().ok()),
            Self::Texts(values) => push(values, (!value.is_empty()).then(|| value.trim_matches('"').into())),
        }
    }
}

impl Column {
    fn write(&mut self, writer: &mut ColumnWriter<'_>) -> Result<(), ParquetError> {
        let levels = Some(&self.levels[..]);
        match (writer, &mut self.values) {
            (ColumnWriter::BoolColumnWriter(writer), Values::Booleans(values)) => {
                writer.write_batch(values, levels, None)?;
                values.clear();
            }
            (ColumnWriter::Int64ColumnWriter(writer), Values::Integers(values)) => {
                writer.write_batch(values, levels, None)?;
                values.clear();
            }
            (ColumnWriter::DoubleColumnWriter(writer), Values::Floats(values)) => {
                writer.write_batch(values, levels, None)?;
                values.clear();
            }
            (ColumnWriter::ByteArrayColumnWriter(writer), Values::Texts(values)) => {
                writer.write_batch(values, levels, None)?;
                values.clear();
            }
            _ => return Err(ParquetError::General("a column has another type than its schema".to_owned())),
        }
        self.levels.clear();
        Ok(())
    }
}

fn schema(columns: &[(String, Kind)]) -> Result<Type, ParquetError> {
    let column = |(name, kind): &(String, Kind)| {
        let (physical, converted) = match kind {
            Kind::Boolean => (PhysicalType::BOOLEAN, ConvertedType::NONE),
            Kind::Integer => (PhysicalType::INT64, ConvertedType::NONE),
            Kind::Float | Kind::Empty => (PhysicalType::DOUBLE, ConvertedType::NONE),
            Kind::Text => (PhysicalType::BYTE_ARRAY, ConvertedType::UTF8),
        };
        let column = Type::primitive_type_builder(name, physical).with_repetition(Repetition::OPTIONAL);
        column.with_converted_type(converted).build().map(Arc::new)
    };
    let fields = columns.iter().map(column).collect::<Result<Vec<_>, _>>()?;
    Type::group_type_builder("log").with_fields(fields).build()
}
