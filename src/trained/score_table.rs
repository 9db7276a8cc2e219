//! The figures of texts as a table: one line for each text.

use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use super::{TableFormat, TextScore, TrainedError};
use crate::atomic_file::AtomicFile;

/// Writes figures to a file, which appears when it is complete, or to any writer.
pub struct ScoreTable {
    lines: Lines,
    out: Out,
}

enum Lines {
    Csv,
    Json,
    /// The format has no lines.
    #[cfg(feature = "parquet")]
    None,
}

enum Out {
    #[cfg(feature = "parquet")]
    Parquet {
        path: PathBuf,
        table: Box<super::parquet::ParquetScores>,
    },
    File {
        path: PathBuf,
        out: BufWriter<AtomicFile>,
    },
    Other(BufWriter<Box<dyn Write>>),
}

const COLUMNS: &str = "tokens,loss,perplexity,bits_per_byte\n";

impl ScoreTable {
    /// Writes to `out`, as JSON lines or as CSV.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn to(are_json: bool, out: Box<dyn Write>) -> Result<Self, TrainedError> {
        let lines = if are_json { Lines::Json } else { Lines::Csv };
        Self { lines, out: Out::Other(BufWriter::new(out)) }.begun()
    }

    /// Writes a file at `path`, in the format of its ending, `.csv`, `.jsonl` or `.parquet`.
    ///
    /// # Errors
    /// It has another ending, or that of Parquet and this program is built without it, or cannot be created.
    pub fn create(path: &Path) -> Result<Self, TrainedError> {
        let (format, place) = (TableFormat::of(path)?, path.to_owned());
        let unwritten = |source| TrainedError::Write { path: path.to_owned(), source };
        let file = AtomicFile::create(path).map_err(unwritten)?;
        let lines = match format {
            TableFormat::Csv => Lines::Csv,
            TableFormat::JsonLines => Lines::Json,
            #[cfg(feature = "parquet")]
            TableFormat::Parquet => {
                let table = Box::new(super::parquet::ParquetScores::new(file).map_err(unwritten)?);
                return Ok(Self { lines: Lines::None, out: Out::Parquet { path: place, table } });
            }
            #[cfg(not(feature = "parquet"))]
            TableFormat::Parquet => return Err(TrainedError::NoParquet { path: place }),
        };
        Self { lines, out: Out::File { path: place, out: BufWriter::new(file) } }.begun()
    }

    fn begun(mut self) -> Result<Self, TrainedError> {
        if let Lines::Csv = self.lines {
            self.put(COLUMNS)?;
        }
        Ok(self)
    }

    /// Adds the figures of the next text.
    ///
    /// # Errors
    /// They cannot be written.
    pub fn write(&mut self, score: &TextScore) -> Result<(), TrainedError> {
        let line = match self.lines {
            Lines::Csv => {
                let cell = |figure: Option<f64>| figure.map(|figure| format!("{figure:?}")).unwrap_or_default();
                let [loss, perplexity, bits] = [score.loss, score.perplexity, score.bits_per_byte].map(cell);
                format!("{},{loss},{perplexity},{bits}\n", score.tokens)
            }
            Lines::Json => serde_json::to_string(score).unwrap_or_default() + "\n",
            #[cfg(feature = "parquet")]
            Lines::None => return self.put_score(score),
        };
        self.put(&line)
    }

    /// Writes the rest, and moves a file to its place.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn finish(self) -> Result<(), TrainedError> {
        match self.out {
            #[cfg(feature = "parquet")]
            Out::Parquet { path, table } => {
                table.finish().and_then(AtomicFile::finish).map_err(|source| TrainedError::Write { path, source })
            }
            Out::File { path, out } => {
                let finished = out.into_inner().map_err(|error| error.into_error()).and_then(AtomicFile::finish);
                finished.map_err(|source| TrainedError::Write { path, source })
            }
            Out::Other(mut out) => out.flush().map_err(|source| TrainedError::Stdout { source }),
        }
    }

    #[cfg(feature = "parquet")]
    fn put_score(&mut self, score: &TextScore) -> Result<(), TrainedError> {
        let Out::Parquet { path, table } = &mut self.out else { return Ok(()) };
        table.write(*score).map_err(|source| TrainedError::Write { path: path.clone(), source })
    }

    fn put(&mut self, text: &str) -> Result<(), TrainedError> {
        match &mut self.out {
            #[cfg(feature = "parquet")]
            Out::Parquet { .. } => Ok(()),
            Out::File { path, out } => {
                out.write_all(text.as_bytes()).map_err(|source| TrainedError::Write { path: path.clone(), source })
            }
            Out::Other(out) => {
                out.write_all(text.as_bytes()).map_err(|source: io::Error| TrainedError::Stdout { source })
            }
        }
    }
}
