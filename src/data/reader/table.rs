//! Rows of a table: conversion of a record's fields to the numbers of the model's input.

use std::collections::BTreeMap;
use std::path::Path;

use candle_core::{Device, Tensor};

use super::{ReadRows, Remarking};
use crate::Notice;
use crate::data::builder::Builder;
use crate::data::columns::{TableOptions, double};
use crate::data::csv::CsvRecords;
use crate::data::encoding::{Encoding, Unseen};
use crate::data::error::{hint, quoted};
use crate::data::frame::FrameOptions;
use crate::data::labels::class_of;
use crate::data::records::Records;
use crate::data::rows::class_below;
use crate::data::value::{self, Number, Value};
use crate::data::{
    Columns, DataConfig, DataError, EVALUATION_ROWS, Input, Problem, Schema, Statistics, TableError, TargetKind,
    TargetScale,
};
use crate::state::{State, StateError};

/// The rows of a table in any file format.
pub(super) struct TableRows<R> {
    records: R,
    decoder: Decoder,
    ended: bool,
}

impl<R: Records> TableRows<R> {
    pub fn new(
        mut records: R,
        config: &DataConfig,
        schema: &Schema,
        memory: &State,
        with_targets: bool,
    ) -> Result<Self, DataError> {
        let decoder = Decoder::new(config, schema, memory, with_targets, records.names(), records.width())?;
        records.only(&decoder.places.all())?;
        Ok(Self { records, decoder, ended: false })
    }

    fn batch(&mut self) -> Result<Option<ReadRows>, DataError> {
        while !self.decoder.is_full() {
            let Some(record) = self.records.next()? else { break };
            let pushed = self.decoder.push(|column| self.records.value(&record, column));
            pushed.map_err(|(column, problem)| self.records.wrong(&record, column, problem))?;
        }
        self.decoder.take()
    }
}

impl<R: Records> Remarking for TableRows<R> {
    fn notices(&self) -> Vec<Notice> {
        let Decoder { encoding, unseen, rows_before: rows, .. } = &self.decoder;
        let said = unseen.iter().filter_map(|(&place, unseen)| encoding.remark(place, unseen, *rows));
        let path = self.records.path().display();
        let said = said.map(|text| Notice::Warning(format!("{path}: of the rows, {text}")));
        self.records.notices().into_iter().chain(said).collect()
    }
}

/// Returns the number of lines to skip in a CSV file other than the run's own, up to the number in that one: all lines
/// before the header, or without a header those before the first row that is valid for the model. If there is no such
/// line, it is the number in the run's own file, and errors are reported when the rows are read.
pub(crate) fn lines_before_rows(config: &DataConfig, schema: &Schema, memory: &State, with_targets: bool) -> usize {
    let usual = config.skip_lines.unwrap_or(0);
    let begins_after = |lines: &usize| {
        let config = DataConfig { skip_lines: Some(*lines), ..config.clone() };
        let Ok(mut records) = CsvRecords::in_file(&config) else { return false };
        let decoder = Decoder::new(&config, schema, memory, with_targets, records.names(), records.width());
        match decoder {
            Ok(_) if records.names().is_some() => true,
            Ok(mut decoder) => match records.next() {
                Ok(Some(record)) => decoder.push(|column| records.value(&record, column)).is_ok(),
                Ok(None) | Err(_) => false,
            },
            Err(_) => false,
        }
    };
    // The file is opened for each candidate, so their number is bounded; more lines before a table are not an accident.
    (0..usual.min(100)).find(begins_after).unwrap_or(usual)
}

impl<R: Records> Iterator for TableRows<R> {
    type Item = Result<ReadRows, DataError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let batch = self.batch().transpose();
        self.ended = !matches!(batch, Some(Ok(_)));
        batch
    }
}

/// Converts the records of a file to rows.
struct Decoder {
    places: Places,
    encoding: Encoding,
    statistics: Option<Statistics>,
    scale: Option<TargetScale>,
    options: FrameOptions,
    targets: TargetKind,
    classes: Option<Vec<String>>,
    builder: Builder,
    rows: usize,
    values: Vec<f32>,
    labels: Vec<u32>,
    /// Number of rows so far, and by column those with a category that no training row has.
    rows_before: usize,
    unseen: BTreeMap<usize, Unseen>,
}

/// Positions of the features in a record, in the order of the model, and of the labels if they are requested.
struct Places {
    features: Vec<usize>,
    labels: Vec<usize>,
}

impl Decoder {
    /// Creates a decoder for a file at `path` whose columns have these `names`, or are `count` without names.
    fn new(
        config: &DataConfig,
        schema: &Schema,
        memory: &State,
        with_targets: bool,
        names: Option<&[String]>,
        count: usize,
    ) -> Result<Self, DataError> {
        let absent = || StateError::Malformed("the columns of the table are not there".to_owned());
        let layout = schema.names.columns.as_ref();
        let layout = layout.filter(|layout| layout.labels().all(|label| label < layout.all.len()));
        let layout = layout.ok_or_else(absent)?;
        let known: Option<Vec<&str>> =
            layout.features().map(|place| layout.all.get(place).map(String::as_str)).collect();
        let (scale, json) = TargetScale::split(&memory.json)?;
        let encoding = Encoding::restore(&json, &known.ok_or_else(absent)?)?;
        let width = encoding.width();
        if schema.input != Input::Numbers(vec![width]) {
            return Err(
                StateError::Malformed(format!("columns are {width} numbers, and a row {}", schema.input)).into()
            );
        }
        let statistics = (!memory.tensors.is_empty()).then(|| Statistics::read(memory, width)).transpose()?;
        // If the run's columns had no names, names of another file are ignored.
        let names = names.filter(|_| config.header.unwrap_or(true));
        let places = Places::find(&config.path, layout, names, count, with_targets)?;
        let mut options = TableOptions::new(config)?.frame;
        if !encoding.missing_by_number {
            options.compare_words();
        }
        Ok(Self {
            builder: Builder::new(encoding.roles(), options.clone()),
            places,
            encoding,
            statistics,
            scale,
            options,
            targets: schema.targets,
            classes: schema.names.classes.clone(),
            rows: 0,
            values: Vec::new(),
            labels: Vec::new(),
            rows_before: 0,
            unseen: BTreeMap::new(),
        })
    }

    /// Adds the next record, whose field in a column of the file is `value`. A problem comes with the column.
    fn push<'a>(&mut self, value: impl Fn(usize) -> Result<Value<'a>, Problem>) -> Result<(), (usize, Problem)> {
        for feature in 0..self.places.features.len() {
            let column = self.places.features[feature];
            let pushed = value(column).and_then(|value| match (value, self.encoding.categories(feature)) {
                // In a text file the same value is a word.
                (Value::Number(Number::Stored(stored)), Some(known)) => {
                    self.builder.push(feature, Value::Word(&stored.among(known)))
                }
                _ => self.builder.push(feature, value),
            });
            pushed.map_err(|problem| (column, problem))?;
        }
        for label in 0..self.places.labels.len() {
            let column = self.places.labels[label];
            value(column).and_then(|value| self.push_label(value)).map_err(|problem| (column, problem))?;
        }
        self.rows += 1;
        Ok(())
    }

    fn push_label(&mut self, label: Value<'_>) -> Result<(), Problem> {
        let written;
        let text = match (label, self.targets) {
            (Value::Missing | Value::Text(""), _) => return Err(Problem::NoLabel),
            (Value::List(_), _) => return Err(Problem::ListAsOne),
            (Value::Number(number), TargetKind::Values { .. }) => {
                return self.push_value(number.value()?);
            }
            (Value::Number(number), TargetKind::Classes { .. }) => {
                written = match (number, &self.classes) {
                    (Number::Stored(stored), Some(names)) => stored.among(names),
                    _ => number.to_string(),
                };
                &written
            }
            (Value::Text(text) | Value::Word(text), _) => text,
        };
        match (self.targets, &self.classes) {
            (TargetKind::Values { .. }, _) => self.push_value(value::number(text)?)?,
            (TargetKind::Classes { .. }, Some(names)) => {
                let class = class_of(names, text).ok_or_else(|| Problem::UnknownClass(quoted(text)));
                self.labels.push(class?);
            }
            (TargetKind::Classes { count }, None) => self.labels.push(class_below(value::class(text)?, count)?),
        }
        Ok(())
    }

    fn push_value(&mut self, value: f64) -> Result<(), Problem> {
        self.options.check_target(value)?;
        self.values.push(value as f32);
        Ok(())
    }

    /// Whether a batch is full.
    fn is_full(&self) -> bool {
        self.rows >= EVALUATION_ROWS
    }

    /// Returns the records since the last call as rows; `None` if there are none.
    fn take(&mut self) -> Result<Option<ReadRows>, DataError> {
        let rows = std::mem::take(&mut self.rows);
        if rows == 0 {
            return Ok(None);
        }
        let fresh = Builder::new(self.encoding.roles(), self.options.clone());
        let columns = std::mem::replace(&mut self.builder, fresh).features();
        let encoder = self.encoding.encoder(&columns);
        for (place, found) in encoder.unseen(0..rows) {
            let unseen = self.unseen.entry(place).or_insert(Unseen { rows: 0, ..found.clone() });
            unseen.rows += found.rows;
        }
        self.rows_before += rows;
        let numbers = encoder.encode(0..rows);
        let inputs = match &self.statistics {
            Some(statistics) => statistics.apply(&numbers),
            None => numbers.into_iter().map(|number| number as f32).collect(),
        };
        let inputs = Tensor::from_vec(inputs, (rows, self.encoding.width()), &Device::Cpu)?;
        let (values, labels) = (std::mem::take(&mut self.values), std::mem::take(&mut self.labels));
        let targets = match self.targets {
            _ if self.places.labels.is_empty() => None,
            TargetKind::Values { width } => {
                let values = self.scale.as_ref().map_or_else(|| values.clone(), |scale| scale.apply(&values));
                Some(Tensor::from_vec(values, (rows, width), &Device::Cpu)?)
            }
            TargetKind::Classes { .. } => Some(Tensor::from_vec(labels, rows, &Device::Cpu)?),
        };
        Ok(Some(ReadRows { inputs, targets, names: None }))
    }
}

impl Places {
    /// Returns all columns that are read.
    fn all(&self) -> Vec<usize> {
        [&self.features[..], &self.labels].concat()
    }

    /// Finds columns by name if they have names, otherwise by their numbers in the model's data.
    fn find(
        path: &Path,
        layout: &Columns,
        names: Option<&[String]>,
        count: usize,
        with_labels: bool,
    ) -> Result<Self, DataError> {
        let known: Vec<usize> = layout.features().chain(layout.labels()).collect();
        let is_distinct = double(&layout.all, known).is_none();
        // The columns of the run's own file are found by position, even if two of them have the same name.
        let names = names.filter(|&names| is_distinct && names != layout.all);
        let Some(names) = names else { return Self::count(path, layout, count, with_labels) };
        let place = |name: &String| {
            let is_called = |column: &usize| names.get(*column).is_some_and(|found| found.trim() == name.trim());
            let found: Vec<usize> = (0..names.len()).filter(is_called).collect();
            match *found.as_slice() {
                [place] => Ok(place),
                [first, second, ..] => {
                    let (path, name, remedy) = (path.into(), name.trim().to_owned(), "rename one of them in the file");
                    Err(TableError::DoubleName { path, name, first, second, remedy })
                }
                [] => {
                    let hint = hint(name, &names.iter().map(String::as_str).collect::<Vec<_>>());
                    Err(TableError::MissingColumn { path: path.into(), name: name.clone(), hint })
                }
            }
        };
        let features = layout.features().filter_map(|feature| layout.all.get(feature)).map(place);
        let features = features.collect::<Result<_, _>>()?;
        let labels = layout.labels().filter(|_| with_labels).filter_map(|label| layout.all.get(label)).map(place);
        Ok(Self { features, labels: labels.collect::<Result<_, _>>()? })
    }

    fn count(path: &Path, layout: &Columns, count: usize, with_labels: bool) -> Result<Self, DataError> {
        let (trained, labels): (usize, Vec<usize>) = (layout.all.len(), layout.labels().collect());
        if count == trained {
            let labels = if with_labels { labels } else { Vec::new() };
            return Ok(Self { features: layout.features().collect(), labels });
        }
        if count + labels.len() == trained && !with_labels {
            let before = |feature: usize| labels.iter().filter(|label| **label < feature).count();
            let features = layout.features().map(|feature| feature - before(feature)).collect();
            return Ok(Self { features, labels: Vec::new() });
        }
        Err(TableError::OtherColumns { path: path.into(), found: count, trained, label: layout.label }.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout() -> Columns {
        Columns {
            all: ["a", "label", "note", "b"].map(str::to_owned).to_vec(),
            label: 1,
            more_labels: Vec::new(),
            ignored: vec![2],
        }
    }

    fn places(names: Option<&[&str]>, count: usize, with_label: bool) -> Result<(Vec<usize>, Option<usize>), String> {
        let names: Option<Vec<String>> = names.map(|names| names.iter().map(|&name| name.to_owned()).collect());
        let found = Places::find(Path::new("new.csv"), &layout(), names.as_deref(), count, with_label);
        found.map(|places| (places.features, places.labels.first().copied())).map_err(|error| error.to_string())
    }

    #[test]
    fn columns_are_found_by_name_wherever_they_stand() {
        assert_eq!(places(Some(&["more", "b", "a"]), 3, false), Ok((vec![2, 1], None)));
        assert_eq!(places(Some(&["label", "b", "a"]), 3, true), Ok((vec![2, 1], Some(0))));
        let message = places(Some(&["a", "B"]), 2, false).unwrap_err();
        assert_eq!(
            message,
            "new.csv has no column `b`, which the model was trained on; did you mean `B`? It has `a`, `B`"
        );
        assert!(places(Some(&["a", "b"]), 2, true).unwrap_err().contains("no column `label`"));
    }

    #[test]
    fn columns_without_names_are_counted_with_or_without_the_label() {
        assert_eq!(places(None, 4, true), Ok((vec![0, 3], Some(1))));
        assert_eq!(places(None, 4, false), Ok((vec![0, 3], None)));
        assert_eq!(places(None, 3, false), Ok((vec![0, 2], None)));
        for (count, with_label) in [(3, true), (2, false), (5, false)] {
            let message = places(None, count, with_label).unwrap_err();
            let expected = "and the model was trained on 4; its label is column 1";
            assert!(message.starts_with(&format!("new.csv has {count} columns, ")) && message.ends_with(expected));
        }
    }
}
