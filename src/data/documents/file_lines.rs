//! The lines of a file that is read once, of bounded length.

use std::io::{BufRead, Read};
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::records::LONGEST_LINE;
use crate::data::error::TextError;
use crate::data::{DataError, file};
use crate::plain;

/// The fault of a line that is no text.
pub(in crate::data) const NOT_TEXT: &str = "not UTF-8 text; save the file as UTF-8";

/// Opens the file at `path`, packed or not.
///
/// # Errors
/// It cannot be opened, or read in this build.
pub(super) fn open(path: &Path) -> Result<Box<dyn BufRead>, DataError> {
    let opened = file::unpacked(path).map_err(|source| DataError::Read { path: path.into(), source });
    let (lines, packing) = opened?;
    file::require_readable(path, packing)?;
    Ok(lines)
}

/// Returns a line without a byte order mark before it.
fn without_mark(line: &str) -> &str {
    line.trim_start_matches('\u{feff}')
}

/// Whether a line has no record.
pub(super) fn is_blank(line: &str) -> bool {
    without_mark(line).trim().is_empty()
}

/// Parses a line as JSON.
///
/// # Errors
/// In words, with the column: it is none.
pub(super) fn json(line: &str) -> Result<Value, String> {
    let line = without_mark(line);
    let record = line.trim_start();
    let before = line.len() - record.len();
    serde_json::from_str(record.trim_end())
        .map_err(|error| format!("not JSON: {}", plain::of_json_line(&error, before)))
}

/// Lines, one after the other.
pub(super) struct FileLines {
    lines: Box<dyn BufRead>,
    path: PathBuf,
    /// The number of lines read.
    read: u64,
}

impl FileLines {
    pub fn of(lines: Box<dyn BufRead>, path: &Path) -> Self {
        Self { lines, path: path.to_owned(), read: 0 }
    }

    /// Returns the path of the file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the number of the last line, from 1.
    pub fn number(&self) -> u64 {
        self.read
    }

    /// Reads a line, its end included; `None` after the last one.
    pub fn next_line(&mut self) -> Result<Option<String>, DataError> {
        let mut line = Vec::new();
        let most = LONGEST_LINE as u64 + 1;
        let read = self.lines.by_ref().take(most).read_until(b'\n', &mut line);
        read.map_err(|source| DataError::Read { path: self.path.clone(), source })?;
        if line.is_empty() {
            return Ok(None);
        }
        self.read += 1;
        if line.len() > LONGEST_LINE {
            return Err(self.wrong(format!("a record of more than {LONGEST_LINE} bytes")));
        }
        String::from_utf8(line).map(Some).map_err(|_| self.wrong(NOT_TEXT.to_owned()))
    }

    /// Returns the error of the last line.
    pub fn wrong(&self, reason: String) -> DataError {
        TextError::Record { path: self.path.clone(), line: self.read, reason }.into()
    }
}
