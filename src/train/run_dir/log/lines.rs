//! Reads the lines of a log at the speed of memory.

use std::io::{self, Read};
use std::ops::Range;

use memchr::{memchr, memrchr};

/// Bytes that are read at once: few enough to be looked at while they are in the cache.
const BLOCK: usize = 1 << 18;

/// The lines of what is read.
pub(super) struct Lines<R> {
    source: R,
    /// Bytes that have been read and are still needed, from the line before the next one to `end`.
    buffer: Vec<u8>,
    end: usize,
    /// The last line that was returned.
    last: Range<usize>,
    /// Where the whole lines in the buffer end.
    whole: usize,
    /// Whether the whole lines that were read last have no control characters.
    are_plain: bool,
}

/// A line, with its line break unless it is incomplete.
pub(super) struct Line<'a> {
    pub text: &'a [u8],
    /// The line before it; empty for the first one.
    pub before: &'a [u8],
    /// Whether there are no control characters in it and around it, except line breaks.
    pub is_in_plain_text: bool,
}

impl<R: Read> Lines<R> {
    pub fn of(source: R) -> Self {
        Self { source, buffer: vec![0; 2 * BLOCK], end: 0, last: 0..0, whole: 0, are_plain: true }
    }

    /// Returns the next line; `None` at the end.
    pub fn next(&mut self) -> io::Result<Option<Line<'_>>> {
        let mut before = self.last.clone();
        while before.end == self.whole {
            if !self.read_more()? {
                // A line without an end remains.
                (self.whole, self.are_plain) = (self.end, false);
                if self.last.end == self.end {
                    return Ok(None);
                }
            }
            before = self.last.clone();
        }
        let rest = &self.buffer[before.end..self.whole];
        let length = memchr(b'\n', rest).map_or(rest.len(), |at| at + 1);
        self.last = before.end..before.end + length;
        let (text, before) = (&self.buffer[self.last.clone()], &self.buffer[before]);
        Ok(Some(Line { text, before, is_in_plain_text: self.are_plain }))
    }

    /// The last line that was returned.
    pub fn last(&self) -> &[u8] {
        &self.buffer[self.last.clone()]
    }

    /// Reads a block more, and returns whether there was anything to read.
    fn read_more(&mut self) -> io::Result<bool> {
        let start = self.last.start;
        self.buffer.copy_within(start..self.end, 0);
        (self.last, self.end) = (0..self.last.end - start, self.end - start);
        if self.buffer.len() < self.end + BLOCK {
            self.buffer.resize(self.end + BLOCK, 0);
        }
        let read = loop {
            match self.source.read(&mut self.buffer[self.end..self.end + BLOCK]) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => break read?,
            }
        };
        self.end += read;
        let rest = &self.buffer[self.last.end..self.end];
        self.whole = self.last.end + memrchr(b'\n', rest).map_or(0, |at| at + 1);
        self.are_plain = is_plain(&self.buffer[self.last.end..self.whole]);
        Ok(read > 0)
    }
}

/// Whether there are no control characters except line breaks.
fn is_plain(text: &[u8]) -> bool {
    let is_odd = |byte: u8| (byte < b' ') & (byte != b'\n') | (byte == 0x7f);
    // Without an exit from the inner loop, which so looks at many bytes at once.
    text.chunks(4096).all(|part| !part.iter().fold(false, |any, &byte| any | is_odd(byte)))
}

/// The beginning of the line of a step.
pub(super) struct Beginning {
    text: Vec<u8>,
    step: u64,
}

impl Beginning {
    pub fn of(step: u64) -> Self {
        Self { text: format!("{{\"step\":{step},").into_bytes(), step }
    }

    /// Whether a line begins so, and ends like the line of a step.
    pub fn is_that_of(&self, line: &[u8]) -> bool {
        line.starts_with(&self.text) && line.ends_with(b"}\n")
    }

    /// Goes to the next step.
    pub fn count_up(&mut self) {
        self.step += 1;
        let last_digit = self.text.len() - 2;
        match &mut self.text[last_digit] {
            b'9' => *self = Self::of(self.step),
            digit => *digit += 1,
        }
    }
}
