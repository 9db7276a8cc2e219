//! Predictions as a Parquet file, one row group after the other.

use std::io::{self, BufWriter};
use std::sync::Arc;

use parquet::basic::{Compression, ConvertedType, Repetition, Type as PhysicalType, ZstdLevel};
use parquet::data_type::{ByteArray, ByteArrayType, FloatType, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::Type;

use super::table::Columns;
use super::{Predicted, PredictedRows};
use crate::atomic_file::AtomicFile;

/// Number of rows kept in memory before they are written as a group.
const GROUP: usize = 1 << 16;

/// A table of predictions that is being written to a file.
pub(super) struct ParquetTable {
    columns: Columns,
    file: SerializedFileWriter<BufWriter<AtomicFile>>,
    names: Vec<ByteArray>,
    classes: Vec<u32>,
    /// One list per column.
    numbers: Vec<Vec<f32>>,
    rows: usize,
}

impl ParquetTable {
    pub fn new(columns: Columns, file: AtomicFile) -> io::Result<Self> {
        let properties = WriterProperties::builder().set_compression(Compression::ZSTD(ZstdLevel::default()));
        let schema = Arc::new(schema(&columns).map_err(failed)?);
        let file = SerializedFileWriter::new(BufWriter::new(file), schema, Arc::new(properties.build()));
        let numbers = vec![Vec::new(); columns.numbers.len()];
        Ok(Self { columns, file: file.map_err(failed)?, names: Vec::new(), classes: Vec::new(), numbers, rows: 0 })
    }

    pub fn write(&mut self, rows: &PredictedRows) -> io::Result<()> {
        let numbers = match &rows.predicted {
            Predicted::Classes { classes, probabilities } => {
                self.classes.extend(classes);
                probabilities
            }
            Predicted::Values(values) => values,
        };
        for row in numbers {
            self.numbers.iter_mut().zip(row).for_each(|(column, &number)| column.push(number));
        }
        self.names.extend(rows.names.iter().flatten().map(|name| ByteArray::from(name.as_str())));
        self.rows += numbers.len();
        if self.rows >= GROUP { self.write_group().map_err(failed) } else { Ok(()) }
    }

    fn write_group(&mut self) -> Result<(), ParquetError> {
        if self.rows == 0 {
            return Ok(());
        }
        let mut group = self.file.next_row_group()?;
        let missing = || ParquetError::General("a column is missing".to_owned());
        if self.columns.has_names {
            let mut column = group.next_column()?.ok_or_else(missing)?;
            column.typed::<ByteArrayType>().write_batch(&self.names, None, None)?;
            column.close()?;
        }
        if let Some(names) = &self.columns.classes {
            let mut column = group.next_column()?.ok_or_else(missing)?;
            if self.columns.are_words {
                let word = |&class: &u32| ByteArray::from(names[class as usize].as_str());
                let words: Vec<ByteArray> = self.classes.iter().map(word).collect();
                column.typed::<ByteArrayType>().write_batch(&words, None, None)?;
            } else {
                let classes: Vec<i64> = self.classes.iter().map(|&class| class.into()).collect();
                column.typed::<Int64Type>().write_batch(&classes, None, None)?;
            }
            column.close()?;
        }
        for numbers in &mut self.numbers {
            let mut column = group.next_column()?.ok_or_else(missing)?;
            column.typed::<FloatType>().write_batch(numbers, None, None)?;
            column.close()?;
            numbers.clear();
        }
        group.close()?;
        (self.names, self.classes, self.rows) = (Vec::new(), Vec::new(), 0);
        Ok(())
    }

    pub fn finish(mut self) -> io::Result<AtomicFile> {
        self.write_group().map_err(failed)?;
        self.file.into_inner().map_err(failed)?.into_inner().map_err(|error| error.into_error())
    }
}

fn schema(columns: &Columns) -> Result<Type, ParquetError> {
    let column = |name: &str, physical, converted| {
        let column = Type::primitive_type_builder(name, physical).with_repetition(Repetition::REQUIRED);
        column.with_converted_type(converted).build().map(Arc::new)
    };
    let text = |name| column(name, PhysicalType::BYTE_ARRAY, ConvertedType::UTF8);
    let mut fields = Vec::new();
    if columns.has_names {
        fields.push(text("file")?);
    }
    if columns.classes.is_some() {
        fields.push(match columns.are_words {
            true => text("class")?,
            false => column("class", PhysicalType::INT64, ConvertedType::NONE)?,
        });
    }
    for name in &columns.numbers {
        fields.push(column(name, PhysicalType::FLOAT, ConvertedType::NONE)?);
    }
    Type::group_type_builder("predictions").with_fields(fields).build()
}

fn failed(error: ParquetError) -> io::Error {
    io::Error::other(error)
}
