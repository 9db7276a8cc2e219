//! JSON Lines in shards: each line of a block is a document.

use super::tokens::{At, Wording};
use crate::data::documents::{DocumentLines, LONGEST_LINE, NOT_TEXT, Shape, Stream};
use crate::data::error::TextError;
use crate::data::options::RowPacking;
use crate::data::text::Vocabulary;
use crate::data::{DataConfig, DataError};

/// Documents with a separator before each, in rows as those of files in memory.
pub(super) struct Jsonl {
    lines: DocumentLines,
    separator: u32,
    shape: Shape,
    are_apart: bool,
}

impl Jsonl {
    /// Returns what `config` describes, for documents that this vocabulary separates.
    pub fn new(config: &DataConfig, context: usize, vocabulary: &Vocabulary) -> Result<Self, DataError> {
        let (lines, packing) = (DocumentLines::of(config)?, config.row_packing());
        let separator = vocabulary.required_separator()?;
        let shape = Shape { context, is_alone: packing == RowPacking::None, is_whole: lines.are_whole() };
        Ok(Self { lines, separator, shape, are_apart: packing == RowPacking::Documents })
    }
}

impl Wording for Jsonl {
    fn longest_line(&self) -> u64 {
        LONGEST_LINE as u64
    }

    fn tokens(&self, bytes: &[u8], at: At<'_>, vocabulary: &Vocabulary) -> Result<(Stream, usize), DataError> {
        let text = std::str::from_utf8(bytes).map_err(|error| {
            let before = bytes[..error.valid_up_to()].iter().filter(|&&byte| byte == b'\n').count() as u64;
            TextError::Record { path: at.path.to_owned(), line: at.lines + before + 1, reason: NOT_TEXT.to_owned() }
        })?;
        self.lines.tokens(text, (at.path, at.lines), vocabulary, self.separator)
    }

    fn shape(&self) -> Shape {
        self.shape
    }

    fn filler(&self) -> u32 {
        self.separator
    }

    fn document_start(&self) -> Option<u32> {
        self.are_apart.then_some(self.separator)
    }
}
