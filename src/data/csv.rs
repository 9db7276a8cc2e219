//! Reader of CSV files. Errors name line and column.
//!
//! `text.rs` reads record by record, and knows lines; `plain.rs` reads pieces of a text in memory into columns, where
//! nothing needs a closer look, on all threads, with `ahead.rs`.

mod ahead;
mod plain;
mod text;

use std::path::Path;

use csv::StringRecord;

use self::ahead::Ahead;
use self::plain::Form;
use self::text::Text;
use super::block::Block;
use super::builder::Builder;
use super::delimiter::Delimiter;
use super::error::{describe, quoted};
use super::file::DataFile;
use super::first_lines::with_point;
use super::options::Decimal;
use super::records::{FrameReader, Records};
use super::value::{self, Value};
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
    /// Whether a record has been returned.
    has_begun: bool,
    ahead: Ahead,
    /// The place where the text continues, if the records before it were read in blocks.
    moved: Option<usize>,
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
        let (head_is_next, has_begun, ahead, moved) = (!has_names, false, Ahead::default(), None);
        Ok(Self { text, names, head, head_is_next, has_begun, ahead, moved })
    }

    /// Returns the place of the next record after the skipped lines.
    fn place_of_next(&self) -> usize {
        self.moved.unwrap_or_else(|| self.text.position())
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

    fn blocks(&mut self, builder: &Builder) -> Vec<Block> {
        let at = self.place_of_next();
        let is_whole = self.text.content.is_some_and(|content| at < content.len());
        // The first record tells what most columns are.
        if !is_whole || !self.has_begun || self.width() < 2 || self.ahead.is_careful(at) {
            return Vec::new();
        }
        let (Some(content), Some(expected)) = (self.text.content, builder.expected()) else { return Vec::new() };
        let Text { delimiter, comment, decimal, .. } = self.text;
        let form = Form { delimiter, comment, decimal, width: self.width() };
        self.ahead.blocks(content, at, &form, &expected)
    }

    fn to_come(&self, blocks: usize, rows: usize) -> usize {
        let length = self.text.content.map_or(0, <[u8]>::len);
        self.ahead.to_come(length, self.place_of_next(), blocks, rows)
    }

    fn pass(&mut self, taken: usize, _: usize) {
        self.moved = Some(self.ahead.pass(self.place_of_next(), taken));
    }

    fn next(&mut self) -> Result<Option<CsvRecord>, DataError> {
        if let Some(at) = self.moved.take() {
            self.text.continue_at(at);
        }
        self.has_begun = true;
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
        let problem = match problem {
            // Only here the decimal mark is known.
            Problem::WrittenForPeople { .. } => {
                let field = record.raw.get(column).unwrap_or_default();
                value::for_people(field, self.text.decimal).unwrap_or(problem)
            }
            problem => problem,
        };
        let (path, line) = (self.text.path.clone(), self.text.line(&record.raw));
        TableError::Field { path, line, column: describe(self.names(), column), problem }.into()
    }
}

#[cfg(test)]
mod tests;
