//! Comma-separated values, read into a frame. Whatever is wrong is named by line and column.

use std::io::{self, BufRead, Read};
use std::path::{Path, PathBuf};

use csv::{ReaderBuilder, StringRecord, Trim};

use super::columns::{Selection, TableOptions};
use super::file::{self, DataFile};
use super::frame::{Builder, Frame, Value};
use super::{DataConfig, DataError};

/// How to read a CSV file.
pub(super) struct CsvReader<'a> {
    pub header: bool,
    pub skip_lines: usize,
    pub table: TableOptions<'a>,
}

impl<'a> CsvReader<'a> {
    /// What `config` says, with the defaults of what it leaves out.
    pub fn new(config: &'a DataConfig) -> Result<Self, DataError> {
        Ok(Self {
            header: config.header.unwrap_or(true),
            skip_lines: config.skip_lines.unwrap_or(0),
            table: TableOptions::new(config)?,
        })
    }

    /// The table in `file`.
    pub fn read(&self, file: &DataFile) -> Result<Frame, DataError> {
        self.parse(file.path, &file.content)
    }

    fn parse(&self, path: &Path, content: &[u8]) -> Result<Frame, DataError> {
        let no_rows = || DataError::NoRows { path: path.into() };
        let mut records = Records::of(path, content, self.skip_lines)?;
        let mut record = records.next()?.ok_or_else(no_rows)?;
        let columns = self.columns(&records, &record)?;
        if self.header {
            record = records.next()?.ok_or_else(no_rows)?;
        }
        let mut builder = Builder::new(columns.roles(), self.table.frame.clone());
        let mut next = Some(record);
        while let Some(record) = next {
            if record.len() != columns.len() {
                let (found, expected) = (record.len(), columns.len());
                return Err(DataError::Ragged { path: path.into(), line: records.line(&record), found, expected });
            }
            for (column, field) in record.iter().enumerate() {
                builder.push(column, Value::Text(field)).map_err(|problem| DataError::Field {
                    path: path.into(),
                    line: records.line(&record),
                    column: columns.describe(column),
                    problem,
                })?;
            }
            next = records.next()?;
        }
        builder.finish(path)
    }

    /// What the first line says about the columns.
    fn columns(&self, records: &Records, first: &StringRecord) -> Result<Selection, DataError> {
        let (path, line) = (records.path.as_path(), records.line(first));
        if first.len() < 2 {
            return Err(DataError::NoFeatures { path: path.into(), line });
        }
        if self.header && first.iter().all(|field| field.parse::<f64>().is_ok()) {
            return Err(DataError::HeaderOfNumbers { path: path.into(), line });
        }
        let names = self.header.then(|| first.iter().map(str::to_owned).collect());
        Selection::new(path, names, first.len(), &self.table)
    }
}
/// Opens a text at its first byte.
type Open<'a> = Box<dyn Fn() -> io::Result<Box<dyn BufRead + 'a>> + 'a>;

/// The records of a text, one at a time. Lines are counted only where one is to be named, by reading the text again.
pub(super) struct Records<'a> {
    path: PathBuf,
    open: Open<'a>,
    /// How many lines are passed over before the first record.
    skip_lines: usize,
    is_packed: bool,
    reader: csv::Reader<Box<dyn BufRead + 'a>>,
}

impl<'a> Records<'a> {
    /// Those of `content`, which is that of the file at `path`.
    fn of(path: &Path, content: &'a [u8], skip_lines: usize) -> Result<Self, DataError> {
        Self::new(path, Box::new(move || Ok(Box::new(content))), skip_lines, false)
    }

    /// Those of the file at `path`, which may be larger than memory.
    pub fn in_file(path: &Path, skip_lines: usize) -> Result<Records<'static>, DataError> {
        file::require_file(path)?;
        let (_, is_packed) = file::unpacked(path).map_err(|source| DataError::Read { path: path.into(), source })?;
        let owned = path.to_owned();
        Records::new(path, Box::new(move || Ok(file::unpacked(&owned)?.0)), skip_lines, is_packed)
    }

    fn new(path: &Path, open: Open<'a>, skip_lines: usize, is_packed: bool) -> Result<Self, DataError> {
        let text = after_lines(&open, skip_lines).map_err(|source| failed(path, is_packed, source))?;
        // Lengths are checked by the caller, which knows what to say about them.
        let reader = ReaderBuilder::new().has_headers(false).flexible(true).trim(Trim::All).from_reader(text);
        Ok(Self { path: path.to_owned(), open, skip_lines, is_packed, reader })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn next(&mut self) -> Result<Option<StringRecord>, DataError> {
        let mut record = StringRecord::new();
        match self.reader.read_record(&mut record) {
            Ok(more) => Ok(more.then_some(record)),
            Err(error) => {
                let byte = error.position().map_or(0, csv::Position::byte);
                Err(match error.into_kind() {
                    csv::ErrorKind::Io(source) => failed(&self.path, self.is_packed, source),
                    _ => DataError::NotText { path: self.path.clone(), line: self.line_at(byte) },
                })
            }
        }
    }

    /// The line in the file that `record` starts on, from 1.
    pub fn line(&self, record: &StringRecord) -> usize {
        self.line_at(record.position().map_or(0, csv::Position::byte))
    }

    /// The line of the record that is found from `byte` on: the reader passes over empty lines first.
    fn line_at(&self, byte: u64) -> usize {
        let Ok(text) = after_lines(&self.open, self.skip_lines) else { return 1 + self.skip_lines };
        let is_end = |byte: &u8| *byte == b'\n';
        let mut bytes = text.bytes().map_while(Result::ok);
        let before = bytes.by_ref().take(byte as usize).filter(is_end).count();
        let empty = bytes.take_while(|byte| b"\r\n".contains(byte)).filter(is_end).count();
        1 + self.skip_lines + before + empty
    }
}

/// What is left of a text after its first lines.
fn after_lines<'a>(open: &Open<'a>, lines: usize) -> io::Result<Box<dyn BufRead + 'a>> {
    let mut text = open()?;
    for _ in 0..lines {
        if text.skip_until(b'\n')? == 0 {
            break;
        }
    }
    Ok(text)
}

fn failed(path: &Path, is_packed: bool, source: io::Error) -> DataError {
    let path = path.to_owned();
    if is_packed { DataError::Gzip { path, source } } else { DataError::Read { path, source } }
}

#[cfg(test)]
mod tests {
    use super::super::frame::Cells;
    use super::super::{Label, Targets};
    use super::*;

    /// The numbers of each feature, and the labels.
    fn read(text: &str, header: bool, skip_lines: usize, label: i64) -> Result<(Vec<Vec<f32>>, Targets), DataError> {
        let config = DataConfig { label: Some(Label::Index(label)), ..DataConfig::new("a.csv") };
        let reader = CsvReader { header, skip_lines, ..CsvReader::new(&config)? };
        let frame = reader.parse(Path::new("a.csv"), text.as_bytes())?;
        let numbers = frame.columns.into_iter().map(|column| match column.cells {
            Cells::Numbers(numbers) => numbers,
            Cells::Categories(words) => panic!("{words:?}"),
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
            assert_eq!(targets, Targets::Classes { labels: vec![labels], count: labels as usize + 1 });
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
            Err(DataError::Field { line, .. } | DataError::Ragged { line, .. }) => line,
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
