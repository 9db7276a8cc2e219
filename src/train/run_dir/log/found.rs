//! Finds the lines of a log that a resume keeps.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek};

use crate::train::run_dir::log_order;

/// The lines of a log before a step.
#[derive(Debug, PartialEq)]
pub(super) struct Found {
    /// Their size in bytes.
    pub bytes: u64,
    /// The step after the last of them.
    pub next: u64,
    /// Whether the line after them has a step other than the next one.
    pub is_disordered: bool,
    /// The first and the last step of each range of steps without a line between two lines.
    pub gaps: Vec<(u64, u64)>,
}

impl Found {
    /// Finds the lines of updates before number `steps`. They end at a line that is incomplete, not a log line, of a
    /// later update, or of an earlier one again.
    pub fn in_file(mut file: &File, steps: u64) -> io::Result<Self> {
        file.rewind()?;
        let (mut reader, mut line) = (BufReader::new(file), Vec::new());
        let mut found = Self { bytes: 0, next: 0, is_disordered: false, gaps: Vec::new() };
        loop {
            line.clear();
            let bytes = reader.read_until(b'\n', &mut line)?;
            if bytes == 0 {
                return Ok(found);
            }
            match log_order::step_of(&line) {
                Some(step) if (found.next..steps).contains(&step) => {
                    if found.bytes > 0 && found.next < step {
                        found.gaps.push((found.next, step - 1));
                    }
                    found = Self { bytes: found.bytes + bytes as u64, next: step + 1, ..found };
                }
                Some(step) => {
                    return Ok(Self { is_disordered: step < found.next || found.next < steps, ..found });
                }
                None => return Ok(found),
            }
        }
    }

    /// Returns the sorted lines before number `steps`, if the log has more of them out of place.
    pub fn put_in_order(&self, mut file: &File, steps: u64) -> io::Result<Option<Vec<u8>>> {
        if !self.is_disordered {
            return Ok(None);
        }
        let mut content = Vec::new();
        file.rewind()?;
        file.read_to_end(&mut content)?;
        Ok(Some(log_order::in_order(&content, steps)).filter(|ordered| ordered.len() as u64 > self.bytes))
    }
}
