//! A [`Frame`] under construction, value by value or in blocks of rows.

mod column;

use std::path::Path;

use rayon::prelude::*;

use super::block::{Block, Expected, Filled};
use super::classes::LabelsOf;
use super::frame::{Cells, Column, Frame, FrameOptions, Role};
use super::labels::{Finished, Labels};
use super::rows::OF_A_TABLE;
use super::value::Value;
use super::{Columns, DataError, Problem, Targets};
use crate::memory::{self, Need};
use column::ColumnBuilder;

/// A frame under construction.
pub(super) struct Builder {
    rules: Rules,
    /// By column of the file.
    columns: Vec<ColumnBuilder>,
    names: Vec<String>,
}

/// The options for the values of all columns.
struct Rules {
    options: FrameOptions,
    /// Whether no other classes follow than those so far.
    classes_are_known: bool,
}

impl Builder {
    /// Creates a builder for columns of these names and roles.
    pub fn new(columns: impl IntoIterator<Item = (String, Role)>, options: FrameOptions) -> Self {
        let filling = |(name, role)| (name, ColumnBuilder::new(role, &options));
        let (names, columns) = columns.into_iter().map(filling).unzip();
        Self { rules: Rules { options, classes_are_known: false }, columns, names }
    }

    /// Refuses other classes than those so far from now on.
    pub fn know_classes(&mut self) {
        self.rules.classes_are_known = true;
    }

    /// Adds the next value of a column.
    pub fn push(&mut self, column: usize, value: Value) -> Result<(), Problem> {
        self.columns.get_mut(column).map_or(Ok(()), |column| column.take(value, &self.rules))
    }

    /// Returns what the values of each column must be for a block; `None` if the rows must be read one by one.
    pub fn expected(&self) -> Option<Vec<Expected<'_>>> {
        self.columns.iter().map(|column| column.expected(&self.rules)).collect()
    }

    /// Makes room for the `next` rows and for those that will probably `follow`, where there is no room for the next ones, so
    /// that numbers are not copied each time that the room is doubled.
    pub fn make_room(&mut self, next: usize, follow: usize) {
        let rows = next.saturating_add(follow);
        let mut short: Vec<_> = self.columns.iter_mut().filter_map(|column| column.without_room(next)).collect();
        if short.is_empty() || !has_plenty(short.len(), rows) {
            return;
        }
        for numbers in &mut short {
            // Without so much memory, the rows may still fit.
            let _ = memory::expect_failure(|| numbers.try_reserve(rows));
        }
    }

    /// Adds the rows of `blocks` after `rows` rows, and returns how many blocks were added: those up to the first one with
    /// a value that needs a closer look.
    pub fn extend(&mut self, rows: usize, blocks: Vec<Block>) -> usize {
        let mut end = rows;
        let mut ends = Vec::with_capacity(blocks.len());
        let mut filled: Vec<Vec<Filled>> = self.columns.iter().map(|_| Vec::new()).collect();
        for block in blocks {
            end += block.rows;
            ends.push(end);
            for (column, cells) in block.columns {
                if let Some(filled) = filled.get_mut(column) {
                    filled.push(cells);
                }
            }
        }
        let (rules, count) = (&self.rules, ends.len());
        let columns = self.columns.par_iter_mut().zip(filled).filter(|(column, _)| !column.is_ignored());
        let taken = columns.map(|(column, cells)| column.append(cells, rules)).min().unwrap_or(count);
        if taken < count {
            let rows = taken.checked_sub(1).and_then(|last| ends.get(last)).copied().unwrap_or(rows);
            self.columns.iter_mut().for_each(|column| column.truncate(rows, &self.rules));
        }
        taken
    }

    /// Returns a lower bound of the bytes of the values so far: 8 for a number, 4 for a word.
    pub fn bytes(&self) -> u64 {
        self.columns.iter().map(ColumnBuilder::bytes).sum::<usize>() as u64
    }

    /// Returns the table of the file at `path`; `names` are those of its target columns for messages.
    pub fn finish(self, path: &Path, names: Vec<String>) -> Result<Frame, DataError> {
        let FrameOptions { classes: declared, has_begun, decimal, .. } = self.rules.options;
        let (columns, labels, layout) = self.into_columns();
        let mut finished = Vec::new();
        for (labels, place) in labels.into_iter().zip(names) {
            let (otherwise, too_many) = (OTHER_LABEL, OF_A_TABLE);
            let labels_of = LabelsOf { path, place: Some(place), otherwise, too_many, has_begun };
            finished.push(labels.finish(&labels_of, declared)?);
        }
        let (targets, classes, notices) = side_by_side(finished).ok_or(DataError::NoRows { path: path.into() })?;
        Ok(Frame { columns, targets, classes, layout, decimal, notices })
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

/// Whether there is much more memory than for rows of this many numbers, so that room for them takes nothing from what other
/// rows need.
pub(super) fn has_plenty(numbers: usize, rows: usize) -> bool {
    let bytes = (4 * 8_u64).saturating_mul(numbers as u64).saturating_mul(rows as u64);
    memory::require("the rows", vec![Need::new("numbers", bytes, "")], 0, Vec::new()).is_ok()
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
