//! The next pieces of a CSV text in memory, tried as plain ones.

use std::ops::Range;

use memchr::memchr;
use rayon::prelude::*;

use super::plain::Form;
use crate::data::block::{Block, Expected};

/// The least number of bytes of a piece. It ends with a line.
const PIECE: usize = 256 << 10;

/// The number of pieces for each thread, which wait for the slowest one.
const EACH: usize = 4;

/// The pieces at a place in the text.
pub(super) struct Ahead {
    /// The least number of bytes of a piece.
    piece: usize,
    /// The ends of the pieces that were tried last, up to the first one that is not plain.
    ends: Vec<usize>,
    /// Before this place records are read one by one.
    careful: usize,
    /// The number of pieces that are tried at once is a power of two, which shrinks where pieces are not plain.
    shrunk: u32,
}

impl Default for Ahead {
    fn default() -> Self {
        Self::with_pieces_of(PIECE)
    }
}

impl Ahead {
    pub fn with_pieces_of(piece: usize) -> Self {
        Self { piece, ends: Vec::new(), careful: 0, shrunk: 0 }
    }

    /// Whether the record at a place is read one by one, because its piece is not plain.
    pub fn is_careful(&self, at: usize) -> bool {
        at < self.careful
    }

    /// Returns the plain pieces that begin at `at`.
    pub fn blocks(&mut self, content: &[u8], at: usize, form: &Form, expected: &[Expected<'_>]) -> Vec<Block> {
        let most = EACH * rayon::current_num_threads();
        let pieces = self.pieces(content, at, (most >> self.shrunk).max(1));
        let read = |piece: &Range<usize>| form.read(content.get(piece.clone())?, expected);
        let blocks: Vec<Option<Block>> = match pieces.as_slice() {
            [only] => vec![read(only)],
            several => several.par_iter().map(read).collect(),
        };
        let blocks: Vec<Block> = blocks.into_iter().map_while(|block| block).collect();
        self.ends = pieces.iter().take(blocks.len() + 1).map(|piece| piece.end).collect();
        if blocks.is_empty() {
            self.pass(at, 0);
        }
        blocks
    }

    /// Returns about how many rows follow the `blocks` plain pieces from `at` in a text of `length` bytes, which have this many
    /// `rows`: a few more than there are if all rows are equally long.
    pub fn to_come(&self, length: usize, at: usize, blocks: usize, rows: usize) -> usize {
        let Some(&end) = blocks.checked_sub(1).and_then(|last| self.ends.get(last)) else { return 0 };
        let share = length.saturating_sub(end) as f64 / end.saturating_sub(at).max(1) as f64;
        (share * rows as f64 * 1.02) as usize
    }

    /// Passes over the first `taken` pieces from `at`, and returns the place after them. Where there is a next piece, its
    /// records are read one by one.
    pub fn pass(&mut self, at: usize, taken: usize) -> usize {
        self.careful = self.ends.get(taken).copied().unwrap_or(0);
        self.shrunk = if self.careful > 0 { (self.shrunk + 1).min(16) } else { self.shrunk.saturating_sub(1) };
        taken.checked_sub(1).and_then(|last| self.ends.get(last)).copied().unwrap_or(at)
    }

    /// Cuts the first pieces from a text, from `at` on.
    fn pieces(&self, content: &[u8], mut at: usize, count: usize) -> Vec<Range<usize>> {
        let mut pieces = Vec::new();
        while at < content.len() && pieces.len() < count {
            let least = content.len().min(at + self.piece);
            let line = memchr(b'\n', content.get(least..).unwrap_or_default());
            let end = line.map_or(content.len(), |line| least + line + 1);
            pieces.push(at..end);
            at = end;
        }
        pieces
    }
}
