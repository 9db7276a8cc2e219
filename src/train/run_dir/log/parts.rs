//! Looks at the parts of a long log by several threads.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicBool, Ordering};

use super::lines::{Beginning, Lines};
use crate::cpu::map_tasks;

/// Bytes of a part: many lines, and few enough for many threads.
pub(super) const PART: u64 = 8 << 20;

/// How the parts of a log are read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Parts {
    /// Their size. A log of two parts or more is a long one.
    pub bytes: u64,
    /// Whether several threads read them.
    pub in_parallel: bool,
}

impl Parts {
    /// The usual ones, read by all threads.
    pub const BESIDE_EACH_OTHER: Self = Self { bytes: PART, in_parallel: true };
}

/// A file from a place on, as if it ended at another.
pub(super) struct Section<'a> {
    pub file: &'a File,
    pub at: u64,
    pub end: u64,
    /// Nothing more is read once this is set.
    pub stop: Option<&'a AtomicBool>,
}

impl Read for Section<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.stop.is_some_and(|stop| stop.load(Ordering::Relaxed)) {
            return Err(io::Error::other("no more of the log is read"));
        }
        let length =
            usize::try_from(self.end.saturating_sub(self.at)).map_or(buffer.len(), |rest| rest.min(buffer.len()));
        let read = self.file.read_at(buffer.get_mut(..length).unwrap_or_default(), self.at)?;
        self.at += read as u64;
        Ok(read)
    }
}

/// The lines that begin in a part, each of the step after that of the line before it.
struct Regular {
    /// Where the first one begins, the last one begins, and the last one ends.
    start: u64,
    last: u64,
    end: u64,
    /// The step of the first one, and the one after that of the last.
    first: u64,
    next: u64,
}

/// Returns where the last line of those parts begins that follow each other from the beginning of the log on, with all
/// lines in order and before number `steps`, and its step. Zeros if there are none.
pub(super) fn before_last_of_parts<R: Read>(
    open: &(impl Fn(u64) -> R + Sync),
    length: u64,
    steps: u64,
    parts: Parts,
    step_of: &(impl Fn(&[u8]) -> Option<u64> + Sync),
) -> io::Result<(u64, u64)> {
    let part = parts.bytes;
    if length < 2 * part {
        return Ok((0, 0));
    }
    let tasks = usize::try_from(length / part).unwrap_or(usize::MAX);
    let parts = map_tasks(tasks, parts.in_parallel, |number| {
        let start = number as u64 * part;
        regular(open, start, start + part, step_of)
    });
    let (mut kept, mut at, mut after) = ((0, 0), 0, None);
    for part in parts {
        match part? {
            Some(part) if part.start == at && after.is_none_or(|next| next == part.first) && part.next <= steps => {
                (kept, at, after) = ((part.last, part.next - 1), part.end, Some(part.next));
            }
            _ => break,
        }
    }
    Ok(kept)
}

/// Returns the lines that begin from byte `from` to before byte `to`; `None` if one of them is not in order.
fn regular<R: Read>(
    open: &impl Fn(u64) -> R,
    from: u64,
    to: u64,
    step_of: &impl Fn(&[u8]) -> Option<u64>,
) -> io::Result<Option<Regular>> {
    // From the last byte before it on: if that ends a line, the next one begins here.
    let mut at = from.saturating_sub(1);
    let mut lines = Lines::of(open(at));
    if from > 0 {
        at += lines.next()?.map_or(0, |line| line.text.len()) as u64;
    }
    let (start, mut found) = (at, None::<(Regular, Beginning)>);
    while at < to {
        let Some(line) = lines.next()? else { break };
        let end = at + line.text.len() as u64;
        match &mut found {
            _ if !line.is_in_plain_text => return Ok(None),
            None => {
                let Some(first) = step_of(line.text) else { return Ok(None) };
                let Some(next) = first.checked_add(1) else { return Ok(None) };
                found = Some((Regular { start, last: at, end, first, next }, Beginning::of(next)));
            }
            Some((regular, beginning)) if beginning.is_that_of(line.text) => {
                (regular.last, regular.end, regular.next) = (at, end, regular.next + 1);
                beginning.count_up();
            }
            Some(_) => return Ok(None),
        }
        at = end;
    }
    Ok(found.map(|(regular, _)| regular))
}
