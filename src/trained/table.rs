//! Predictions as a table: a column for the class and one for the probability of each class, or one for each value.

use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use super::{Predicted, PredictedRows, Trained, TrainedError};
use crate::atomic_file::AtomicFile;
use crate::data::{Format, TargetKind};

/// File formats of predictions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TableFormat {
    /// Comma-separated values with the column names in the first line.
    Csv,
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
            Some(ending) if ending.eq_ignore_ascii_case("parquet") => match cfg!(feature = "parquet") {
                true => Ok(Self::Parquet),
                false => Err(TrainedError::NoParquet { path: path.to_owned() }),
            },
            _ => Err(TrainedError::UnknownFormat { path: path.to_owned() }),
        }
    }
}

/// The columns of predictions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Columns {
    /// Whether each row is named by a file.
    pub has_names: bool,
    /// The names of the classes, if there are classes.
    pub classes: Option<Vec<String>>,
    /// Whether the names are words, not just numbers.
    pub are_words: bool,
    /// Names of the number columns: probabilities or values.
    pub numbers: Vec<String>,
}

impl Columns {
    fn of(trained: &Trained) -> Self {
        let classes = trained.class_names();
        let labels = trained.label_names().unwrap_or_default();
        let numbers = match (&classes, trained.schema.targets) {
            (Some(names), _) => names.iter().map(|name| format!("p_{name}")).collect(),
            (None, TargetKind::Values { width }) if labels.len() == width => {
                let prefix = if trained.loss.takes_labels() { "p" } else { "value" };
                labels.iter().map(|label| format!("{prefix}_{label}")).collect()
            }
            (None, TargetKind::Values { width: 1 }) => vec!["value".to_owned()],
            (None, TargetKind::Values { width } | TargetKind::Classes { count: width }) => {
                (0..width).map(|place| format!("value_{place}")).collect()
            }
        };
        Self {
            has_names: trained.config.data.format == Some(Format::Images),
            are_words: trained.schema.names.classes.is_some(),
            classes,
            numbers,
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
    #[cfg(feature = "parquet")]
    Parquet(Box<super::parquet::ParquetTable>),
}

impl TableWriter {
    /// Writes CSV to `out`.
    ///
    /// # Errors
    /// The column names cannot be written.
    pub fn to(trained: &Trained, out: Box<dyn Write>) -> io::Result<Self> {
        Ok(Self { writer: Writer::Csv(CsvTable::new(Columns::of(trained), out)?), place: None })
    }

    /// Writes a file at `path`, in the format of its ending.
    ///
    /// # Errors
    /// The format is unknown, or the file cannot be created.
    pub fn create(trained: &Trained, path: &Path) -> Result<Self, TrainedError> {
        let format = TableFormat::of(path)?;
        let unwritten = |source| TrainedError::Write { path: path.to_owned(), source };
        let (columns, file) = (Columns::of(trained), AtomicFile::create(path).map_err(unwritten)?);
        let writer = match format {
            TableFormat::Csv => Writer::CsvFile(CsvTable::new(columns, file).map_err(unwritten)?),
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
        let class = columns.classes.as_ref().map(|_| "class");
        let numbers = columns.numbers.iter().map(String::as_str);
        out.write_record(names.chain(class).chain(numbers)).map_err(cause)?;
        Ok(Self { columns, out })
    }

    fn write(&mut self, rows: &PredictedRows) -> io::Result<()> {
        let numbers = match &rows.predicted {
            Predicted::Classes { probabilities, .. } => probabilities,
            Predicted::Values(values) => values,
        };
        for (row, numbers) in numbers.iter().enumerate() {
            if self.columns.has_names {
                let name = rows.names.as_ref().and_then(|names| names.get(row));
                self.out.write_field(name.map_or("", String::as_str)).map_err(cause)?;
            }
            if let (Predicted::Classes { classes, .. }, Some(names)) = (&rows.predicted, &self.columns.classes) {
                self.out.write_field(&names[classes[row] as usize]).map_err(cause)?;
            }
            for number in numbers {
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
