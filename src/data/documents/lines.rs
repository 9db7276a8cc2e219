//! Consecutive lines of a file, a document each, for data that is read in parts.

use std::path::Path;

use super::in_file;
use super::records::Fields;
use super::stream::Stream;
use crate::data::error::TextError;
use crate::data::text::{Before, Vocabulary};
use crate::data::{DataConfig, DataError};

/// How a line becomes a document.
#[derive(Clone, Debug)]
pub(in crate::data) struct DocumentLines(Fields);

impl DocumentLines {
    /// Returns what `config` describes.
    pub fn of(config: &DataConfig) -> Result<Self, DataError> {
        Fields::of(config).map(Self)
    }

    /// Whether a document is kept in one row.
    pub fn are_whole(&self) -> bool {
        self.0.are_whole()
    }

    /// Returns the tokens of the documents in `text`, which is in the file at `path` after this number of lines, and the number
    /// of those that are unknown.
    pub fn tokens(
        &self,
        text: &str,
        (path, lines): (&Path, u64),
        vocabulary: &Vocabulary,
        separator: u32,
    ) -> Result<(Stream, usize), DataError> {
        let (mut stream, mut unknown) = (Stream::default(), 0);
        for (lines, line) in (lines..).zip(text.split('\n')) {
            let wrong = |reason| TextError::Record { path: path.to_owned(), line: lines + 1, reason };
            if let Some(pieces) = self.0.in_line(line).map_err(wrong)? {
                let before = Before { bytes: 0, lines };
                let added = stream.add(&pieces, before, vocabulary, separator);
                unknown += added.map_err(|error| in_file(path, error))?;
            }
        }
        if stream.len() > 0 {
            stream.end(separator);
        }
        Ok((stream, unknown))
    }
}
