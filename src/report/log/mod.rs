//! A run's log as a file for other programs: CSV, Parquet, or JSON lines.

mod blocks;
mod columns;
mod error;
mod json;
pub(crate) mod line;
#[cfg(feature = "parquet")]
mod parquet;
mod row;
mod shape;

use std::io::{self, Read, Write};
use std::path::Path;

use self::blocks::{BLOCK, Buffers};
use self::columns::Columns;
pub use self::error::LogError;
use self::row::{Rows, write_cell};
use crate::atomic_file::AtomicFile;
use crate::read_ahead::ReadAhead;
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

/// The lines that an export leaves out, because they are not lines of a log: a line is an object with a whole number as
/// its `step`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LeftOut {
    /// How many they are.
    pub lines: u64,
    /// The number of the first, from 1, if there is one.
    pub first: Option<u64>,
}

impl LeftOut {
    /// Looks for the first of these lines, which takes time only if there is one.
    fn of(run: &Path, lines: u64) -> Result<Self, LogError> {
        let first = if lines > 0 { line::first_other(open(run)?)? } else { None };
        Ok(Self { lines, first })
    }
}

/// Opens the log of the run at `run`, a directory or a URL, or the log itself.
pub(crate) fn open(run: &Path) -> Result<Box<dyn Read + Send>, LogError> {
    let unread = |source| LogError::Unread { path: run.to_owned(), source };
    if run.is_file() {
        return Ok(Box::new(ReadAhead::new(regular::open(run).map_err(unread)?)));
    }
    run_dir::log::read(run).map_err(unread)?.ok_or_else(|| LogError::NoLog { path: run.to_owned() })
}

/// Writes the log of the run at `run` to `out`. Returns the lines that are left out.
///
/// # Errors
/// There is no log, it cannot be read, or the output cannot be written. Without the feature `parquet`, that format is
/// refused.
pub fn export_log(run: &Path, format: LogFormat, mut out: impl Write + Send) -> Result<LeftOut, LogError> {
    let left_out = match format {
        LogFormat::Jsonl => as_jsonl(run, &mut out)?,
        // Columns that no line before the end of the log has are left out of lines that are written meanwhile.
        LogFormat::Csv => as_csv(run, &columns_of(open(run)?, false)?, false, &mut out)?.unwrap_or_default(),
        LogFormat::Parquet => as_parquet(run, &mut out)?,
    };
    out.flush()?;
    LeftOut::of(run, left_out)
}

/// Like [`export_log`], to a file, which is there under its name once it is whole.
///
/// # Errors
/// As [`export_log`].
pub fn export_log_to(run: &Path, format: LogFormat, file: &Path) -> Result<LeftOut, LogError> {
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
        let columns = columns_of(log.take(FIRST_LINES), false)?;
        let mut out = AtomicFile::create(file).map_err(unwritten)?;
        if let Some(left_out) = as_csv(run, &columns, true, &mut out).map_err(of_file)? {
            out.finish().map_err(unwritten)?;
            return LeftOut::of(run, left_out);
        }
    }
    let mut out = AtomicFile::create(file).map_err(unwritten)?;
    let left_out = export_log(run, format, &mut out).map_err(of_file)?;
    out.finish().map_err(unwritten)?;
    Ok(left_out)
}

/// Gives blocks of whole lines of a log to `work` on several threads, and its results in their order to `take`.
pub(super) fn in_blocks<T: Send>(
    log: impl Read,
    work: impl Fn(&[u8]) -> T + Sync,
    mut take: impl FnMut(T) -> Result<(), LogError>,
) -> Result<(), LogError> {
    blocks::each(log, BLOCK, |buffers| work(&buffers.block), |result, _| take(result))
}

/// Finds the columns of a log, and their types if they are needed.
fn columns_of(log: impl Read, with_types: bool) -> Result<Columns, LogError> {
    let of_block = |buffers: &mut Buffers| {
        let mut columns = Columns::default();
        // A line like the one before has no other columns, and perhaps other types.
        if !with_types && line::each_kind(&buffers.block, |fields| columns.see(fields)) {
            return Ok(columns);
        }
        let mut columns = Columns::default();
        line::each_in(&buffers.block, |line| {
            columns.see(line.fields);
            Ok::<_, LogError>(())
        })?;
        Ok::<_, LogError>(columns)
    };
    let mut columns = Columns::default();
    blocks::each(log, BLOCK, of_block, |block: Result<Columns, LogError>, _| {
        columns.merge(&block?);
        Ok::<_, LogError>(())
    })?;
    Ok(columns)
}

fn as_jsonl(run: &Path, out: &mut impl Write) -> Result<u64, LogError> {
    let of_block = |buffers: &mut Buffers| {
        // Usually all of the block is to be written, as it is.
        if line::each_kind(&buffers.block, |_| ()) {
            std::mem::swap(&mut buffers.block, &mut buffers.made);
            return Ok((true, 0));
        }
        Ok::<_, LogError>((true, copy_lines(buffers)?))
    };
    Ok(written_in_blocks(run, of_block, out)?.unwrap_or_default())
}

/// Copies the lines of a block, and returns the number of those that are left out, because they are not lines of a log.
fn copy_lines(Buffers { block, made }: &mut Buffers) -> Result<u64, LogError> {
    made.clear();
    line::each_in(block, |line| {
        made.extend_from_slice(line.text.as_bytes());
        made.push(b'\n');
        Ok::<_, LogError>(())
    })
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
    let of_block = |Buffers { block, made }: &mut Buffers| {
        let (mut rows, mut has_all) = (Rows::of(columns), true);
        made.clear();
        let left_out = line::each_in(block, |line| {
            has_all &= rows.add(line, made);
            Ok::<_, LogError>(())
        })?;
        Ok::<_, LogError>((has_all || !need_all, left_out))
    };
    written_in_blocks(run, of_block, out)
}

/// Writes what `work` makes of each block of the log; it returns whether the writing may continue, and the number of lines
/// that are left out because they are not lines of a log. Returns the number of all these lines; `None`, with a part of
/// the log written, if it may not.
fn written_in_blocks(
    run: &Path,
    work: impl Fn(&mut Buffers) -> Result<(bool, u64), LogError> + Sync,
    out: &mut impl Write,
) -> Result<Option<u64>, LogError> {
    let (mut continues, mut all_left_out) = (true, 0);
    let copied = blocks::each(open(run)?, BLOCK, work, |block: Result<(bool, u64), LogError>, made| {
        let (block_continues, left_out) = block?;
        continues = block_continues;
        if !continues {
            // Ends the reading.
            return Err(LogError::Output { source: io::ErrorKind::InvalidData.into() });
        }
        all_left_out += left_out;
        out.write_all(made).map_err(LogError::from)
    });
    if continues { copied.map(|()| Some(all_left_out)) } else { Ok(None) }
}

#[cfg(feature = "parquet")]
fn as_parquet(run: &Path, out: &mut (impl Write + Send)) -> Result<u64, LogError> {
    /// Many rows of a group, of which each thread has some in memory.
    const GROUP: usize = 8 << 20;
    let columns = columns_of(open(run)?, true)?;
    let mut table = parquet::Table::new(&columns.all(), out)?;
    let encoder = table.encoder();
    let of_block = |buffers: &mut Buffers| {
        let mut rows = encoder.rows();
        let left_out = line::each_in(&buffers.block, |line| {
            columns.cells(line.fields, |number, cell| rows.add(number, cell));
            Ok::<_, LogError>(())
        })?;
        Ok::<_, LogError>((rows.encode()?, left_out))
    };
    let mut all_left_out = 0;
    blocks::each(open(run)?, GROUP, of_block, |block: Result<(parquet::Group, u64), LogError>, _| {
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
