//! A run's log as a file for other programs: CSV, Parquet, or JSON lines.

mod columns;
mod error;
pub(crate) mod line;
#[cfg(feature = "parquet")]
mod parquet;

use std::io::{self, BufWriter, Read, Write};
use std::path::Path;

use self::columns::Columns;
pub use self::error::LogError;
use crate::atomic_file::AtomicFile;
use crate::regular;
use crate::train::run_dir;

/// The format of an exported log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// A table with a header. Numbers are as in the log, with every digit; what a line lacks is empty.
    Csv,
    /// A table with types; what a line lacks is null.
    Parquet,
    /// The lines of the log.
    Jsonl,
}

/// Opens the log of the run at `run`, a directory or a URL, or the log itself.
pub(super) fn open(run: &Path) -> Result<Box<dyn Read>, LogError> {
    let unread = |source| LogError::Unread { path: run.to_owned(), source };
    if run.is_file() {
        return Ok(Box::new(regular::open(run).map_err(unread)?));
    }
    run_dir::log::read(run).map_err(unread)?.ok_or_else(|| LogError::NoLog { path: run.to_owned() })
}

/// Writes the log of the run at `run` to `out`. Returns the number of lines that are left out, because they are not
/// lines of a log.
///
/// # Errors
/// There is no log, it cannot be read, or the output cannot be written. Without the feature `parquet`, that format is
/// refused.
pub fn export_log(run: &Path, format: LogFormat, out: impl Write + Send) -> Result<u64, LogError> {
    let mut out = BufWriter::with_capacity(1 << 18, out);
    let left_out = match format {
        LogFormat::Jsonl => line::each(open(run)?, |line, _| {
            out.write_all(line.as_bytes())?;
            out.write_all(b"\n").map_err(LogError::from)
        })?,
        LogFormat::Csv => as_csv(run, &mut out)?,
        LogFormat::Parquet => as_parquet(run, &mut out)?,
    };
    out.flush()?;
    Ok(left_out)
}

/// Like [`export_log`], to a file, which is there under its name once it is whole.
///
/// # Errors
/// As [`export_log`].
pub fn export_log_to(run: &Path, format: LogFormat, file: &Path) -> Result<u64, LogError> {
    let unwritten = |source| LogError::Unwritten { path: file.to_owned(), source };
    // Before a file is made, the log has to be there.
    drop(open(run)?);
    let mut out = AtomicFile::create(file).map_err(unwritten)?;
    let left_out = export_log(run, format, &mut out).map_err(|error| match error {
        LogError::Output { source } => unwritten(source),
        error => error,
    })?;
    out.finish().map_err(unwritten)?;
    Ok(left_out)
}

fn columns_of(run: &Path) -> Result<Columns, LogError> {
    let mut columns = Columns::default();
    line::each(open(run)?, |_, fields| {
        columns.see(fields);
        Ok::<_, LogError>(())
    })?;
    Ok(columns)
}

fn as_csv(run: &Path, out: &mut impl Write) -> Result<u64, LogError> {
    let columns = columns_of(run)?;
    let names: Vec<String> = columns.all().into_iter().map(|(name, _)| name).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    write_row(out, &names)?;
    line::each(open(run)?, |_, fields| write_row(out, &columns.row(fields)).map_err(LogError::from))
}

fn write_row(out: &mut impl Write, cells: &[&str]) -> io::Result<()> {
    for (place, cell) in cells.iter().enumerate() {
        if place > 0 {
            out.write_all(b",")?;
        }
        if cell.contains([',', '\n', '\r']) && !cell.starts_with('"') {
            write!(out, "\"{cell}\"")?;
        } else {
            out.write_all(cell.as_bytes())?;
        }
    }
    out.write_all(b"\n")
}

#[cfg(feature = "parquet")]
fn as_parquet(run: &Path, out: &mut (impl Write + Send)) -> Result<u64, LogError> {
    let columns = columns_of(run)?;
    let mut table = parquet::Table::new(&columns.all(), out)?;
    let left_out = line::each(open(run)?, |_, fields| table.write(&columns.row(fields)).map_err(LogError::from))?;
    table.finish()?;
    Ok(left_out)
}

#[cfg(not(feature = "parquet"))]
fn as_parquet(_: &Path, _: &mut (impl Write + Send)) -> Result<u64, LogError> {
    Err(LogError::NoParquet)
}
