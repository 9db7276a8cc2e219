//! Predictions, or figures of texts, as a Parquet file, one row group after the other.

use std::io::{self, BufWriter};
use std::sync::Arc;

use parquet::basic::{Compression, ConvertedType, Repetition, Type as PhysicalType, ZstdLevel};
use parquet::data_type::{ByteArray, ByteArrayType, DoubleType, FloatType, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::Type;

use super::columns::Columns;
use super::{PredictedRows, TextScore};
use crate::atomic_file::AtomicFile;

/// Number of rows kept in memory before they are written as a group.
const GROUP: usize = 1 << 16;

/// A table of predictions that is being written to a file.
pub(super) struct ParquetTable {
    columns: Columns,
    file: Writer,
    names: Vec<ByteArray>,
    /// One list per column, as are the numbers.
    classes: Vec<Vec<u32>>,
    numbers: Vec<Vec<f32>>,
    rows: usize,
}

impl ParquetTable {
    pub fn new(columns: Columns, file: AtomicFile) -> io::Result<Self> {
        let file = writer(file, schema(&columns));
        let [classes, numbers] = [columns.classes.len(), columns.numbers.len()];
        let (classes, numbers) = (vec![Vec::new(); classes], vec![Vec::new(); numbers]);
        Ok(Self { columns, file: file.map_err(failed)?, names: Vec::new(), classes, numbers, rows: 0 })
    }

    pub fn write(&mut self, rows: &PredictedRows) -> io::Result<()> {
        for row in self.columns.rows(rows) {
            self.classes.iter_mut().zip(row.classes).for_each(|(column, class)| column.push(class));
            self.numbers.iter_mut().zip(row.numbers).for_each(|(column, number)| column.push(number));
            self.names.extend(row.file.map(ByteArray::from));
            self.rows += 1;
        }
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
        for classes in &mut self.classes {
            let mut column = group.next_column()?.ok_or_else(missing)?;
            if self.columns.are_words {
                let words: Vec<ByteArray> =
                    classes.iter().map(|&class| ByteArray::from(self.columns.name_of(class))).collect();
                column.typed::<ByteArrayType>().write_batch(&words, None, None)?;
            } else {
                let numbers: Vec<i64> = classes.iter().map(|&class| class.into()).collect();
                column.typed::<Int64Type>().write_batch(&numbers, None, None)?;
            }
            column.close()?;
            classes.clear();
        }
        for numbers in &mut self.numbers {
            let mut column = group.next_column()?.ok_or_else(missing)?;
            column.typed::<FloatType>().write_batch(numbers, None, None)?;
            column.close()?;
            numbers.clear();
        }
        group.close()?;
        (self.names, self.rows) = (Vec::new(), 0);
        Ok(())
    }

    pub fn finish(mut self) -> io::Result<AtomicFile> {
        self.write_group().map_err(failed)?;
        finished(self.file)
    }
}

/// Figures of texts that are being written to a file.
pub(super) struct ParquetScores {
    file: Writer,
    scores: Vec<TextScore>,
}

impl ParquetScores {
    pub fn new(file: AtomicFile) -> io::Result<Self> {
        Ok(Self { file: writer(file, schema_of_scores()).map_err(failed)?, scores: Vec::new() })
    }

    pub fn write(&mut self, score: TextScore) -> io::Result<()> {
        self.scores.push(score);
        if self.scores.len() >= GROUP { self.write_group().map_err(failed) } else { Ok(()) }
    }

    fn write_group(&mut self) -> Result<(), ParquetError> {
        if self.scores.is_empty() {
            return Ok(());
        }
        let scores = std::mem::take(&mut self.scores);
        let mut group = self.file.next_row_group()?;
        let missing = || ParquetError::General("a column is missing".to_owned());
        let mut column = group.next_column()?.ok_or_else(missing)?;
        let tokens: Vec<i64> = scores.iter().map(|score| score.tokens as i64).collect();
        column.typed::<Int64Type>().write_batch(&tokens, None, None)?;
        column.close()?;
        let figures: [fn(&TextScore) -> Option<f64>; 3] =
            [|score| score.loss, |score| score.perplexity, |score| score.bits_per_byte];
        for figure in figures {
            let mut column = group.next_column()?.ok_or_else(missing)?;
            let values: Vec<f64> = scores.iter().filter_map(figure).collect();
            let are_there: Vec<i16> = scores.iter().map(|score| figure(score).is_some().into()).collect();
            column.typed::<DoubleType>().write_batch(&values, Some(&are_there), None)?;
            column.close()?;
        }
        group.close()?;
        Ok(())
    }

    pub fn finish(mut self) -> io::Result<AtomicFile> {
        self.write_group().map_err(failed)?;
        finished(self.file)
    }
}

type Writer = SerializedFileWriter<BufWriter<AtomicFile>>;

/// Begins a file with this schema.
fn writer(file: AtomicFile, schema: Result<Type, ParquetError>) -> Result<Writer, ParquetError> {
    let properties = WriterProperties::builder().set_compression(Compression::ZSTD(ZstdLevel::default()));
    SerializedFileWriter::new(BufWriter::new(file), Arc::new(schema?), Arc::new(properties.build()))
}

/// Writes the end of a file.
fn finished(file: Writer) -> io::Result<AtomicFile> {
    file.into_inner().map_err(failed)?.into_inner().map_err(|error| error.into_error())
}

fn schema_of_scores() -> Result<Type, ParquetError> {
    let column = |name: &str, physical, repetition| {
        Type::primitive_type_builder(name, physical).with_repetition(repetition).build().map(Arc::new)
    };
    let mut fields = vec![column("tokens", PhysicalType::INT64, Repetition::REQUIRED)?];
    for name in ["loss", "perplexity", "bits_per_byte"] {
        fields.push(column(name, PhysicalType::DOUBLE, Repetition::OPTIONAL)?);
    }
    Type::group_type_builder("scores").with_fields(fields).build()
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
    for name in &columns.classes {
        fields.push(match columns.are_words {
            true => text(name)?,
            false => column(name, PhysicalType::INT64, ConvertedType::NONE)?,
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
