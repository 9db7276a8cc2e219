//! Text in shards: tokens one after the other, as far as a block goes.

use super::tokens::{At, Wording};
use crate::data::DataError;
use crate::data::documents::{Shape, Stream};
use crate::data::error::TextError;
use crate::data::text::{Before, Vocabulary};

/// A line that is longer may be divided between blocks.
const LONGEST_LINE: u64 = 1 << 20;

/// Text without documents, in rows of `context` tokens.
pub(super) struct Text {
    pub context: usize,
}

impl Wording for Text {
    fn longest_line(&self) -> u64 {
        LONGEST_LINE
    }

    fn tokens(&self, bytes: &[u8], at: At<'_>, vocabulary: &Vocabulary) -> Result<(Stream, usize), DataError> {
        if !vocabulary.takes_any_bytes() {
            at.text(bytes)?;
        }
        let unknown = vocabulary.unknown().map(|(token, _)| token);
        let (mut stream, mut count) = (Stream::default(), 0);
        let encoded = vocabulary.encode_piece(Before { bytes: at.byte, lines: at.lines }, bytes, false, |token| {
            count += usize::from(Some(token) == unknown);
            stream.push(token, true);
        });
        encoded.map_err(|error| TextError::InFile { path: at.path.to_owned(), source: Box::new(error) })?;
        Ok((stream, count))
    }

    fn shape(&self) -> Shape {
        Shape { context: self.context, is_alone: false, is_whole: false }
    }

    fn filler(&self) -> u32 {
        0
    }

    fn document_start(&self) -> Option<u32> {
        None
    }
}
