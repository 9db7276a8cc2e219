//! `inspect log`: a run's log as a file for other programs.

use std::io::{self, ErrorKind, IsTerminal, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::{Args, ValueEnum};
use rekindle::report::{LeftOut, LogError, LogFormat, export_log, export_log_to};
use rekindle::stdout;

/// Arguments of `inspect log`.
#[derive(Args)]
#[command(
    after_help = "Examples:\n  inspect log runs/digits -o digits.csv\n  inspect log runs/digits --format jsonl | head"
)]
pub struct Log {
    /// A run directory, its URL, or a log
    run: PathBuf,
    /// Output format [default: by the ending of FILE, csv without one]
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// Write to this file instead of stdout
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Format {
    /// Comma-separated values, all digits; what a line lacks is empty
    Csv,
    /// A table with types; what a line lacks is null
    Parquet,
    /// The lines of the log
    Jsonl,
}

/// Returns the format of a file by its ending, CSV without one.
fn format_of(file: &Path) -> Result<Format> {
    let Some(ending) = file.extension() else { return Ok(Format::Csv) };
    ending.to_str().and_then(|ending| Format::from_str(ending, true).ok()).ok_or_else(|| {
        anyhow::anyhow!("{}: logs are written as .csv, .parquet or .jsonl; or name a --format", file.display())
    })
}

/// Writes the log.
pub fn write(log: &Log) -> Result<()> {
    let of_file = log.output.as_deref().filter(|_| log.format.is_none()).map(format_of).transpose()?;
    let format = match log.format.or(of_file).unwrap_or(Format::Csv) {
        Format::Csv => LogFormat::Csv,
        Format::Parquet => LogFormat::Parquet,
        Format::Jsonl => LogFormat::Jsonl,
    };
    let written = match &log.output {
        Some(file) => export_log_to(&log.run, format, file),
        None if format == LogFormat::Parquet && io::stdout().is_terminal() => {
            anyhow::bail!("a Parquet file cannot be shown on the terminal; name a file with --output")
        }
        None => export_log(&log.run, format, stdout::stdout().context("the log cannot be written to stdout")?),
    };
    match written {
        Ok(left_out) => {
            tell(&log.run, left_out);
            Ok(())
        }
        // A reader that closes the pipe early is not an error.
        Err(LogError::Output { source }) if source.kind() == ErrorKind::BrokenPipe => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Says which lines are left out.
fn tell(run: &Path, LeftOut { lines, first }: LeftOut) {
    const LINE: &str = "of a log: an object with a whole number as its `step`";
    let told = match (lines, first) {
        (0, _) => return,
        (1, Some(number)) => format!("line {number} is left out, because it is no line {LINE}"),
        (_, first) => {
            let first = first.map(|number| format!("; the first is line {number}")).unwrap_or_default();
            format!("{lines} lines are left out, because they are no lines {LINE}{first}")
        }
    };
    drop(writeln!(io::stderr(), "note: {}: {told}", run.display()));
}
