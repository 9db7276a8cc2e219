//! The end of a log: its last line, and the last one with a validation. A long log is not read from its beginning.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::SystemTime;

use memchr::{memchr, memmem, memrchr};

use crate::report::log::line;
use crate::{regular, remedy};

/// Bytes that are read at once.
const BLOCK: u64 = 1 << 16;

/// How far a validation is searched for.
const FARTHEST: u64 = 256 << 20;

/// Longest line.
const LONGEST: u64 = 1 << 14;

/// The field by which a line with a validation is known.
const VALIDATION: &[u8] = b"\"val_loss\"";

/// The numbers of a line, by their names.
pub type Line = Vec<(String, f64)>;

/// The end of a log, as far as it is known.
#[derive(Clone, Debug, Default)]
pub struct LogEnd {
    length: u64,
    /// When it was last written.
    pub modified: Option<SystemTime>,
    /// The last line.
    pub last: Line,
    /// The last line with a validation.
    pub validated: Line,
}

impl LogEnd {
    /// Looks again, if the log has changed since.
    ///
    /// # Errors
    /// The log is there and cannot be read.
    pub fn refresh(&mut self, path: &Path) -> io::Result<()> {
        let file = match regular::open(path) {
            Err(error) if remedy::is_absence(&error) => {
                *self = Self::default();
                return Ok(());
            }
            file => file?,
        };
        let found = file.metadata()?;
        let (length, modified) = (found.len(), found.modified().ok());
        if (length, modified) == (self.length, self.modified) {
            return Ok(());
        }
        if length < self.length {
            // A resume has cut it back.
            *self = Self::default();
        }
        let known = self.length.saturating_sub(LONGEST).max(length.saturating_sub(FARTHEST));
        self.last = last_line(&file, length)?.unwrap_or_default();
        if let Some(line) = last_validated(&file, known, length)? {
            self.validated = line;
        }
        (self.length, self.modified) = (length, modified);
        Ok(())
    }
}

/// Returns a number of a line.
pub fn value(line: &Line, name: &str) -> Option<f64> {
    line.iter().find(|(found, _)| found == name).map(|(_, value)| *value)
}

/// Returns the last complete line.
fn last_line(file: &File, length: u64) -> io::Result<Option<Line>> {
    let block = read(file, length.saturating_sub(LONGEST), length)?;
    let Some(end) = memrchr(b'\n', &block) else { return Ok(None) };
    let begin = block.get(..end).and_then(|before| memrchr(b'\n', before)).map_or(0, |at| at + 1);
    Ok(block.get(begin..=end).and_then(numbers))
}

/// Returns the last line with a validation after `from`.
fn last_validated(file: &File, from: u64, length: u64) -> io::Result<Option<Line>> {
    let mut end = length;
    while end > from {
        let begin = end.saturating_sub(BLOCK).max(from);
        // A line that ends in the block after this one is read whole.
        let block = read(file, begin, (end + LONGEST).min(length))?;
        let mut rest = &block[..];
        while let Some(at) = memmem::rfind(rest, VALIDATION) {
            let line_begin = memrchr(b'\n', &rest[..at]).map(|at| at + 1).or((begin == 0).then_some(0));
            let line_end = memchr(b'\n', &block[at..]).map(|after| at + after);
            if let (Some(line_begin), Some(line_end)) = (line_begin, line_end)
                && let Some(line) = numbers(&block[line_begin..=line_end])
            {
                return Ok(Some(line));
            }
            rest = &rest[..at];
        }
        // A line may begin in one block and have its validation in the next.
        end = if begin == from { from } else { begin + LONGEST.min((end - begin) / 2) };
    }
    Ok(None)
}

fn read(file: &File, begin: u64, end: u64) -> io::Result<Vec<u8>> {
    let mut block = vec![0; end.saturating_sub(begin) as usize];
    let mut filled = 0;
    while let Some(rest) = block.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, begin + filled as u64) {
            // It has become shorter meanwhile.
            Ok(0) => break,
            Ok(more) => filled += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    block.truncate(filled);
    Ok(block)
}

/// Returns the numbers of a line of a log; of a list the first.
fn numbers(text: &[u8]) -> Option<Line> {
    let mut found = None;
    let read = line::each_in(text, |line| {
        let number = |text: &str| text.trim_start_matches('[').split([',', ']']).next()?.parse().ok();
        let values = line.fields.iter().filter_map(|(name, text)| Some(((*name).to_owned(), number(text)?)));
        found = Some(values.collect());
        Ok::<_, io::Error>(())
    });
    read.ok().and(found)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn line(step: u64) -> String {
        let validation = if step % 1000 == 7 { format!(",\"val_loss\":{step}.5") } else { String::new() };
        format!("{{\"step\":{step},\"epoch\":1,\"lr\":[0.1,0.2],\"loss\":{step}.0{validation}}}\n")
    }

    fn lines(steps: std::ops::Range<u64>) -> String {
        steps.map(line).collect()
    }

    #[test]
    fn the_end_of_a_log_has_the_last_line_and_the_last_validation() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log.jsonl");
        let mut end = LogEnd::default();
        let mut look = |text: &str| {
            fs::write(&path, text).unwrap();
            end.refresh(&path).unwrap();
            (value(&end.last, "step"), value(&end.validated, "val_loss"))
        };
        assert_eq!(look(""), (None, None));
        assert_eq!(look(&lines(0..3)), (Some(2.0), None));
        assert_eq!(look(&lines(0..8)), (Some(7.0), Some(7.5)));
        // Through many blocks, and with half a line at the end.
        assert_eq!(look(&(lines(0..8007) + "{\"step\":80")), (Some(8006.0), Some(7007.5)));
        assert_eq!(look(&lines(0..8009)), (Some(8008.0), Some(8007.5)));
        // Cut back.
        assert_eq!(look(&lines(0..8000)), (Some(7999.0), Some(7007.5)));
        fs::remove_file(&path).unwrap();
        end.refresh(&path).unwrap();
        assert!(end.last.is_empty());
    }

    #[test]
    fn a_validation_is_found_wherever_blocks_begin() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log.jsonl");
        let rest = lines(8..3000);
        for padding in 0..120 {
            let first = format!("{{\"step\":0,\"pad\":\"{}\"}}\n", "x".repeat(padding));
            fs::write(&path, first + &line(7) + &rest.replace("val_loss", "other")).unwrap();
            let mut end = LogEnd::default();
            end.refresh(&path).unwrap();
            assert_eq!(value(&end.validated, "val_loss"), Some(7.5), "{padding}");
        }
    }
}
