//! Finds the lines of a log that a resume keeps.

use std::fs::File;
use std::io::{self, Read, Seek};
use std::sync::atomic::AtomicBool;

use super::lines::{Beginning, Lines};
use super::parts::{Parts, Section, before_last_of_parts};
use crate::train::run_dir::log_order;

/// The lines of a log before a step.
#[derive(Clone, Debug, PartialEq)]
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
    pub fn in_file(file: &File, steps: u64) -> io::Result<Self> {
        Self::in_part(file, file.metadata()?.len(), steps, Parts::BESIDE_EACH_OTHER, None)
    }

    /// [`Found::in_file`] for the first `length` bytes of a file; an error once `stop` is set.
    pub fn in_part(file: &File, length: u64, steps: u64, parts: Parts, stop: Option<&AtomicBool>) -> io::Result<Self> {
        let section = |at| Section { file, at, end: length, stop };
        Self::search(section, length, steps, parts, log_order::step_of)
    }

    /// [`Found::in_file`] for what `open` reads from a place on, `length` bytes in all. Only parts that follow the rule are
    /// read by several threads.
    ///
    /// A log of two parts or more may have millions of lines, so `step_of` parses few of them; of a shorter one it parses
    /// all. A line counts unparsed if it begins with the step after that of the line before it, ends like one, and is
    /// among text without control characters, which a part of a file that was never written consists of. The first line
    /// of a part, and both lines wherever one does not follow the other, are parsed: there, lines may have been joined
    /// or cut. So is the last line that is kept.
    pub(super) fn search<R: Read>(
        open: impl Fn(u64) -> R + Sync,
        length: u64,
        steps: u64,
        parts: Parts,
        step_of: impl Fn(&[u8]) -> Option<u64> + Sync,
    ) -> io::Result<Self> {
        let (bytes, next) = before_last_of_parts(&open, length, steps, parts, &step_of)?;
        let mut found = Self { bytes, next, is_disordered: false, gaps: Vec::new() };
        let source = open(bytes);
        let is_long = length >= 2 * parts.bytes;
        let (mut lines, mut beginning) = (Lines::of(source), Beginning::of(0));
        // Whether the line before is not parsed yet.
        let mut is_guessed = false;
        while let Some(line) = lines.next()? {
            let follows = is_long && !line.before.is_empty() && found.next < steps;
            if follows && line.is_in_plain_text && beginning.is_that_of(line.text) {
                found.bytes += line.text.len() as u64;
                found.next += 1;
                beginning.count_up();
                is_guessed = true;
                continue;
            }
            if is_guessed && step_of(line.before) != Some(found.next - 1) {
                return Ok(found.without(line.before));
            }
            is_guessed = false;
            match step_of(line.text) {
                Some(step) if (found.next..steps).contains(&step) => {
                    if found.bytes > 0 && found.next < step {
                        found.gaps.push((found.next, step - 1));
                    }
                    found = Self { bytes: found.bytes + line.text.len() as u64, next: step + 1, ..found };
                    beginning = Beginning::of(found.next);
                }
                Some(step) => {
                    return Ok(Self { is_disordered: step < found.next || found.next < steps, ..found });
                }
                None => return Ok(found),
            }
        }
        match is_guessed && step_of(lines.last()) != Some(found.next - 1) {
            true => Ok(found.without(lines.last())),
            false => Ok(found),
        }
    }

    /// These lines without the last one, which turned out to be none.
    fn without(self, last: &[u8]) -> Self {
        Self { bytes: self.bytes - last.len() as u64, next: self.next - 1, ..self }
    }

    /// Returns the sorted lines before number `steps`, if the log has more of them out of place.
    pub fn put_in_order(&self, file: &File, steps: u64) -> io::Result<Option<Vec<u8>>> {
        self.put_in_order_within(file, u64::MAX, steps)
    }

    /// The same for the first `length` bytes of a log.
    pub fn put_in_order_within(&self, mut file: &File, length: u64, steps: u64) -> io::Result<Option<Vec<u8>>> {
        if !self.is_disordered {
            return Ok(None);
        }
        let mut content = Vec::new();
        file.rewind()?;
        file.take(length).read_to_end(&mut content)?;
        Ok(Some(log_order::in_order(&content, steps)).filter(|ordered| ordered.len() as u64 > self.bytes))
    }
}
