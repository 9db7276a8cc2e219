//! Predictions as a table: a column for the class and one for the probability of each class, or one for each value.
//! `columns.rs` says which.

use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use super::columns::Columns;
use super::json_lines::JsonLines;
use super::{PredictedRows, Trained, TrainedError};
use crate::atomic_file::AtomicFile;

/// File formats of predictions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TableFormat {
    /// Comma-separated values with the column names in the first line.
    Csv,
    /// A JSON object for each row, on a line.
    JsonLines,
    /// Parquet, if this program is built with the feature `parquet`.
    Parquet,
}

impl TableFormat {
    /// Returns the format for the ending of a file's name.
    ///
    /// # Errors
    /// The ending is unknown, or is that of Parquet and this program is built without it.
    pub fn of(path: &Path) -> Result<Self, TrainedError> {
        match path.extension() {
            Some(ending) if ending.eq_ignore_ascii_case("csv") => Ok(Self::Csv),
            Some(ending) if ending.eq_ignore_ascii_case("jsonl") || ending.eq_ignore_ascii_case("ndjson") => {
                Ok(Self::JsonLines)
            }
            Some(ending) if ending.eq_ignore_ascii_case("parquet") => match cfg!(feature = "parquet") {
                true => Ok(Self::Parquet),
                false => Err(TrainedError::NoParquet { path: path.to_owned() }),
            },
            _ => Err(TrainedError::UnknownFormat { path: path.to_owned() }),
        }
    }
}

/// Writes predictions row by row, to a file, which appears when it is complete, or to any writer.
pub struct TableWriter {
    writer: Writer,
    place: Option<PathBuf>,
}

enum Writer {
    Csv(CsvTable<Box<dyn Write>>),
    CsvFile(CsvTable<AtomicFile>),
    JsonLines(JsonLines<Box<dyn Write>>),
    JsonLinesFile(JsonLines<AtomicFile>),
    #[cfg(feature = "parquet")]
    Parquet(Box<super::parquet::ParquetTable>),
}

impl TableWriter {
    /// Writes to `out`: all classes of each row with their probabilities, or the `top_k` most probable ones.
    ///
    /// # Errors
    /// There are no classes to choose the most probable ones from, the column names cannot be written, or the format
    /// cannot be written to a stream.
    pub fn to(
        trained: &Trained,
        format: TableFormat,
        top_k: Option<usize>,
        out: Box<dyn Write>,
    ) -> Result<Self, TrainedError> {
        let columns = Columns::of(trained, top_k)?;
        let writer = match format {
            TableFormat::Csv => {
                Writer::Csv(CsvTable::new(columns, out).map_err(|source| TrainedError::Stdout { source })?)
            }
            TableFormat::JsonLines => Writer::JsonLines(JsonLines::new(columns, out)),
            TableFormat::Parquet => {
                let source = io::Error::other("Parquet is written to a file; name one with --output");
                return Err(TrainedError::Stdout { source });
            }
        };
        Ok(Self { writer, place: None })
    }

    /// Writes a file at `path`, in the format of its ending.
    ///
    /// # Errors
    /// The format is unknown, or as [`TableWriter::to`], or the file cannot be created.
    pub fn create(trained: &Trained, path: &Path, top_k: Option<usize>) -> Result<Self, TrainedError> {
        let format = TableFormat::of(path)?;
        let columns = Columns::of(trained, top_k)?;
        let unwritten = |source| TrainedError::Write { path: path.to_owned(), source };
        let file = AtomicFile::create(path).map_err(unwritten)?;
        let writer = match format {
            TableFormat::Csv => Writer::CsvFile(CsvTable::new(columns, file).map_err(unwritten)?),
            TableFormat::JsonLines => Writer::JsonLinesFile(JsonLines::new(columns, file)),
            #[cfg(feature = "parquet")]
            TableFormat::Parquet => {
                Writer::Parquet(Box::new(super::parquet::ParquetTable::new(columns, file).map_err(unwritten)?))
            }
            #[cfg(not(feature = "parquet"))]
            TableFormat::Parquet => return Err(TrainedError::NoParquet { path: path.to_owned() }),
        };
        Ok(Self { writer, place: Some(path.to_owned()) })
    }

    /// Appends rows.
    ///
    /// # Errors
    /// They cannot be written.
    pub fn write(&mut self, rows: &PredictedRows) -> Result<(), TrainedError> {
        let written = match &mut self.writer {
            Writer::Csv(table) => table.write(rows),
            Writer::CsvFile(table) => table.write(rows),
            Writer::JsonLines(table) => table.write(rows),
            Writer::JsonLinesFile(table) => table.write(rows),
            #[cfg(feature = "parquet")]
            Writer::Parquet(table) => table.write(rows),
        };
        written.map_err(|source| Self::failed(self.place.as_deref(), source))
    }

    /// Writes the remaining rows, and moves a file to its place.
    ///
    /// # Errors
    /// They cannot be written.
    pub fn finish(self) -> Result<(), TrainedError> {
        let finished = match self.writer {
            Writer::Csv(table) => table.finish().and_then(|mut out| out.flush()),
            Writer::CsvFile(table) => table.finish().and_then(AtomicFile::finish),
            Writer::JsonLines(table) => table.finish().and_then(|mut out| out.flush()),
            Writer::JsonLinesFile(table) => table.finish().and_then(AtomicFile::finish),
            #[cfg(feature = "parquet")]
            Writer::Parquet(table) => table.finish().and_then(AtomicFile::finish),
        };
        finished.map_err(|source| Self::failed(self.place.as_deref(), source))
    }

    fn failed(place: Option<&Path>, source: io::Error) -> TrainedError {
        match place {
            Some(path) => TrainedError::Write { path: path.to_owned(), source },
            None => TrainedError::Stdout { source },
        }
    }
}

/// A CSV table that is being written to `W`.
struct CsvTable<W: Write> {
    columns: Columns,
    out: csv::Writer<BufWriter<W>>,
}

impl<W: Write> CsvTable<W> {
    fn new(columns: Columns, out: W) -> io::Result<Self> {
        let mut out = csv::Writer::from_writer(BufWriter::new(out));
        let names = columns.has_names.then_some("file").into_iter();
        let others = columns.classes.iter().chain(&columns.numbers).map(String::as_str);
        out.write_record(names.chain(others)).map_err(cause)?;
        Ok(Self { columns, out })
    }

    fn write(&mut self, rows: &PredictedRows) -> io::Result<()> {
        for row in self.columns.rows(rows) {
            if self.columns.has_names {
                self.out.write_field(row.file.unwrap_or_default()).map_err(cause)?;
            }
            for class in &row.classes {
                self.out.write_field(self.columns.name_of(*class)).map_err(cause)?;
            }
            for number in &row.numbers {
                // The shortest text that reads back as the same number.
                self.out.write_field(format!("{number:?}")).map_err(cause)?;
            }
            self.out.write_record(None::<&[u8]>).map_err(cause)?;
        }
        Ok(())
    }

    fn finish(self) -> io::Result<W> {
        let out = self.out.into_inner().map_err(|error| error.into_error())?;
        out.into_inner().map_err(|error| error.into_error())
    }
}

/// Returns the system's error, whose kind would be lost in the CSV writer's error.
fn cause(error: csv::Error) -> io::Error {
    match error.into_kind() {
        csv::ErrorKind::Io(cause) => cause,
        other => io::Error::other(format!("{other:?}")),
    }
}
