//! `inspect log`: a run's log as a file for other programs.

use std::ffi::OsStr;
use std::io::{self, ErrorKind, IsTerminal, Write};
use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::{Args, ValueEnum};
use rekindle::report::{LogError, LogFormat, export_log, export_log_to};

/// Arguments of `inspect log`.
#[derive(Args)]
#[command(
    after_help = "Examples:\n  inspect log runs/digits -o digits.csv\n  inspect log runs/digits --format jsonl | head"
)]
pub struct Log {
    /// A run directory, its URL, or a log
    run: PathBuf,
    /// Output format [default: by the ending of FILE, otherwise csv]
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

/// Writes the log.
pub fn write(log: &Log) -> Result<()> {
    let ending = log.output.as_deref().and_then(Path::extension).and_then(OsStr::to_str);
    let of_file = ending.and_then(|ending| Format::from_str(ending, true).ok());
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
        None => export_log(&log.run, format, io::stdout()),
    };
    match written {
        Ok(0) => Ok(()),
        Ok(lines) => {
            let left_out = match lines {
                1 => "a line that is not of a log is left out".to_owned(),
                _ => format!("{lines} lines that are not of a log are left out"),
            };
            drop(writeln!(io::stderr(), "note: {left_out}: {}", log.run.display()));
            Ok(())
        }
        // A reader that closes the pipe early is not an error.
        Err(LogError::Output { source }) if source.kind() == ErrorKind::BrokenPipe => Ok(()),
        Err(error) => Err(error.into()),
    }
}
