//! Pieces of a CSV text, read into columns on all threads.
//!
//! A piece is plain if each of its records is one line, and each value is one that its column has so far. It begins where
//! the records before it end, so that a line end in it that is not in quotes ends a record; a quote that is open at the
//! end of a line makes the piece one to be read by [`Text`](super::text::Text). Everything else is as the crate `csv`
//! reads it: empty lines, comments, quotes only at the beginning of a field, blanks around fields.

use std::borrow::Cow;

use memchr::{memchr, memchr_iter, memchr2};

use crate::data::block::{Block, Expected, Filled, NumberRule};
use crate::data::delimiter::{CommentMark, Delimiter};
use crate::data::digits;
use crate::data::first_lines::with_point;
use crate::data::missing::MissingTexts;
use crate::data::options::Decimal;
use crate::data::words::Words;

/// The form of the records.
#[derive(Clone, Copy)]
pub(super) struct Form {
    pub delimiter: Delimiter,
    pub comment: Option<CommentMark>,
    pub decimal: Decimal,
    /// The number of columns, more than one.
    pub width: usize,
}

impl Form {
    /// Returns the records of `piece` as columns that are as `expected`; `None` if it is not plain.
    pub fn read(&self, piece: &[u8], expected: &[Expected<'_>]) -> Option<Block> {
        let text = std::str::from_utf8(piece).ok()?;
        // A carriage return alone ends a record, too.
        if memchr_iter(b'\r', piece).any(|at| piece.get(at + 1) != Some(&b'\n')) {
            return None;
        }
        // A row has at least as many bytes as columns.
        let lines = 1 + memchr_iter(b'\n', piece).count().min(piece.len() / self.width.max(1));
        let mut columns: Vec<Column<'_>> = expected.iter().map(|&expected| Column::new(expected, lines)).collect();
        let (mut rows, mut at) = (0, 0);
        while let Some(&first) = piece.get(at) {
            if first == b'\n' || first == b'\r' {
                at += 1;
            } else if self.comment.is_some_and(|mark| mark.byte() == first) {
                at += memchr(b'\n', &piece[at..]).map_or(piece.len() - at, |end| end + 1);
            } else {
                rows += usize::from(self.record(text, &mut at, &mut columns)?);
            }
        }
        let columns = columns.into_iter().enumerate().filter_map(|(place, column)| Some((place, column.filled()?)));
        Some(Block { rows, columns: columns.collect() })
    }

    /// Reads the record at a place, and moves this to the next line. Returns whether it is a row, and not a line of blanks;
    /// `None` if it needs a closer look.
    fn record(&self, text: &str, at: &mut usize, columns: &mut [Column<'_>]) -> Option<bool> {
        let point = self.point();
        for place in 0..self.width {
            let column = columns.get_mut(place)?;
            let number = point.and_then(|point| self.number(text.as_bytes(), *at, point, column));
            let end = match number {
                Some(end) => end,
                None => {
                    let (field, end) = self.field(text, *at)?;
                    if place == 0 && field.is_empty() && is_line_end(text, end) {
                        *at = end + 1;
                        return Some(false);
                    }
                    column.push(field, self.decimal)?;
                    end
                }
            };
            *at = end + 1;
            if is_line_end(text, end) {
                return (place + 1 == self.width).then_some(true);
            }
        }
        None
    }

    /// Returns the byte before the fraction of a number, unless the delimiter may be part of a number.
    fn point(&self) -> Option<u8> {
        let point = match self.decimal {
            Decimal::Point => b'.',
            Decimal::Comma => b',',
        };
        let delimiter = self.delimiter.byte();
        (delimiter != point && delimiter != b'-' && !delimiter.is_ascii_digit()).then_some(point)
    }

    /// Adds the number that begins at `start` to a column of numbers, and returns the place of the delimiter or line end
    /// after it; `None` if the field is something else, or in another notation.
    fn number(&self, bytes: &[u8], start: usize, point: u8, column: &mut Column<'_>) -> Option<usize> {
        let Column::Numbers(numbers, rule) = column else { return None };
        let (number, length) = digits::number(bytes.get(start..)?, point)?;
        let end = start + length;
        let end = match bytes.get(end) {
            None | Some(b'\n') => end,
            // A line end follows, because there are no others.
            Some(b'\r') => end + 1,
            Some(&byte) if byte == self.delimiter.byte() => end,
            Some(_) => return None,
        };
        numbers.push(rule.of_parsed(number)?);
        Some(end)
    }

    /// Returns the field that begins at `start`, and the place of the delimiter or line end after it.
    fn field<'t>(&self, text: &'t str, start: usize) -> Option<(&'t str, usize)> {
        let bytes = text.as_bytes();
        let delimiter = self.delimiter.byte();
        let rest = bytes.get(start..)?;
        let (first, last, end) = if rest.first() == Some(&b'"') {
            let last = start + 1 + memchr2(b'"', b'\n', &rest[1..])?;
            let end = match (bytes[last], bytes.get(last + 1)) {
                (b'"', None | Some(b'\n')) => last + 1,
                (b'"', Some(&byte)) if byte == delimiter => last + 1,
                (b'"', Some(b'\r')) => last + 2,
                _ => return None,
            };
            (start + 1, last, end)
        } else {
            let length = rest.iter().position(|&byte| byte == delimiter || byte == b'\n').unwrap_or(rest.len());
            (start, start + length, start + length)
        };
        Some((trimmed(text.get(first..last)?), end))
    }
}

/// Whether a line ends at a place.
fn is_line_end(text: &str, at: usize) -> bool {
    text.as_bytes().get(at).is_none_or(|&byte| byte == b'\n')
}

/// Returns a field without blanks around it, of which most have none.
fn trimmed(field: &str) -> &str {
    match (field.as_bytes().first(), field.as_bytes().last()) {
        (Some(first), Some(last)) if first.is_ascii_graphic() && last.is_ascii_graphic() => field,
        _ => field.trim(),
    }
}

/// A column of a piece.
enum Column<'a> {
    Ignored,
    /// Nothing but missing values, with their texts.
    Missing(usize, &'a MissingTexts),
    Numbers(Vec<f64>, NumberRule<'a>),
    Texts(Words),
    /// Any value needs a closer look.
    Other,
}

impl<'a> Column<'a> {
    fn new(expected: Expected<'a>, rows: usize) -> Self {
        match expected {
            Expected::Ignored => Self::Ignored,
            Expected::Unknown(Some(missing)) => Self::Missing(0, missing),
            Expected::Unknown(None) => Self::Other,
            Expected::Numbers(rule) => Self::Numbers(Vec::with_capacity(rows), rule),
            Expected::Words(_) => Self::Texts(Words::default()),
        }
    }

    /// Adds a field; `None` if it needs a closer look.
    fn push(&mut self, field: &str, decimal: Decimal) -> Option<()> {
        if let Self::Ignored = self {
            return Some(());
        }
        let field = match decimal {
            Decimal::Point => Cow::Borrowed(field),
            Decimal::Comma if field.contains('.') && field.parse::<f64>().is_ok() => return None,
            Decimal::Comma => with_point(field).map_or(Cow::Borrowed(field), Cow::Owned),
        };
        match self {
            Self::Ignored => {}
            Self::Missing(rows, missing) => {
                *rows += 1;
                return missing.contain(&field).then_some(());
            }
            Self::Numbers(numbers, rule) => numbers.push(rule.of_text(&field)?),
            Self::Texts(words) => drop(words.push(&field)),
            Self::Other => return None,
        }
        Some(())
    }

    fn filled(self) -> Option<Filled> {
        match self {
            Self::Missing(rows, _) => Some(Filled::Missing(rows)),
            Self::Numbers(numbers, _) => Some(Filled::Numbers(numbers)),
            Self::Texts(words) => Some(Filled::Texts(words)),
            Self::Ignored | Self::Other => None,
        }
    }
}
