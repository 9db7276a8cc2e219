//! The tokens of documents, one document after the other, each begun by the separator; and how they become rows.
//!
//! A row is a range of this stream: all tokens but the last are inputs, all but the first are targets. So a document
//! ends with the separator of the next one, and the last one with a separator after it.

use std::ops::Range;

use candle_core::{Device, Tensor};

use super::records::Piece;
use crate::data::error::TextError;
use crate::data::text::{Before, Vocabulary};
use crate::data::{Batch, DataError};

/// The mark of a token that is no target: part of a prompt, or the end of one.
const NO_TARGET: u32 = 1 << 31;

/// Tokens of documents.
#[derive(Debug, Default)]
pub(in crate::data) struct Stream {
    tokens: Vec<u32>,
    /// Where each document begins, with its separator.
    starts: Vec<usize>,
    /// Whether the end of the last document is no target.
    ends_unlearned: bool,
}

/// How documents become rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::data) struct Shape {
    /// The number of inputs in a row.
    pub context: usize,
    /// Whether a row has one document.
    pub is_alone: bool,
    /// Whether a document is not divided between rows.
    pub is_whole: bool,
}

/// Rows of a stream.
#[derive(Debug, Default, PartialEq, Eq)]
pub(in crate::data) struct Rows {
    pub ranges: Vec<Range<usize>>,
    /// Number of documents whose ends are in no row.
    pub cut: usize,
    /// Number of documents of which nothing is learned. A row of no others is left out.
    pub empty: usize,
}

impl Stream {
    /// Adds a document of `pieces`; `before` is the text before it. Returns how many of its tokens are unknown.
    pub(super) fn add(
        &mut self,
        pieces: &[Piece],
        before: Before,
        vocabulary: &Vocabulary,
        separator: u32,
    ) -> Result<usize, TextError> {
        let (unknown, mut count) = (vocabulary.unknown().map(|(token, _)| token), 0);
        self.begin(separator);
        for Piece { text, counts } in pieces {
            vocabulary.encode_piece(before, text.as_bytes(), false, |token| {
                count += usize::from(Some(token) == unknown);
                self.push(token, *counts);
            })?;
        }
        self.ends_unlearned = pieces.last().is_some_and(|piece| !piece.counts);
        Ok(count)
    }

    /// Begins a document, which ends the one before it.
    fn begin(&mut self, separator: u32) {
        self.starts.push(self.tokens.len());
        self.end(separator);
    }

    /// Adds a token.
    pub fn push(&mut self, token: u32, counts: bool) {
        self.tokens.push(if counts { token } else { token | NO_TARGET });
    }

    /// Ends the last document.
    pub fn end(&mut self, separator: u32) {
        self.push(separator, !self.ends_unlearned);
    }

    /// Returns the bytes that its vector would take after it grows, if that is soon and they are many.
    pub fn growth(&self) -> Option<u64> {
        /// A few million tokens fit everywhere.
        const MANY: usize = 1 << 24;
        const SOON: usize = 1 << 20;
        let (length, capacity) = (self.tokens.len(), self.tokens.capacity());
        (length >= MANY && capacity - length < SOON).then(|| capacity as u64 * 2 * size_of::<u32>() as u64)
    }

    /// Returns the number of tokens.
    pub fn len(&self) -> usize {
        self.tokens.len()
    }

    /// Returns the number of documents.
    pub fn documents(&self) -> usize {
        self.starts.len()
    }

    /// Returns the tokens at these places, each with whether it is a target.
    pub fn read(&self, places: Range<usize>) -> impl Iterator<Item = (u32, bool)> + '_ {
        let tokens = self.tokens.get(places).unwrap_or_default();
        tokens.iter().map(|token| (token & !NO_TARGET, token & NO_TARGET == 0))
    }

    /// Returns the range of a document, up to the separator that ends it.
    fn document(&self, number: usize) -> Range<usize> {
        let end = self.starts.get(number + 1).copied().unwrap_or(self.tokens.len().saturating_sub(1));
        self.starts.get(number).copied().unwrap_or(end)..end
    }

    /// Returns the rows of all documents.
    pub fn rows(&self, shape: Shape) -> Rows {
        let mut rows = Rows::default();
        match (shape.is_whole, shape.is_alone) {
            (false, false) => self.divide(0..self.tokens.len().saturating_sub(1), shape.context, &mut rows),
            (false, true) => {
                (0..self.documents()).for_each(|number| self.divide(self.document(number), shape.context, &mut rows));
            }
            (true, _) => self.fill(shape, &mut rows),
        }
        rows
    }

    /// Divides inputs into rows that follow each other.
    fn divide(&self, inputs: Range<usize>, context: usize, rows: &mut Rows) {
        for start in inputs.clone().step_by(context) {
            self.keep(start..(start + context).min(inputs.end) + 1, rows);
        }
    }

    /// Puts whole documents into rows, each into the current one if it fits.
    fn fill(&self, Shape { context, is_alone, .. }: Shape, rows: &mut Rows) {
        let mut open: Option<Range<usize>> = None;
        for number in 0..self.documents() {
            let document = self.document(number);
            if document.len() > context {
                rows.cut += 1;
            }
            let kept = document.start..document.end.min(document.start + context);
            if !self.is_learned(&kept) {
                rows.empty += 1;
            }
            match &mut open {
                Some(row) if !is_alone && document.end - row.start <= context => row.end = document.end,
                _ => {
                    if let Some(row) = open.replace(kept) {
                        self.keep(row.start..row.end + 1, rows);
                    }
                }
            }
        }
        if let Some(row) = open {
            self.keep(row.start..row.end + 1, rows);
        }
    }

    /// Adds a row, unless nothing of it is learned.
    fn keep(&self, row: Range<usize>, rows: &mut Rows) {
        if self.is_learned(&(row.start..row.end.saturating_sub(1))) {
            rows.ranges.push(row);
        }
    }

    /// Whether a token that follows one of these inputs is learned.
    fn is_learned(&self, inputs: &Range<usize>) -> bool {
        self.read(inputs.start + 1..inputs.end + 1).any(|(_, counts)| counts)
    }
}

/// Rows of tokens that become a batch. A row that is not full is filled up with tokens that are no targets.
pub(in crate::data) struct TokenBatch {
    context: usize,
    /// The token that fills up rows.
    filler: u32,
    /// The target of tokens that are not learned.
    ignored: u32,
    inputs: Vec<u32>,
    targets: Vec<u32>,
}

impl TokenBatch {
    /// Creates it with room for `rows` rows.
    pub fn new(rows: usize, context: usize, filler: u32, ignored: u32) -> Self {
        let empty = || Vec::with_capacity(rows * context);
        Self { context, filler, ignored, inputs: empty(), targets: empty() }
    }

    /// Adds a row of a stream, of at most one token more than the context.
    pub fn add(&mut self, stream: &Stream, row: &Range<usize>) {
        let missing = (self.context + 1).saturating_sub(row.len());
        let last = row.end.saturating_sub(1);
        self.inputs.extend(stream.read(row.start..last).map(|(token, _)| token));
        self.inputs.extend(std::iter::repeat_n(self.filler, missing));
        let target = |(token, counts)| if counts { token } else { self.ignored };
        self.targets.extend(stream.read(row.start + 1..row.end).map(target));
        self.targets.extend(std::iter::repeat_n(self.ignored, missing));
    }

    /// Returns the batch.
    pub fn batch(self) -> Result<Batch, DataError> {
        let rows = self.inputs.len() / self.context.max(1);
        let tensor = |tokens| Tensor::from_vec(tokens, (rows, self.context), &Device::Cpu);
        Ok(Batch { inputs: tensor(self.inputs)?, targets: tensor(self.targets)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Documents of these tokens, separated by 0; tokens from 50 on are no targets.
    fn stream(documents: &[&[u32]]) -> Stream {
        let mut stream = Stream::default();
        for document in documents {
            stream.begin(0);
            document.iter().for_each(|&token| stream.push(token, token < 50));
        }
        stream.end(0);
        stream
    }

    fn rows(stream: &Stream, context: usize, is_alone: bool, is_whole: bool) -> (Vec<Vec<u32>>, usize, usize) {
        let Rows { ranges, cut, empty } = stream.rows(Shape { context, is_alone, is_whole });
        let tokens = |row: Range<usize>| stream.read(row).map(|(token, _)| token).collect();
        (ranges.into_iter().map(tokens).collect(), cut, empty)
    }

    #[test]
    fn every_token_of_a_text_is_a_target_once() {
        let stream = stream(&[&[1, 2, 3], &[], &[4, 5]]);
        let (found, ..) = rows(&stream, 4, false, false);
        assert_eq!(found, [vec![0, 1, 2, 3, 0], vec![0, 0, 4, 5, 0]]);
        let (found, ..) = rows(&stream, 3, false, false);
        assert_eq!(found, [vec![0, 1, 2, 3], vec![3, 0, 0, 4], vec![4, 5, 0]]);
        let (found, ..) = rows(&stream, 2, true, false);
        assert_eq!(found, [vec![0, 1, 2], vec![2, 3, 0], vec![0, 0], vec![0, 4, 5], vec![5, 0]]);
    }

    #[test]
    fn whole_documents_share_rows_as_far_as_they_fit() {
        let stream = stream(&[&[1, 2], &[3], &[4, 5, 6, 7, 8, 9], &[10]]);
        let (found, cut, _) = rows(&stream, 5, false, true);
        assert_eq!(found, [vec![0, 1, 2, 0, 3, 0], vec![0, 4, 5, 6, 7, 8], vec![0, 10, 0]]);
        assert_eq!(cut, 1);
        let (found, cut, _) = rows(&stream, 7, true, true);
        assert_eq!(found, [vec![0, 1, 2, 0], vec![0, 3, 0], vec![0, 4, 5, 6, 7, 8, 9, 0], vec![0, 10, 0]]);
        assert_eq!(cut, 0);
    }

    #[test]
    fn a_row_without_targets_is_left_out() {
        let stream = stream(&[&[50, 51, 52, 1], &[53, 2]]);
        let (found, cut, empty) = rows(&stream, 3, true, true);
        assert_eq!((found, cut, empty), (vec![vec![0, 53, 2, 0]], 1, 1));
        let read: Vec<bool> = stream.read(0..6).map(|(_, counts)| counts).collect();
        assert_eq!(read, [true, false, false, false, true, true]);
    }

    /// The last token of a document of a prompt alone is the separator, which is no target either.
    #[test]
    fn documents_that_teach_nothing_are_counted_also_beside_others_in_a_row() {
        let mut stream = Stream::default();
        for document in [&[50, 51][..], &[52, 1], &[53], &[54, 55, 56, 57, 58, 59, 2]] {
            stream.begin(0);
            document.iter().for_each(|&token| stream.push(token, token < 50));
            stream.ends_unlearned = document.last().is_some_and(|&token| token >= 50);
        }
        stream.end(0);
        let (found, cut, empty) = rows(&stream, 6, false, true);
        assert_eq!((found, cut, empty), (vec![vec![0, 50, 51, 0, 52, 1, 0]], 1, 3));
        assert_eq!(rows(&stream, 6, true, true).2, 3);
    }
}
