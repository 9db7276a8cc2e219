//! Comma-separated values, read into a frame. Whatever is wrong is named by line and column.

use std::path::Path;

use csv::{ReaderBuilder, StringRecord, Trim};

use super::columns::{Selection, TableOptions};
use super::file::DataFile;
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
        let mut records = Records::new(path, content, self.skip_lines);
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
        let (path, line) = (records.path, records.line(first));
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
/// The records of a file, which know their lines.
struct Records<'a> {
    path: &'a Path,
    /// What is left after the lines passed over, and how many those were.
    content: &'a [u8],
    skipped: usize,
    reader: csv::Reader<&'a [u8]>,
}

impl<'a> Records<'a> {
    fn new(path: &'a Path, content: &'a [u8], skip_lines: usize) -> Self {
        let end_of_line = |rest: &[u8]| rest.iter().position(|&b| b == b'\n').map_or(rest.len(), |end| end + 1);
        let content =
            (0..skip_lines).try_fold(content, |rest, _| (!rest.is_empty()).then(|| &rest[end_of_line(rest)..]));
        let content = content.unwrap_or_default();
        // Lengths are checked by the caller, which knows what to say about them.
        let reader = ReaderBuilder::new().has_headers(false).flexible(true).trim(Trim::All).from_reader(content);
        Self { path, content, skipped: skip_lines, reader }
    }

    fn next(&mut self) -> Result<Option<StringRecord>, DataError> {
        let mut record = StringRecord::new();
        match self.reader.read_record(&mut record) {
            Ok(more) => Ok(more.then_some(record)),
            Err(error) => {
                let line = self.line_at(error.position().map_or(0, csv::Position::byte));
                Err(DataError::NotText { path: self.path.into(), line })
            }
        }
    }

    /// The line in the file that `record` starts on, from 1.
    fn line(&self, record: &StringRecord) -> usize {
        self.line_at(record.position().map_or(0, csv::Position::byte))
    }

    /// The line of the record that is found from `byte` on: the reader passes over empty lines first.
    fn line_at(&self, byte: u64) -> usize {
        let start = (byte as usize).min(self.content.len());
        let empty = self.content[start..].iter().take_while(|b| b"\r\n".contains(b)).count();
        1 + self.skipped + self.content[..start + empty].iter().filter(|&&b| b == b'\n').count()
    }
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
