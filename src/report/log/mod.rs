//! A run's log as a file for other programs: CSV, Parquet, or JSON lines.

mod blocks;
mod columns;
mod error;
pub(crate) mod line;
#[cfg(feature = "parquet")]
mod parquet;

use std::io::{self, Read, Write};
use std::path::Path;

use self::blocks::BLOCK;
use self::columns::Columns;
pub use self::error::LogError;
use self::line::Field;
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
pub(super) fn open(run: &Path) -> Result<Box<dyn Read + Send>, LogError> {
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
pub fn export_log(run: &Path, format: LogFormat, mut out: impl Write + Send) -> Result<u64, LogError> {
    let left_out = match format {
        LogFormat::Jsonl => as_jsonl(run, &mut out)?,
        // Columns that no line before the end of the log has are left out of lines that are written meanwhile.
        LogFormat::Csv => as_csv(run, &columns_of(open(run)?)?, false, &mut out)?.unwrap_or_default(),
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
    let of_file = |error| match error {
        LogError::Output { source } => unwritten(source),
        error => error,
    };
    // Before a file is made, the log has to be there.
    let log = open(run)?;
    if format == LogFormat::Csv {
        /// Usually these lines have all columns, so that the log need not be read twice.
        const FIRST_LINES: u64 = 16 << 20;
        let columns = columns_of(log.take(FIRST_LINES))?;
        let mut out = AtomicFile::create(file).map_err(unwritten)?;
        if let Some(left_out) = as_csv(run, &columns, true, &mut out).map_err(of_file)? {
            out.finish().map_err(unwritten)?;
            return Ok(left_out);
        }
    }
    let mut out = AtomicFile::create(file).map_err(unwritten)?;
    let left_out = export_log(run, format, &mut out).map_err(of_file)?;
    out.finish().map_err(unwritten)?;
    Ok(left_out)
}

/// Finds the columns of a log.
fn columns_of(log: impl Read) -> Result<Columns, LogError> {
    let of_block = |block: &[u8]| {
        let mut columns = Columns::default();
        line::each_in(block, |_, fields| {
            columns.see(fields);
            Ok::<_, LogError>(())
        })?;
        Ok::<_, LogError>(columns)
    };
    let mut columns = Columns::default();
    blocks::each(log, BLOCK, of_block, |block: Result<Columns, LogError>| {
        columns.merge(&block?);
        Ok::<_, LogError>(())
    })?;
    Ok(columns)
}

fn as_jsonl(run: &Path, out: &mut impl Write) -> Result<u64, LogError> {
    let copy = |lines: &mut Vec<u8>, line: &str, _: &[Field<'_>]| {
        lines.extend_from_slice(line.as_bytes());
        lines.push(b'\n');
        true
    };
    Ok(in_blocks(run, copy, false, out)?.unwrap_or_default())
}

/// Returns the number of lines that are left out; `None` at the first value without a column if all need one.
fn as_csv(run: &Path, columns: &Columns, need_all: bool, out: &mut impl Write) -> Result<Option<u64>, LogError> {
    let mut header = Vec::new();
    for (number, (name, _)) in columns.all().iter().enumerate() {
        let must_be_quoted = name.contains([',', '\n', '\r']);
        write_cell(&mut header, number, &if must_be_quoted { format!("\"{name}\"") } else { name.clone() });
    }
    header.push(b'\n');
    out.write_all(&header)?;
    let write_row = |rows: &mut Vec<u8>, _: &str, fields: &[Field<'_>]| {
        let is_whole = columns.cells(fields, |number, cell| write_cell(rows, number, cell));
        rows.push(b'\n');
        is_whole
    };
    in_blocks(run, write_row, need_all, out)
}

/// Writes what `write` makes of each line of the log; it returns whether that is all of the line. Returns the number of
/// lines that are left out because they are not lines of a log; `None`, with a part of the log written, if all of each
/// line is needed and that of one is not there.
fn in_blocks(
    run: &Path,
    write: impl Fn(&mut Vec<u8>, &str, &[Field<'_>]) -> bool + Sync,
    need_all: bool,
    out: &mut impl Write,
) -> Result<Option<u64>, LogError> {
    let of_block = |block: &[u8]| {
        let (mut written, mut is_whole) = (Vec::with_capacity(block.len()), true);
        let left_out = line::each_in(block, |line, fields| {
            is_whole &= write(&mut written, line, fields);
            Ok::<_, LogError>(())
        })?;
        Ok::<_, LogError>((written, is_whole, left_out))
    };
    let (mut is_whole, mut all_left_out) = (true, 0);
    let copied = blocks::each(open(run)?, BLOCK, of_block, |block: Result<(Vec<u8>, bool, u64), LogError>| {
        let (written, block_is_whole, left_out) = block?;
        is_whole &= block_is_whole || !need_all;
        if !is_whole {
            // Ends the reading.
            return Err(LogError::Output { source: io::ErrorKind::InvalidData.into() });
        }
        all_left_out += left_out;
        out.write_all(&written).map_err(LogError::from)
    });
    if is_whole { copied.map(|()| Some(all_left_out)) } else { Ok(None) }
}

/// Writes a value of a row. Numbers and words need no quotes, and texts have theirs.
fn write_cell(row: &mut Vec<u8>, number: usize, cell: &str) {
    if number > 0 {
        row.push(b',');
    }
    row.extend_from_slice(cell.as_bytes());
}

#[cfg(feature = "parquet")]
fn as_parquet(run: &Path, out: &mut (impl Write + Send)) -> Result<u64, LogError> {
    /// Many rows of a group, of which each thread has some in memory.
    const GROUP: usize = 8 << 20;
    let columns = columns_of(open(run)?)?;
    let mut table = parquet::Table::new(&columns.all(), out)?;
    let encoder = table.encoder();
    let of_block = |block: &[u8]| {
        let mut rows = encoder.rows();
        let left_out = line::each_in(block, |_, fields| {
            columns.cells(fields, |number, cell| rows.add(number, cell));
            Ok::<_, LogError>(())
        })?;
        Ok::<_, LogError>((rows.encode()?, left_out))
    };
    let mut all_left_out = 0;
    blocks::each(open(run)?, GROUP, of_block, |block: Result<(parquet::Group, u64), LogError>| {
        let (group, left_out) = block?;
        all_left_out += left_out;
        table.write(group).map_err(LogError::from)
    })?;
    table.finish()?;
    Ok(all_left_out)
}

#[cfg(not(feature = "parquet"))]
fn as_parquet(_: &Path, _: &mut (impl Write + Send)) -> Result<u64, LogError> {
    Err(LogError::NoParquet)
}
