//! Comma-separated values, read into rows. Whatever is wrong is named by line and column.

use std::num::NonZeroUsize;
use std::path::Path;

use csv::{ReaderBuilder, StringRecord, Trim};
use serde::{Deserialize, Serialize};

use super::error::{hint, quoted};
use super::file::DataFile;
use super::rows::{class_below, infer_classes};
use super::{DataConfig, DataError, Problem, Rows, Targets};

/// What is to be learned from a CSV file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Task {
    /// The label is a class, a whole number from 0.
    Classification,
    /// The label is a number.
    Regression,
}

/// A column of a CSV file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged, expecting = "`label` is the name of a column, or its number: 0 is the first, -1 the last")]
pub enum Label {
    /// By its number, from 0; negative numbers count from the end.
    Index(i64),
    /// By its name in the header.
    Name(String),
}

/// How to read a CSV file.
pub(super) struct CsvReader<'a> {
    pub header: bool,
    pub skip_lines: usize,
    pub label: &'a Label,
    pub task: Task,
    pub classes: Option<NonZeroUsize>,
}

impl<'a> CsvReader<'a> {
    /// What `config` says, with the defaults of what it leaves out.
    pub fn new(config: &'a DataConfig) -> Result<Self, DataError> {
        let task = config.task.unwrap_or(Task::Classification);
        if task == Task::Regression && config.classes.is_some() {
            return Err(DataError::meaningless("classes", "regression"));
        }
        Ok(Self {
            header: config.header.unwrap_or(true),
            skip_lines: config.skip_lines.unwrap_or(0),
            label: config.label.as_ref().unwrap_or(&Label::Index(-1)),
            task,
            classes: config.classes,
        })
    }

    /// The rows of `file`.
    pub fn read(&self, file: &DataFile) -> Result<Rows, DataError> {
        self.parse(file.path, &file.content)
    }

    fn parse(&self, path: &Path, content: &[u8]) -> Result<Rows, DataError> {
        let mut records = Records::new(path, content, self.skip_lines);
        let mut record = records.next()?.ok_or_else(|| DataError::NoRows { path: path.into() })?;
        let columns = Columns::new(&records, &record, self)?;
        if self.header {
            record = records.next()?.ok_or_else(|| DataError::NoRows { path: path.into() })?;
        }
        let mut features = Vec::new();
        let mut labels = Labels::new(self);
        let mut next = Some(record);
        while let Some(record) = next {
            if record.len() != columns.count {
                let (found, expected) = (record.len(), columns.count);
                return Err(DataError::Ragged { path: path.into(), line: records.line(&record), found, expected });
            }
            for (column, field) in record.iter().enumerate() {
                let result =
                    if column == columns.label { labels.push(field) } else { number(field).map(|x| features.push(x)) };
                result.map_err(|problem| DataError::Field {
                    path: path.into(),
                    line: records.line(&record),
                    column: columns.describe(column),
                    problem,
                })?;
            }
            next = records.next()?;
        }
        Rows::new(vec![columns.count - 1], features, labels.into_targets(path)?)
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

/// What the first line says about all of them.
struct Columns {
    names: Option<Vec<String>>,
    count: usize,
    label: usize,
}

impl Columns {
    fn new(records: &Records, first: &StringRecord, options: &CsvReader) -> Result<Self, DataError> {
        let path = || records.path.into();
        if first.len() < 2 {
            return Err(DataError::NoFeatures { path: path(), line: records.line(first) });
        }
        if options.header && first.iter().all(|field| field.parse::<f64>().is_ok()) {
            return Err(DataError::HeaderOfNumbers { path: path(), line: records.line(first) });
        }
        let label = match options.label {
            Label::Name(name) if options.header => first.iter().position(|column| column == name).ok_or_else(|| {
                let hint = hint(name, &first.iter().collect::<Vec<_>>());
                DataError::NoSuchColumn { path: path(), name: name.clone(), hint }
            })?,
            Label::Name(name) => return Err(DataError::NoNames { name: name.clone() }),
            &Label::Index(index) => nth(index, first.len()).ok_or_else(|| DataError::NoSuchIndex {
                path: path(),
                index,
                columns: first.len(),
            })?,
        };
        let names = options.header.then(|| first.iter().map(str::to_owned).collect());
        Ok(Self { names, count: first.len(), label })
    }

    fn describe(&self, column: usize) -> String {
        match self.names.as_ref().and_then(|names| names.get(column)) {
            Some(name) => format!("column `{name}`"),
            None => format!("column {column} (counted from 0)"),
        }
    }
}

/// The position that `index` means among `count`, where negative numbers count from the end.
fn nth(index: i64, count: usize) -> Option<usize> {
    let position = if index < 0 { index.checked_add(i64::try_from(count).ok()?)? } else { index };
    usize::try_from(position).ok().filter(|&position| position < count)
}

/// The labels so far.
enum Labels {
    Values(Vec<f32>),
    Classes { labels: Vec<u32>, declared: Option<NonZeroUsize> },
}

impl Labels {
    fn new(options: &CsvReader) -> Self {
        match options.task {
            Task::Regression => Self::Values(Vec::new()),
            Task::Classification => Self::Classes { labels: Vec::new(), declared: options.classes },
        }
    }

    fn push(&mut self, field: &str) -> Result<(), Problem> {
        match self {
            Self::Values(values) => values.push(number(field)?),
            Self::Classes { labels, declared } => {
                labels.push(class_below(class(field)?, declared.map_or(usize::MAX, NonZeroUsize::get))?);
            }
        }
        Ok(())
    }

    fn into_targets(self, path: &Path) -> Result<Targets, DataError> {
        Ok(match self {
            Self::Values(values) => Targets::Values { values, width: 1 },
            Self::Classes { labels, declared } => {
                let count = declared.map_or_else(|| infer_classes(path, &labels), |count| Ok(count.get()))?;
                Targets::Classes { labels, count }
            }
        })
    }
}

fn number(field: &str) -> Result<f32, Problem> {
    match field.parse::<f32>() {
        Ok(x) if x.is_finite() => Ok(x),
        Ok(_) => Err(Problem::NotFinite(quoted(field))),
        Err(_) if field.is_empty() => Err(Problem::Empty),
        Err(_) => Err(Problem::NotANumber(quoted(field))),
    }
}

/// A label as a class: `3`, and also `3.0`, as tables are often written that once had a gap.
fn class(field: &str) -> Result<u32, Problem> {
    match field.parse::<f64>() {
        Ok(x) if x.fract() == 0.0 && (0.0..f64::from(u32::MAX)).contains(&x) => Ok(x as u32),
        Err(_) if field.is_empty() => Err(Problem::Empty),
        _ => Err(Problem::NotAClass(quoted(field))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, header: bool, skip_lines: usize, label: i64) -> Result<Rows, DataError> {
        let reader =
            CsvReader { header, skip_lines, label: &Label::Index(label), task: Task::Classification, classes: None };
        reader.parse(Path::new("a.csv"), text.as_bytes())
    }

    #[test]
    fn the_label_may_stand_anywhere() {
        for (label, inputs, labels) in
            [(0, [2.0, 3.0], 1), (1, [1.0, 3.0], 2), (-1, [1.0, 2.0], 3), (-3, [2.0, 3.0], 1)]
        {
            let rows = read("1, 2 ,3", false, 0, label).unwrap();
            assert_eq!(rows.inputs(), inputs);
            assert_eq!(rows.targets(), &Targets::Classes { labels: vec![labels], count: labels as usize + 1 });
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
