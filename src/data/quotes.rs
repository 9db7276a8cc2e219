//! A CSV text on its way to the parser, which takes a quote that is never closed for the start of one long field and
//! says nothing. Here it is an error, with the line on which the quote opens.

use std::fmt;
use std::io::{self, Read};

/// Passes a CSV text through, and fails at its end where a quote is open.
pub(super) struct Quotes<R> {
    text: R,
    state: State,
    delimiter: u8,
    /// The line of the next byte, from 1.
    line: usize,
    /// The line of the quote that was opened last.
    opened: usize,
    /// How many bytes of a byte order mark were seen; the length of one where there is none or it is over.
    mark: usize,
}

/// Where in a record the next byte stands. These are the states of the `csv` crate, as far as quotes depend on them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// At the start of a field, the only place where a quote opens.
    Start,
    /// In a field, or behind the quote that closed one.
    Field,
    Quoted,
    /// Behind a quote in a quoted field: another one makes it a character, and anything else closes the field.
    Quote,
}

/// The error of a quote that is never closed.
#[derive(Debug)]
pub(super) struct Unclosed {
    /// The line of the file on which it opens, from 1.
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
    /// A text that starts on line number `line` of its file, with `delimiter` between fields.
    pub fn new(text: R, delimiter: u8, line: usize) -> Self {
        Self { text, state: State::Start, delimiter, line, opened: line, mark: 0 }
    }

    fn take(&mut self, byte: u8) {
        if MARK.get(self.mark) == Some(&byte) {
            self.mark += 1;
            return;
        }
        self.mark = MARK.len();
        self.state = match (self.state, byte) {
            (State::Start, b'"') => {
                self.opened = self.line;
                State::Quoted
            }
            (State::Quoted, b'"') => State::Quote,
            (State::Quoted, _) | (State::Quote, b'"') => State::Quoted,
            (State::Start | State::Field | State::Quote, b'\n' | b'\r') => State::Start,
            (State::Start | State::Field | State::Quote, byte) if byte == self.delimiter => State::Start,
            (State::Start | State::Field | State::Quote, _) => State::Field,
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
        let error = Quotes::new(text.as_bytes(), b',', 1).read_to_end(&mut Vec::new()).err()?;
        Some(error.get_ref().unwrap().downcast_ref::<Unclosed>().unwrap().line)
    }

    #[test]
    fn a_quote_that_is_never_closed_is_told_by_its_line() {
        assert_eq!(unclosed("a,b\n1,\"2\n3,4\n"), Some(2));
        assert_eq!(unclosed("\u{feff}\"a,b\n1,2\n"), Some(1));
        assert_eq!(unclosed("a\r\n\"\"\"\r\nb\r\n"), Some(2));
        assert_eq!(unclosed("\"a\nb\",c\n\"d\n"), Some(3));
    }

    #[test]
    fn a_quote_inside_a_field_opens_nothing() {
        for text in
            ["", "a,\"b\"\n", "5\" pipe,1\n", "a, \"b\n", "\"a\"\"b\"", "\"\"", "\"a\"b\"\n", "\u{feff}\"a\"\n1"]
        {
            assert_eq!(unclosed(text), None, "{text:?}");
        }
    }

    /// Of all short texts, those in which the parser sees a longer last field when a quote is appended are unclosed.
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
            // Only inside of quotes is a comma a character.
            let is_open = last(&format!("{text},")).is_some_and(|field| field.ends_with(','));
            assert_eq!(unclosed(&text).is_some(), is_open, "{text:?}");
        }
    }
}
