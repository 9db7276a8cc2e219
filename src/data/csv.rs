//! Reader of CSV files. Errors name line and column.

use std::io::{self, BufRead, Read};
use std::path::{Path, PathBuf};

use csv::{ReaderBuilder, StringRecord, Trim};

use super::delimiter::{CommentMark, Delimiter};
use super::error::{describe, quoted};
use super::file::{self, DataFile};
use super::first_lines::with_point;
use super::options::Decimal;
use super::packing::Packing;
use super::quotes::{Quotes, Unclosed};
use super::records::{FrameReader, Records};
use super::value::Value;
use super::{DataConfig, DataError, Problem, TableError};

/// Reads the table in `file`, as described by `config`, and returns the number of its rows.
pub(super) fn read(file: &DataFile, config: &DataConfig, reader: &mut FrameReader) -> Result<usize, DataError> {
    let records = CsvRecords::new(Text::of(file.path, &file.content, config)?, config)?;
    records.refuse_strange_head()?;
    reader.read(records)
}

/// A record as it is in the file, and with points in the place of decimal commas if it has any.
pub(super) struct CsvRecord {
    raw: StringRecord,
    plain: Option<StringRecord>,
}

impl CsvRecord {
    fn new(raw: StringRecord, decimal: Decimal) -> Self {
        let has_commas = decimal == Decimal::Comma && raw.iter().any(|field| with_point(field).is_some());
        let plain = |field: &str| with_point(field).unwrap_or_else(|| field.to_owned());
        Self { plain: has_commas.then(|| raw.iter().map(plain).collect()), raw }
    }
}

/// The records of a CSV text.
pub(super) struct CsvRecords<'a> {
    text: Text<'a>,
    names: Option<Vec<String>>,
    /// The first record, which gives the number of columns.
    head: StringRecord,
    /// Whether that is a row of data that has not been returned yet.
    head_is_next: bool,
}

impl CsvRecords<'static> {
    /// Opens the file at `config.path`, which may be larger than memory.
    pub fn in_file(config: &DataConfig) -> Result<Self, DataError> {
        Self::new(Text::in_file(config)?, config)
    }
}

impl<'a> CsvRecords<'a> {
    fn new(mut text: Text<'a>, config: &DataConfig) -> Result<Self, DataError> {
        let head = text.next()?.ok_or_else(|| DataError::NoRows { path: text.path.clone() })?;
        let has_names = config.header.unwrap_or(true);
        let names = has_names.then(|| head.iter().map(str::to_owned).collect());
        Ok(Self { text, names, head, head_is_next: !has_names })
    }

    /// Refuses a first record that cannot be that of a table with features and a label.
    fn refuse_strange_head(&self) -> Result<(), DataError> {
        let place = || (self.text.path.clone(), self.text.line(&self.head));
        if self.width() < 2 {
            let (path, line) = place();
            let (delimiter, hint) = (self.text.delimiter.in_words(), self.other_delimiter());
            return Err(TableError::NoFeatures { path, line, delimiter, hint }.into());
        }
        if self.names.iter().flatten().any(|name| name.parse::<f64>().is_err()) || self.names.is_none() {
            return Ok(());
        }
        let (path, line) = place();
        Err(TableError::HeaderOfNumbers { path, line }.into())
    }
}

impl CsvRecords<'_> {
    /// Returns the remedy if the only column contains another usual delimiter.
    fn other_delimiter(&self) -> String {
        let field = self.head.get(0).unwrap_or_default();
        let others = [Delimiter::TAB, Delimiter::SEMICOLON, Delimiter::COMMA, Delimiter::BAR].into_iter();
        let found =
            others.filter(|other| *other != self.text.delimiter).find(|other| field.contains(other.character()));
        let remedy = |other: Delimiter| {
            format!("; the line has {}: set `data.delimiter = {:?}`", other.in_words(), String::from(other))
        };
        found.map(remedy).unwrap_or_default()
    }
}

impl Records for CsvRecords<'_> {
    type Record = CsvRecord;

    fn path(&self) -> &Path {
        &self.text.path
    }

    fn names(&self) -> Option<&[String]> {
        self.names.as_deref()
    }

    fn width(&self) -> usize {
        self.head.len()
    }

    fn next(&mut self) -> Result<Option<CsvRecord>, DataError> {
        if std::mem::take(&mut self.head_is_next) {
            return Ok(Some(CsvRecord::new(self.head.clone(), self.text.decimal)));
        }
        let mut record = self.text.next()?;
        // A line of blanks is empty, as for pandas.
        while self.width() > 1 && record.as_ref().is_some_and(|record| record.len() == 1 && record.get(0) == Some("")) {
            record = self.text.next()?;
        }
        match record.as_ref().filter(|record| record.len() != self.width()) {
            Some(record) => {
                let (path, line, found, expected) =
                    (self.text.path.clone(), self.text.line(record), record.len(), self.width());
                let is_broken = record.iter().any(|field| field.contains(['\n', '\r']));
                let hint = if is_broken { "; a field in it has a line break: there may be a stray quote" } else { "" };
                Err(TableError::Ragged { path, line, found, expected, hint }.into())
            }
            None => Ok(record.map(|record| CsvRecord::new(record, self.text.decimal))),
        }
    }

    fn value<'a>(&self, record: &'a CsvRecord, column: usize) -> Result<Value<'a>, Problem> {
        let raw = record.raw.get(column).unwrap_or_default();
        if self.text.decimal == Decimal::Comma && raw.contains('.') && raw.parse::<f64>().is_ok() {
            return Err(Problem::PointAmongCommas(quoted(raw)));
        }
        let text = record.plain.as_ref().map_or(raw, |plain| plain.get(column).unwrap_or_default());
        Ok(Value::Text(text))
    }

    fn place(&self, record: &CsvRecord) -> String {
        format!("line {}", self.text.line(&record.raw))
    }

    fn wrong(&self, record: &CsvRecord, column: usize, problem: Problem) -> DataError {
        let (path, line) = (self.text.path.clone(), self.text.line(&record.raw));
        TableError::Field { path, line, column: describe(self.names(), column), problem }.into()
    }
}

/// Opens a text at its first byte.
type Open<'a> = Box<dyn Fn() -> io::Result<Box<dyn BufRead + 'a>> + 'a>;

/// A text that is read record by record. Line numbers are only computed for errors, by reading the text again.
struct Text<'a> {
    path: PathBuf,
    open: Open<'a>,
    /// Number of lines to skip before the first record.
    skip_lines: usize,
    delimiter: Delimiter,
    decimal: Decimal,
    comment: Option<CommentMark>,
    packing: Packing,
    reader: csv::Reader<Quotes<Box<dyn BufRead + 'a>>>,
}

impl<'a> Text<'a> {
    /// Reads `content`, that of the file at `path`.
    fn of(path: &Path, content: &'a [u8], config: &DataConfig) -> Result<Self, DataError> {
        Self::new(path, Box::new(move || Ok(Box::new(content))), config, Packing::None)
    }

    fn in_file(config: &DataConfig) -> Result<Text<'static>, DataError> {
        let path = config.path.clone();
        file::require_file(&path)?;
        let (_, packing) = file::unpacked(&path).map_err(|source| DataError::Read { path: path.clone(), source })?;
        file::require_readable(&path, packing)?;
        Text::new(&config.path, Box::new(move || Ok(file::unpacked(&path)?.0)), config, packing)
    }

    fn new(path: &Path, open: Open<'a>, config: &DataConfig, packing: Packing) -> Result<Self, DataError> {
        let (skip_lines, delimiter) = (config.skip_lines.unwrap_or(0), config.delimiter());
        let text = after_lines(&open, skip_lines).map_err(|source| failed(path, packing, source))?;
        // The caller checks the lengths, with better messages.
        let reader = ReaderBuilder::new()
            .has_headers(false)
            .flexible(true)
            .trim(Trim::All)
            .delimiter(delimiter.byte())
            .comment(config.comment.map(CommentMark::byte))
            .from_reader(Quotes::new(text, delimiter, config.comment, skip_lines.saturating_add(1)));
        let (decimal, comment) = (config.decimal.unwrap_or_default(), config.comment);
        Ok(Self { path: path.to_owned(), open, skip_lines, delimiter, decimal, comment, packing, reader })
    }

    fn next(&mut self) -> Result<Option<StringRecord>, DataError> {
        let mut record = StringRecord::new();
        match self.reader.read_record(&mut record) {
            Ok(more) => Ok(more.then_some(record)),
            Err(error) => {
                let byte = error.position().map_or(0, csv::Position::byte);
                Err(match error.into_kind() {
                    csv::ErrorKind::Io(source) => failed(&self.path, self.packing, source),
                    _ => TableError::NotText { path: self.path.clone(), line: self.line_at(byte) }.into(),
                })
            }
        }
    }

    /// Returns the line in the file where `record` starts, counted from 1.
    fn line(&self, record: &StringRecord) -> usize {
        self.line_at(record.position().map_or(0, csv::Position::byte))
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

/// Returns the rest of a text after its first lines.
fn after_lines<'a>(open: &Open<'a>, lines: usize) -> io::Result<Box<dyn BufRead + 'a>> {
    let mut text = open()?;
    for _ in 0..lines {
        if text.skip_until(b'\n')? == 0 {
            break;
        }
    }
    Ok(text)
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

#[cfg(test)]
mod tests {
    use super::super::columns::TableOptions;
    use super::super::frame::Cells;
    use super::super::{Fingerprint, Label, Targets};
    use super::*;

    /// Returns the numbers of each feature, and the labels.
    fn read(text: &str, header: bool, skip_lines: usize, label: i64) -> Result<(Vec<Vec<f64>>, Targets), DataError> {
        let (label, header, skip_lines) = (Some(Label::Index(label).into()), Some(header), Some(skip_lines));
        let classes = std::num::NonZeroUsize::new(4);
        let config = DataConfig { label, header, skip_lines, classes, ..DataConfig::new("a.csv") };
        let content = text.as_bytes().to_vec();
        let file = DataFile { path: &config.path, fingerprint: Fingerprint::of(&content), content };
        let options = TableOptions::new(&config)?;
        let mut reader = FrameReader::new(&options);
        super::read(&file, &config, &mut reader)?;
        let frame = reader.finish()?;
        let numbers = frame.columns.into_iter().map(|column| match column.cells {
            Cells::Numbers(numbers) => numbers,
            other @ (Cells::Categories(_) | Cells::Lists(_)) => panic!("{other:?}"),
        });
        Ok((numbers.collect(), frame.targets))
    }

    #[test]
    fn the_label_may_stand_anywhere() {
        for (label, inputs, labels) in
            [(0, [2.0, 3.0], 1), (1, [1.0, 3.0], 2), (-1, [1.0, 2.0], 3), (-3, [2.0, 3.0], 1)]
        {
            let (columns, targets) = read("1, 2 ,3", false, 0, label).unwrap();
            assert_eq!(columns.concat(), inputs);
            assert_eq!(targets, Targets::Classes { labels: vec![labels], count: 4 });
        }
    }

    #[test]
    fn text_is_read_as_spreadsheets_write_it() {
        let plain = read("a,b\n1,2.0\n", true, 0, -1).unwrap();
        for text in ["\u{feff}a,b\r\n1,2\r\n", "\n\na,b\n\n1,2\n\n", "\"a\",\"b\"\n\" 1e0\",\"2\"", "a,b\r1,2\r"] {
            assert_eq!(read(text, true, 0, -1).unwrap(), plain, "{text:?}");
        }
        assert_eq!(read("units: mm\nquoted \" and,so,on\na,b\n1,2", true, 2, -1).unwrap(), plain);
    }

    #[test]
    fn a_line_is_the_line_of_the_file() {
        let line = |text: &str, skip| match read(text, true, skip, -1) {
            Err(DataError::Table(error)) => match *error {
                TableError::Field { line, .. } | TableError::Ragged { line, .. } => line,
                other => panic!("{other}"),
            },
            other => panic!("{other:?}"),
        };
        assert_eq!(line("a,b\n1,2\nx,2\n", 0), 3);
        assert_eq!(line("a,b\r\n\r\n\r\n1,2\r\n\r\n1,2,3\r\n", 0), 6);
        assert_eq!(line("note\n\na,b\n1,2\n1\n", 2), 5);
    }

    #[test]
    fn skipping_more_lines_than_there_are_leaves_no_rows() {
        for skip in [2, 3, usize::MAX] {
            assert!(matches!(read("a,b\n1,2\n", false, skip, -1), Err(DataError::NoRows { .. })));
        }
    }
}
