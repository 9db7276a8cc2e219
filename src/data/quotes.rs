//! Checks quotes in a CSV text before the parser, which would silently read from an unclosed quote to the end of the
//! file as one field. Here this is an error with the line of the quote.

use std::fmt;
use std::io::{self, Read};

use super::delimiter::{CommentMark, Delimiter};

/// Passes a CSV text through, and fails at its end if a quote is open.
pub(super) struct Quotes<R> {
    text: R,
    state: State,
    delimiter: u8,
    comment: Option<u8>,
    /// The line of the next byte, from 1.
    line: usize,
    /// The line of the last opening quote.
    opened: usize,
    /// Number of bytes of a byte order mark seen; its full length if there is none or it has been passed.
    mark: usize,
}

/// Position in a record: the states of the `csv` crate, as far as quotes depend on them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// At the start of a record, where a comment may begin.
    Record,
    Comment,
    /// At the start of a field, the only place besides where a quote opens.
    Start,
    /// In a field, or after the closing quote.
    Field,
    Quoted,
    /// After a quote in a quoted field: a second quote makes it a character, anything else closes the field.
    Quote,
}

/// Error of a quote that is never closed.
#[derive(Debug)]
pub(super) struct Unclosed {
    /// The line of the file where it opens, counted from 1.
    pub line: usize,
}

impl fmt::Display for Unclosed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the quote that opens on line {} is never closed", self.line)
    }
}

impl std::error::Error for Unclosed {}

const MARK: &[u8] = b"\xef\xbb\xbf";

impl<R: Read> Quotes<R> {
    /// Creates a filter for a text that starts on line number `line` of its file, with `delimiter` between fields,
    /// and lines that begin with `comment` left out.
    pub fn new(text: R, delimiter: Delimiter, comment: Option<CommentMark>, line: usize) -> Self {
        let (delimiter, comment) = (delimiter.byte(), comment.map(CommentMark::byte));
        Self { text, state: State::Record, delimiter, comment, line, opened: line, mark: 0 }
    }

    fn take(&mut self, byte: u8) {
        if MARK.get(self.mark) == Some(&byte) {
            self.mark += 1;
            return;
        }
        self.mark = MARK.len();
        self.state = match (self.state, byte) {
            (State::Record, byte) if self.comment == Some(byte) => State::Comment,
            (State::Comment, b'\n') => State::Record,
            (State::Comment, _) => State::Comment,
            (State::Record | State::Start, b'"') => {
                self.opened = self.line;
                State::Quoted
            }
            (State::Quoted, b'"') => State::Quote,
            (State::Quoted, _) | (State::Quote, b'"') => State::Quoted,
            (State::Record | State::Start | State::Field | State::Quote, b'\n' | b'\r') => State::Record,
            (State::Record | State::Start | State::Field | State::Quote, byte) if byte == self.delimiter => {
                State::Start
            }
            (State::Record | State::Start | State::Field | State::Quote, _) => State::Field,
        };
        self.line += usize::from(byte == b'\n');
    }
}

impl<R: Read> Read for Quotes<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.text.read(buffer)?;
        if count == 0 && !buffer.is_empty() && self.state == State::Quoted {
            return Err(io::Error::other(Unclosed { line: self.opened }));
        }
        buffer[..count].iter().for_each(|&byte| self.take(byte));
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unclosed(text: &str) -> Option<usize> {
        let comment = Some(CommentMark::HASH);
        let error = Quotes::new(text.as_bytes(), Delimiter::COMMA, comment, 1).read_to_end(&mut Vec::new()).err()?;
        Some(error.get_ref().unwrap().downcast_ref::<Unclosed>().unwrap().line)
    }

    #[test]
    fn a_quote_that_is_never_closed_is_reported_by_its_line() {
        assert_eq!(unclosed("a,b\n1,\"2\n3,4\n"), Some(2));
        assert_eq!(unclosed("\u{feff}\"a,b\n1,2\n"), Some(1));
        assert_eq!(unclosed("a\r\n\"\"\"\r\nb\r\n"), Some(2));
        assert_eq!(unclosed("\"a\nb\",c\n\"d\n"), Some(3));
        assert_eq!(unclosed("# 5\" wide\na,\"b\n"), Some(2));
    }

    #[test]
    fn a_quote_inside_a_field_opens_nothing() {
        for text in [
            "",
            "# \"a\n",
            "a,\"b\"\n",
            "5\" pipe,1\n",
            "a, \"b\n",
            "\"a\"\"b\"",
            "\"\"",
            "\"a\"b\"\n",
            "\u{feff}\"a\"\n1",
        ] {
            assert_eq!(unclosed(text), None, "{text:?}");
        }
    }

    /// For all short texts: a quote is unclosed exactly if the parser reads a longer last field after appending a
    /// quote.
    #[test]
    fn quotes_open_where_the_parser_opens_them() {
        let letters = ["\"", ",", "\n", "x", "\r"];
        for number in 0..5_usize.pow(6) {
            let text: String = (0..6).map(|place| letters[number / 5_usize.pow(place) % 5]).collect();
            let last = |text: &str| {
                let mut reader =
                    csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(text.as_bytes());
                reader.records().map(Result::unwrap).last().map(|record| record.iter().next_back().unwrap().to_owned())
            };
            // A comma is a character only inside quotes.
            let is_open = last(&format!("{text},")).is_some_and(|field| field.ends_with(','));
            assert_eq!(unclosed(&text).is_some(), is_open, "{text:?}");
        }
    }
}
