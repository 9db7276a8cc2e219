//! A log as a Parquet file, one group of rows after the other, which several threads encode. A value that a line lacks is
//! null.

use std::io::{self, Write};
use std::sync::Arc;

use bytes::Bytes;
use parquet::basic::{Compression, ConvertedType, Encoding, Repetition, Type as PhysicalType, ZstdLevel};
use parquet::column::writer::{ColumnCloseResult, ColumnWriter, get_column_writer};
use parquet::data_type::ByteArray;
use parquet::errors::ParquetError;
use parquet::file::properties::{WriterProperties, WriterPropertiesPtr};
use parquet::file::writer::{SerializedFileWriter, SerializedPageWriter, TrackedWrite};
use parquet::schema::types::{ColumnPath, SchemaDescPtr, SchemaDescriptor, Type};

use super::columns::Kind;

/// A table that is being written.
pub(super) struct Table<W: Write + Send> {
    file: SerializedFileWriter<W>,
    encoder: Encoder,
}

/// The parts that all groups of rows have in common.
#[derive(Clone)]
pub(super) struct Encoder {
    kinds: Vec<Kind>,
    schema: SchemaDescPtr,
    properties: WriterPropertiesPtr,
}

/// Rows that become a group.
pub(super) struct Rows<'a> {
    encoder: &'a Encoder,
    columns: Vec<Column>,
}

/// A column of a group.
struct Column {
    /// The values that are not null.
    values: Values,
    /// 1 for each row with a value, 0 for each without.
    levels: Vec<i16>,
}

enum Values {
    Booleans(Vec<bool>),
    Integers(Vec<i64>),
    Floats(Vec<f64>),
    Texts(Vec<ByteArray>),
}

/// The encoded columns of a group of rows; empty if it has no rows.
pub(super) struct Group(Vec<(Bytes, ColumnCloseResult)>);

impl<W: Write + Send> Table<W> {
    pub fn new(columns: &[(String, Kind)], out: W) -> io::Result<Self> {
        let (properties, schema) = (Arc::new(properties(columns)), Arc::new(schema(columns).map_err(of_parquet)?));
        let file = SerializedFileWriter::new(out, Arc::clone(&schema), Arc::clone(&properties));
        let kinds = columns.iter().map(|(_, kind)| *kind).collect();
        let encoder = Encoder { kinds, schema: Arc::new(SchemaDescriptor::new(schema)), properties };
        Ok(Self { file: file.map_err(of_parquet)?, encoder })
    }

    /// Returns what encodes the rows of this table, on any thread.
    pub fn encoder(&self) -> Encoder {
        self.encoder.clone()
    }

    /// Adds a group of rows.
    pub fn write(&mut self, Group(columns): Group) -> io::Result<()> {
        if columns.is_empty() {
            return Ok(());
        }
        let mut group = self.file.next_row_group().map_err(of_parquet)?;
        for (bytes, closed) in columns {
            group.append_column(&bytes, closed).map_err(of_parquet)?;
        }
        group.close().map(drop).map_err(of_parquet)
    }

    /// Writes the end of the file.
    pub fn finish(mut self) -> io::Result<()> {
        // `into_inner` would turn an error into a text.
        self.file.finish().map(drop).map_err(of_parquet)
    }
}

impl Encoder {
    /// Returns a group without rows.
    pub fn rows(&self) -> Rows<'_> {
        let column = |kind: &Kind| Column { values: Values::of(*kind), levels: Vec::new() };
        Rows { encoder: self, columns: self.kinds.iter().map(column).collect() }
    }
}

impl Rows<'_> {
    /// Adds a value as JSON, which is empty if it is null, to a column.
    pub fn add(&mut self, column: usize, value: &str) {
        if let Some(column) = self.columns.get_mut(column) {
            column.levels.push(i16::from(column.values.add(value)));
        }
    }

    pub fn encode(&self) -> io::Result<Group> {
        if self.columns.iter().all(|column| column.levels.is_empty()) {
            return Ok(Group(Vec::new()));
        }
        let encoded = self.columns.iter().enumerate().map(|(number, column)| self.encoded(number, column));
        encoded.collect::<Result<_, _>>().map(Group).map_err(of_parquet)
    }

    fn encoded(&self, number: usize, column: &Column) -> Result<(Bytes, ColumnCloseResult), ParquetError> {
        let Encoder { schema, properties, .. } = self.encoder;
        let mut bytes = TrackedWrite::new(Vec::new());
        let pages = Box::new(SerializedPageWriter::new(&mut bytes));
        let mut writer = get_column_writer(schema.column(number), Arc::clone(properties), pages);
        column.write(&mut writer)?;
        let closed = writer.close()?;
        Ok((bytes.into_inner()?.into(), closed))
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
    fn write(&self, writer: &mut ColumnWriter<'_>) -> Result<(), ParquetError> {
        let levels = Some(&self.levels[..]);
        match (writer, &self.values) {
            (ColumnWriter::BoolColumnWriter(writer), Values::Booleans(values)) => {
                writer.write_batch(values, levels, None)
            }
            (ColumnWriter::Int64ColumnWriter(writer), Values::Integers(values)) => {
                writer.write_batch(values, levels, None)
            }
            (ColumnWriter::DoubleColumnWriter(writer), Values::Floats(values)) => {
                writer.write_batch(values, levels, None)
            }
            (ColumnWriter::ByteArrayColumnWriter(writer), Values::Texts(values)) => {
                writer.write_batch(values, levels, None)
            }
            _ => Err(ParquetError::General("a column has another type than its schema".to_owned())),
        }
        .map(drop)
    }
}

/// Returns the error of the output, if the library has wrapped one, so that its kind is known.
fn of_parquet(error: ParquetError) -> io::Error {
    match error {
        ParquetError::External(source) => source.downcast().map_or_else(io::Error::other, |error| *error),
        other => io::Error::other(other),
    }
}

/// Numbers of a log hardly repeat, so no dictionary of them is made, which would take most of the time.
fn properties(columns: &[(String, Kind)]) -> WriterProperties {
    let compressed = WriterProperties::builder().set_compression(Compression::ZSTD(ZstdLevel::default()));
    let encoded = columns.iter().fold(compressed, |properties, (name, kind)| {
        let column = ColumnPath::new(vec![name.clone()]);
        match kind {
            Kind::Integer => {
                let plain = properties.set_column_dictionary_enabled(column.clone(), false);
                plain.set_column_encoding(column, Encoding::DELTA_BINARY_PACKED)
            }
            Kind::Float | Kind::Empty => properties.set_column_dictionary_enabled(column, false),
            Kind::Boolean | Kind::Text => properties,
        }
    });
    encoded.build()
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

#[cfg(test)]
mod tests {
    use super::*;

    /// An output whose reader leaves after some bytes.
    struct Pipe(usize);

    impl Write for Pipe {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0 = self.0.checked_sub(bytes.len()).ok_or(io::ErrorKind::BrokenPipe)?;
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn an_error_of_the_output_keeps_its_kind_wherever_it_comes() {
        let columns = [("loss".to_owned(), Kind::Float)];
        let write = |room| {
            let mut table = Table::new(&columns, Pipe(room))?;
            for _ in 0..3 {
                let encoder = table.encoder();
                let mut rows = encoder.rows();
                (0..5000_u64)
                    .for_each(|row| rows.add(0, &f64::from_bits(row.wrapping_mul(0x9e37_79b9_7f4a_7c15)).to_string()));
                table.write(rows.encode()?)?;
            }
            table.finish()
        };
        for room in [0, 3, 9000, 40_000, 90_000, 110_000] {
            assert_eq!(write(room).map_err(|error| error.kind()), Err(io::ErrorKind::BrokenPipe), "{room}");
        }
        write(1 << 20).unwrap();
    }
}
