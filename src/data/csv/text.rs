//! A CSV text that is read record by record, from its beginning or, in memory, from any record.

use std::io::{self, BufRead, Read};
use std::path::{Path, PathBuf};

use csv::{ReaderBuilder, StringRecord, Trim};
use memchr::memchr_iter;

use crate::data::delimiter::{CommentMark, Delimiter};
use crate::data::file;
use crate::data::options::Decimal;
use crate::data::packing::Packing;
use crate::data::quotes::{Quotes, Unclosed};
use crate::data::{DataConfig, DataError, TableError};

/// Opens a text at its first byte.
type Open<'a> = Box<dyn Fn() -> io::Result<Box<dyn BufRead + 'a>> + 'a>;

type Parser<'a> = csv::Reader<Quotes<Box<dyn BufRead + 'a>>>;

/// A text that is read record by record. Line numbers are only computed for errors, by reading the text again.
pub(super) struct Text<'a> {
    pub path: PathBuf,
    open: Open<'a>,
    /// Number of lines to skip before the first record.
    skip_lines: usize,
    pub delimiter: Delimiter,
    pub decimal: Decimal,
    pub comment: Option<CommentMark>,
    packing: Packing,
    /// The text after the skipped lines, if it is in memory.
    pub content: Option<&'a [u8]>,
    reader: Parser<'a>,
    /// The number of bytes between the skipped lines and the beginning of `reader`.
    before: usize,
    /// The number of line ends in them.
    lines_before: usize,
}

impl<'a> Text<'a> {
    /// Reads `content`, that of the file at `path`.
    pub fn of(path: &Path, content: &'a [u8], config: &DataConfig) -> Result<Self, DataError> {
        let text = Self::new(path, Box::new(move || Ok(Box::new(content))), config, Packing::None)?;
        let mut rest = content;
        skip(&mut rest, text.skip_lines).map_err(|source| failed(path, Packing::None, source))?;
        Ok(Self { content: Some(rest), ..text })
    }

    pub fn in_file(config: &DataConfig) -> Result<Text<'static>, DataError> {
        let path = config.path.clone();
        file::require_file(&path)?;
        let (_, packing) = file::unpacked(&path).map_err(|source| DataError::Read { path: path.clone(), source })?;
        file::require_readable(&path, packing)?;
        Text::new(&config.path, Box::new(move || Ok(file::unpacked(&path)?.0)), config, packing)
    }

    fn new(path: &Path, open: Open<'a>, config: &DataConfig, packing: Packing) -> Result<Self, DataError> {
        let (skip_lines, delimiter) = (config.skip_lines.unwrap_or(0), config.delimiter());
        let text = after_lines(&open, skip_lines).map_err(|source| failed(path, packing, source))?;
        let (decimal, comment) = (config.decimal.unwrap_or_default(), config.comment);
        let reader = parser(text, delimiter, comment, skip_lines.saturating_add(1));
        Ok(Self {
            path: path.to_owned(),
            open,
            skip_lines,
            delimiter,
            decimal,
            comment,
            packing,
            content: None,
            reader,
            before: 0,
            lines_before: 0,
        })
    }

    /// Continues with a later record, at `byte` after the skipped lines, if the text is in memory.
    pub fn continue_at(&mut self, byte: usize) {
        let Some(content) = self.content else { return };
        // With the end of the line before, the record is not at the beginning, where a byte order mark would be dropped.
        // The last line may have no end.
        let from = if byte < content.len() { byte.saturating_sub(1) } else { content.len() };
        let passed = content.get(self.before..from).unwrap_or_default();
        self.lines_before += memchr_iter(b'\n', passed).count();
        self.before = from;
        let line = self.skip_lines.saturating_add(1 + self.lines_before);
        let rest = content.get(from..).unwrap_or_default();
        self.reader = parser(Box::new(rest), self.delimiter, self.comment, line);
    }

    /// Returns the position after the last record, or before the terminator of its line, from the skipped lines.
    pub fn position(&self) -> usize {
        self.before + self.reader.position().byte() as usize
    }

    pub fn next(&mut self) -> Result<Option<StringRecord>, DataError> {
        let mut record = StringRecord::new();
        match self.reader.read_record(&mut record) {
            Ok(more) => Ok(more.then_some(record)),
            Err(error) => {
                let byte = self.before as u64 + error.position().map_or(0, csv::Position::byte);
                Err(match error.into_kind() {
                    csv::ErrorKind::Io(source) => failed(&self.path, self.packing, source),
                    _ => TableError::NotText { path: self.path.clone(), line: self.line_at(byte) }.into(),
                })
            }
        }
    }

    /// Returns the line in the file where `record` starts, counted from 1.
    pub fn line(&self, record: &StringRecord) -> usize {
        self.line_at(self.before as u64 + record.position().map_or(0, csv::Position::byte))
    }

    /// Returns the line of the record found after `byte`: the reader skips empty lines and comments first.
    fn line_at(&self, byte: u64) -> usize {
        let Ok(mut text) = after_lines(&self.open, self.skip_lines) else { return 1 + self.skip_lines };
        let is_end = |byte: &u8| *byte == b'\n';
        let before = text.by_ref().take(byte).bytes().map_while(Result::ok).filter(is_end).count();
        let mut skipped = 0;
        // The bytes before a line decide; a long line is read only as far as needed.
        while let Ok(&[first, ..]) = text.fill_buf() {
            match first {
                b'\n' | b'\r' => text.consume(1),
                _ if self.comment.is_some_and(|mark| mark.byte() == first) => {
                    if text.skip_until(b'\n').is_err() {
                        break;
                    }
                }
                _ => break,
            }
            skipped += usize::from(first != b'\r');
        }
        1 + self.skip_lines + before + skipped
    }
}

fn parser<'a>(
    text: Box<dyn BufRead + 'a>,
    delimiter: Delimiter,
    comment: Option<CommentMark>,
    line: usize,
) -> Parser<'a> {
    // The caller checks the lengths, with better messages.
    ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .trim(Trim::All)
        .delimiter(delimiter.byte())
        .comment(comment.map(CommentMark::byte))
        .from_reader(Quotes::new(text, delimiter, comment, line))
}

/// Returns the rest of a text after its first lines.
fn after_lines<'a>(open: &Open<'a>, lines: usize) -> io::Result<Box<dyn BufRead + 'a>> {
    let mut text = open()?;
    skip(&mut text, lines)?;
    Ok(text)
}

fn skip(text: &mut impl BufRead, lines: usize) -> io::Result<()> {
    for _ in 0..lines {
        if text.skip_until(b'\n')? == 0 {
            break;
        }
    }
    Ok(())
}

fn failed(path: &Path, packing: Packing, source: io::Error) -> DataError {
    let path = path.to_owned();
    if let Some(&Unclosed { line }) = source.get_ref().and_then(|source| source.downcast_ref()) {
        return TableError::UnclosedQuote { path, line }.into();
    }
    if packing.is_packed() {
        DataError::Unpack { path, kind: packing.name(), source }
    } else {
        DataError::Read { path, source }
    }
}
