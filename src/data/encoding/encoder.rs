//! Converts the columns of a table to numbers, some rows at a time.

use std::ops::Range;

use super::kind::category;
use super::{ColumnEncoding, Encoding, Kind, Precision};
use crate::data::frame::{Cells, Column};
use crate::data::words::Words;

/// Converts the columns of a table to numbers.
pub(in crate::data) struct Encoder<'a> {
    encoding: &'a Encoding,
    columns: &'a [Column],
    /// For each column the category index of each distinct word, if it is a category.
    categories: Vec<Vec<Option<usize>>>,
}

impl Encoding {
    /// Returns the encoder of `columns`.
    pub fn encoder<'a>(&'a self, columns: &'a [Column]) -> Encoder<'a> {
        let categories = columns.iter().zip(&self.columns).map(|(column, ColumnEncoding { encoding, .. })| {
            match (encoding.categories(), &column.cells) {
                (Some(categories), Cells::Categories(words)) => known(words, categories),
                _ => Vec::new(),
            }
        });
        Encoder { encoding: self, columns, categories: categories.collect() }
    }
}

impl Encoder<'_> {
    /// Returns the numbers of some rows, row after row.
    pub fn encode(&self, rows: Range<usize>) -> Vec<f64> {
        let mut values = vec![0.0; rows.len() * self.encoding.width()];
        self.write(rows, &mut values);
        if self.encoding.precision == Precision::Single {
            values.iter_mut().for_each(|value| *value = f64::from(*value as f32));
        }
        values
    }

    /// Writes the numbers of some rows, row after row, rounded once to 32 bits, to places that are all 0.
    pub fn encode_to(&self, rows: Range<usize>, into: &mut [f32]) {
        /// As many rows as the fastest cache holds.
        const FEW: usize = 128;
        let width = self.encoding.width().max(1);
        for (some, into) in into.chunks_mut(FEW * width).enumerate() {
            let start = rows.start + some * FEW;
            self.write(start..rows.end.min(start + FEW), into);
        }
    }

    fn write<T: Real>(&self, rows: Range<usize>, values: &mut [T]) {
        let (width, mut start) = (self.encoding.width().max(1), 0);
        let columns = self.columns.iter().zip(&self.encoding.columns).zip(&self.categories);
        for ((Column { cells, .. }, ColumnEncoding { encoding, .. }), known) in columns {
            let end = start + encoding.width();
            let places = values.chunks_exact_mut(width).map(|row| &mut row[start..end]);
            encoding.encode(cells, known, rows.clone(), places);
            start = end;
        }
    }

    /// Returns which of `rows` have categories that no training row has, for each column with such rows.
    pub fn unseen(&self, rows: impl Iterator<Item = usize> + Clone) -> impl Iterator<Item = (usize, Unseen)> {
        let columns = self.columns.iter().zip(&self.categories).enumerate();
        columns.filter_map(move |(place, (column, known))| {
            let Cells::Categories(words) = &column.cells else { return None };
            let word = |row: usize| words.rows()[row] as usize;
            let mut unknown = rows.clone().filter(|&row| known.get(word(row)).is_some_and(Option::is_none));
            let example = words.distinct()[word(unknown.next()?)].clone();
            Some((place, Unseen { rows: 1 + unknown.count(), example }))
        })
    }
}

/// A number as it is written.
trait Real: Copy {
    /// Rounds a number to this type.
    fn of(number: f64) -> Self;
}

impl Real for f64 {
    fn of(number: f64) -> Self {
        number
    }
}

impl Real for f32 {
    fn of(number: f64) -> Self {
        number as f32
    }
}

/// Rows with a category that no training row has.
#[derive(Clone, Debug)]
pub(in crate::data) struct Unseen {
    pub rows: usize,
    /// The first of those categories.
    pub example: String,
}

impl Kind {
    /// Writes rows of a column to their places, which are all 0. `known` has the category index of each distinct word.
    fn encode<'a, T: Real + 'a>(
        &self,
        cells: &Cells,
        known: &[Option<usize>],
        rows: Range<usize>,
        places: impl Iterator<Item = &'a mut [T]>,
    ) {
        match (self, cells) {
            (Self::Number { fill, indicator }, Cells::Numbers(numbers)) => {
                for (&number, place) in numbers[rows].iter().zip(places) {
                    place[0] = T::of(if number.is_nan() { fill.unwrap_or(0.0) } else { number });
                    if *indicator {
                        place[1] = T::of(number.is_nan().into());
                    }
                }
            }
            (Self::OneHot { .. }, Cells::Categories(words)) => {
                for (&word, place) in words.rows()[rows].iter().zip(places) {
                    known[word as usize].into_iter().for_each(|category| place[category] = T::of(1.0));
                }
            }
            (Self::Ordinal { .. }, Cells::Categories(words)) => {
                for (&word, place) in words.rows()[rows].iter().zip(places) {
                    place[0] = T::of(known[word as usize].map_or(-1.0, |category| category as f64));
                }
            }
            (Self::List { width, fill, indicator }, Cells::Lists(lists)) => {
                for (list, place) in lists.rows().skip(rows.start).take(rows.len()).zip(places) {
                    for (at, (&number, place)) in list.iter().zip(place.iter_mut()).enumerate() {
                        *place = T::of(if number.is_nan() { fill.get(at).copied().unwrap_or(0.0) } else { number });
                    }
                    if *indicator && let Some(mark) = place.get_mut(*width) {
                        *mark = T::of(list.iter().any(|number| number.is_nan()).into());
                    }
                }
            }
            // A column of another kind in training: refused when the encoding was loaded, or when the value was read.
            (_, Cells::Numbers(_) | Cells::Categories(_) | Cells::Lists(_)) => {}
        }
    }
}

/// Returns the index among the sorted `categories` of each distinct word. In runs of earlier versions both zeros may be among
/// them.
fn known(words: &Words, categories: &[String]) -> Vec<Option<usize>> {
    let index = |word: &str| categories.binary_search_by(|known| known.as_str().cmp(word)).ok();
    words.distinct().iter().map(|word| index(word).or_else(|| index(category(word)))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_zeros_are_one_category_unless_a_run_began_with_two() {
        let mut words = Words::default();
        for word in ["0", "-0", "1"] {
            words.push(word);
        }
        let categories = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect::<Vec<_>>();
        assert_eq!(known(&words, &categories(&["0"])), [Some(0), Some(0), None]);
        assert_eq!(known(&words, &categories(&["-0", "0"])), [Some(1), Some(0), None]);
    }
}
