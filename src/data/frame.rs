//! A table as read: a column of numbers or of categories for each feature, and a column of targets.

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::path::Path;

use super::classes::LabelsOf;
use super::error::quoted;
use super::labels::{Finished, LabelKind, Labels};
use super::lists::Lists;
use super::looks::is_missing_elsewhere;
use super::rows::OF_A_TABLE;
use super::value::{Value, number};
use super::{Columns, DataError, Problem, TargetTransform, Targets};
use crate::Notice;

/// A table in memory, with missing values.
#[derive(Debug)]
pub(super) struct Frame {
    pub columns: Vec<Column>,
    pub targets: Targets,
    /// The names of the classes in the order of their numbers, if they have names.
    pub classes: Option<Vec<String>>,
    /// All columns of the file.
    pub layout: Columns,
    /// Likely mistakes found while reading.
    pub notices: Vec<Notice>,
}

/// A feature column.
#[derive(Debug)]
pub(super) struct Column {
    pub name: String,
    pub cells: Cells,
    /// Whether the user declares it a column of categories.
    pub named: bool,
}

/// The values of a column, row after row.
#[derive(Debug)]
pub(super) enum Cells {
    /// NaN for missing values.
    Numbers(Vec<f64>),
    /// Words; the empty word for missing values.
    Categories(Words),
    /// A list of numbers in each row.
    Lists(Lists),
}

impl Cells {
    /// Returns the number of rows without a value.
    pub fn missing(&self) -> usize {
        match self {
            Self::Numbers(numbers) => numbers.iter().filter(|number| number.is_nan()).count(),
            Self::Categories(words) => {
                let is_missing = |word: &&u32| words.distinct.get(**word as usize).is_some_and(String::is_empty);
                words.rows.iter().filter(is_missing).count()
            }
            Self::Lists(lists) => lists.rows().filter(|list| list.iter().any(|number| number.is_nan())).count(),
        }
    }
}

impl Cells {
    /// Whether every row has the same value.
    pub fn are_constant(&self) -> bool {
        match self {
            Self::Numbers(numbers) => numbers.windows(2).all(|pair| pair[0] == pair[1]),
            Self::Categories(words) => words.distinct.len() == 1,
            Self::Lists(lists) => lists.rows().zip(lists.rows().skip(1)).all(|(list, next)| list == next),
        }
    }
}

/// Interned words: each distinct one once, and its number in each row.
#[derive(Debug, Default)]
pub(super) struct Words {
    distinct: Vec<String>,
    numbers: HashMap<String, u32>,
    rows: Vec<u32>,
}

impl Words {
    /// Adds the word of the next row, and returns its index in [`Words::distinct`].
    pub fn push(&mut self, word: &str) -> u32 {
        let number = match self.numbers.get(word) {
            Some(&number) => number,
            None => {
                let number = self.distinct.len() as u32;
                self.numbers.insert(word.to_owned(), number);
                self.distinct.push(word.to_owned());
                number
            }
        };
        self.rows.push(number);
        number
    }

    /// Whether a word is among them.
    pub fn contains(&self, word: &str) -> bool {
        self.numbers.contains_key(word)
    }

    /// Returns the distinct words, in order of first appearance.
    pub fn distinct(&self) -> &[String] {
        &self.distinct
    }

    /// Returns the index in [`Words::distinct`] of the word of each row.
    pub fn rows(&self) -> &[u32] {
        &self.rows
    }
}

/// The role of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// A target, with its place among the targets of a row.
    Target(usize),
    Ignored,
    Feature,
    /// A feature with number values.
    Number,
    /// A feature with categories, even if they look like numbers.
    Category,
    /// A feature with a list of this many numbers in each row.
    List(usize),
}

/// Options of reading values as targets and features.
#[derive(Clone, Debug)]
pub(super) struct FrameOptions {
    /// How the label becomes a target.
    pub labels: LabelKind,
    /// The text of missing labels, which are an error.
    pub missing_labels: Vec<String>,
    pub classes: Option<NonZeroUsize>,
    /// The transformation of targets that are values.
    pub transform: Option<TargetTransform>,
    /// The text of missing values; `None` if no value may be missing.
    pub missing_values: Option<Vec<String>>,
    /// Whether the run has begun, in which case likely mistakes are only reported, not errors.
    pub has_begun: bool,
}

impl FrameOptions {
    /// Refuses a value that cannot be a target.
    pub fn check_target(&self, value: f64) -> Result<(), Problem> {
        if self.labels == LabelKind::ZeroOrOne && value != 0.0 && value != 1.0 {
            return Err(Problem::NeitherZeroNorOne(value.to_string()));
        }
        self.transform.map_or(Ok(()), |transform| transform.require(value))
    }
}

/// A [`Frame`] under construction.
pub(super) struct Builder {
    options: FrameOptions,
    /// By column of the file.
    columns: Vec<ColumnBuilder>,
    names: Vec<String>,
    /// Whether no other classes follow than those so far.
    classes_are_known: bool,
}

enum ColumnBuilder {
    Target {
        labels: Labels,
        place: usize,
    },
    Ignored,
    /// A number of rows, all missing; the first present value determines the kind of the column.
    Unknown(usize),
    Numbers(Vec<f64>),
    Categories {
        words: Words,
        named: bool,
    },
    Lists(Lists),
}

impl Builder {
    /// Creates a builder for columns of these names and roles.
    pub fn new(columns: impl IntoIterator<Item = (String, Role)>, options: FrameOptions) -> Self {
        let filling = |role| match role {
            Role::Target(place) => ColumnBuilder::Target { labels: Labels::Unknown(options.labels), place },
            Role::Ignored => ColumnBuilder::Ignored,
            Role::Feature => ColumnBuilder::Unknown(0),
            Role::Number => ColumnBuilder::Numbers(Vec::new()),
            Role::Category => ColumnBuilder::Categories { words: Words::default(), named: true },
            Role::List(width) => Lists::new(width, 0).map_or(ColumnBuilder::Unknown(0), ColumnBuilder::Lists),
        };
        let (names, columns) = columns.into_iter().map(|(name, role)| (name, filling(role))).unzip();
        Self { options, columns, names, classes_are_known: false }
    }

    /// Refuses other classes than those so far from now on.
    pub fn know_classes(&mut self) {
        self.classes_are_known = true;
    }

    /// Adds the next value of a column.
    pub fn push(&mut self, column: usize, value: Value) -> Result<(), Problem> {
        if let Some(ColumnBuilder::Target { labels, .. }) = self.columns.get_mut(column) {
            let is_missing = |text: &str| self.options.missing_labels.iter().any(|missing| missing == text);
            match value {
                Value::Text("") => return Err(Problem::NoLabel),
                Value::Text(text) if is_missing(text) => return Err(Problem::LabelForMissing(quoted(text))),
                value if self.classes_are_known => labels.require_known(value, self.options.classes)?,
                _ => {}
            }
            labels.push(value, self.options.classes)?;
            return labels.last_value().map_or(Ok(()), |value| self.options.check_target(value));
        }
        let known = self.options.missing_values.as_ref();
        let is_missing = |text: &str| known.is_some_and(|known| known.iter().any(|missing| missing == text));
        let value = match value {
            Value::Text(text) if is_missing(text) => Value::Missing,
            Value::Text("") => return Err(Problem::Empty),
            value => value,
        };
        match self.columns.get_mut(column) {
            Some(ColumnBuilder::Ignored | ColumnBuilder::Target { .. }) | None => Ok(()),
            Some(_) if known.is_none() && value.is_missing() => Err(Problem::Empty),
            Some(feature) => feature.push(value),
        }
    }

    /// Returns a lower bound of the bytes of the values so far: 8 for a number, 4 for a word.
    pub fn bytes(&self) -> u64 {
        let of_words = |words: &Words| words.rows().len() * 4;
        let sizes = self.columns.iter().map(|column| match column {
            ColumnBuilder::Ignored | ColumnBuilder::Unknown(_) => 0,
            ColumnBuilder::Numbers(numbers) => numbers.len() * 8,
            ColumnBuilder::Target { labels, .. } => labels.bytes(),
            ColumnBuilder::Categories { words, .. } => of_words(words),
            ColumnBuilder::Lists(lists) => lists.bytes(),
        });
        sizes.sum::<usize>() as u64
    }

    /// Returns the table of the file at `path`; `names` are those of its target columns for messages.
    pub fn finish(self, path: &Path, names: Vec<String>) -> Result<Frame, DataError> {
        let (declared, has_begun) = (self.options.classes, self.options.has_begun);
        let (columns, labels, layout) = self.into_columns();
        let mut finished = Vec::new();
        for (labels, place) in labels.into_iter().zip(names) {
            let (otherwise, too_many) = (OTHER_LABEL, OF_A_TABLE);
            let labels_of = LabelsOf { path, place: Some(place), otherwise, too_many, has_begun };
            finished.push(labels.finish(&labels_of, declared)?);
        }
        let (targets, classes, notices) = side_by_side(finished).ok_or(DataError::NoRows { path: path.into() })?;
        Ok(Frame { columns, targets, classes, layout, notices })
    }

    /// Returns only the feature columns, for rows that may have no target.
    pub fn features(self) -> Vec<Column> {
        self.into_columns().0
    }

    fn into_columns(self) -> (Vec<Column>, Vec<Labels>, Columns) {
        let (mut columns, mut targets) = (Vec::new(), Vec::new());
        let mut layout = Columns { all: self.names.clone(), ..Columns::default() };
        for (place, (name, filling)) in self.names.into_iter().zip(self.columns).enumerate() {
            let named = matches!(filling, ColumnBuilder::Categories { named: true, .. });
            let cells = match filling {
                ColumnBuilder::Target { labels, place: among } => {
                    targets.push((among, place, labels));
                    continue;
                }
                ColumnBuilder::Ignored => {
                    layout.ignored.push(place);
                    continue;
                }
                ColumnBuilder::Unknown(rows) => Cells::Numbers(vec![f64::NAN; rows]),
                ColumnBuilder::Numbers(numbers) => Cells::Numbers(numbers),
                ColumnBuilder::Categories { words, .. } => Cells::Categories(words),
                ColumnBuilder::Lists(lists) => Cells::Lists(lists),
            };
            columns.push(Column { name, cells, named });
        }
        targets.sort_by_key(|(among, ..)| *among);
        let mut places = targets.iter().map(|(_, place, _)| *place);
        layout.label = places.next().unwrap_or_default();
        layout.more_labels = places.collect();
        (columns, targets.into_iter().map(|(.., labels)| labels).collect(), layout)
    }
}

impl ColumnBuilder {
    /// Adds a value of a feature.
    fn push(&mut self, value: Value) -> Result<(), Problem> {
        if let Self::Unknown(missing) = *self {
            match value {
                Value::Missing => {
                    *self = Self::Unknown(missing + 1);
                    return Ok(());
                }
                Value::Text(text) if text.parse::<f64>().is_ok() => *self = Self::Numbers(vec![f64::NAN; missing]),
                Value::Number(_) => *self = Self::Numbers(vec![f64::NAN; missing]),
                Value::List(list) => *self = Self::Lists(Lists::new(list.len(), missing)?),
                Value::Text(_) | Value::Word(_) => {
                    let mut words = Words::default();
                    for _ in 0..missing {
                        words.push("");
                    }
                    *self = Self::Categories { words, named: false };
                }
            }
        }
        match self {
            Self::Numbers(numbers) => numbers.push(match value {
                Value::Missing => f64::NAN,
                Value::Number(number) => number.value()?,
                Value::Text(text) | Value::Word(text) => number(text)?,
                Value::List(_) => return Err(Problem::ListAsOne),
            }),
            Self::Categories { words, named } => {
                match value {
                    Value::Missing => words.push(""),
                    Value::Text(text) if !*named && text.parse::<f64>().is_ok() => {
                        let first = words.distinct().iter().find(|word| !word.is_empty());
                        return Err(
                            match first.filter(|_| words.distinct().iter().all(|word| is_missing_elsewhere(word))) {
                                Some(word) => Problem::BeganWithMissing(quoted(word)),
                                None => Problem::NumberAmongWords(quoted(text)),
                            },
                        );
                    }
                    Value::Text(text) | Value::Word(text) => words.push(text),
                    Value::Number(number) => words.push(&number.to_string()),
                    Value::List(_) => return Err(Problem::ListAsOne),
                };
            }
            Self::Lists(lists) => match value {
                Value::Missing => lists.push_missing(),
                Value::List(list) => lists.push(list)?,
                Value::Number(_) | Value::Word(_) | Value::Text(_) => return Err(Problem::NotAList),
            },
            Self::Target { .. } | Self::Ignored | Self::Unknown(_) => {}
        }
        Ok(())
    }
}

/// Joins the targets of several columns, which are values: those of a row follow each other. `None` without a column.
fn side_by_side(mut columns: Vec<Finished>) -> Option<Finished> {
    if columns.len() < 2 {
        return columns.pop();
    }
    let (mut of_columns, mut notices) = (Vec::new(), Vec::new());
    for (targets, _, said) in columns {
        notices.extend(said);
        match targets {
            Targets::Values { values, .. } => of_columns.push(values),
            Targets::Classes { .. } => return None,
        }
    }
    let (rows, width) = (of_columns.first().map_or(0, Vec::len), of_columns.len());
    let row = |row: usize| of_columns.iter().filter_map(move |values| values.get(row)).copied();
    let values = (0..rows).flat_map(row).collect();
    Some((Targets::Values { values, width }, None, notices))
}

/// The remedy if the label is another column.
const OTHER_LABEL: &str = "set `data.label` to the column of the label (by default the last one), or \
                           `data.task = \"regression\"` if labels are values";
