//! Row groups of a Parquet file, read by columns on all threads.
//!
//! The reader of rows of the crate `parquet` makes a value with a name of each cell. Here the values of a column come in
//! batches, which is many times faster. Columns of lists, decimals, and other types that are rare in tables are left to it,
//! and all mistakes, for their messages.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use parquet::basic::ConvertedType;
use parquet::column::reader::{ColumnReader, ColumnReaderImpl};
use parquet::data_type::{ByteArray, ByteArrayType, DataType, DoubleType};
use parquet::file::reader::{FileReader, RowGroupReader};
use rayon::prelude::*;

use crate::cpu::vectorized;
use crate::data::block::{Block, Expected, Filled, NumberRule};
use crate::data::value::Number;
use crate::data::words::Words;
use crate::memory;

/// Number of rows of a batch. A file of few bytes may say that it has many rows, so that no more are prepared for.
const BATCH: usize = 8192;

/// For how many rows there is room at most before they are read.
const MOST_ROOM: usize = 1 << 20;

/// Returns the rows of a row group as columns that are as `expected`; `None` if there is something in it that needs a
/// closer look.
///
/// There is `room` for this many rows, if the group has fewer.
pub(super) fn read(file: &dyn FileReader, group: usize, room: usize, expected: &[Expected<'_>]) -> Option<Block> {
    let group = catch_unwind(AssertUnwindSafe(|| file.get_row_group(group).ok())).ok()??;
    let rows = usize::try_from(group.metadata().num_rows()).ok()?;
    let room = room.max(rows).min(MOST_ROOM);
    let leaves = leaves(group.as_ref(), expected.len());
    let read = |(place, (expected, leaf)): (usize, (&Expected<'_>, Option<usize>))| {
        let column = || Column { group: group.as_ref(), leaf: leaf?, rows, room }.read(expected);
        // The crate may panic at a damaged file.
        Some((place, catch_unwind(AssertUnwindSafe(column)).ok().flatten()?))
    };
    let used: Vec<(usize, (&Expected<'_>, Option<usize>))> = expected.iter().zip(leaves).enumerate().collect();
    let used = used.into_par_iter().filter(|(_, (expected, _))| !matches!(expected, Expected::Ignored));
    Some(Block { rows, columns: used.map(read).collect::<Option<_>>()? })
}

/// Returns the place of each of `count` columns among the leaves of the schema, if it is one itself.
fn leaves(group: &dyn RowGroupReader, count: usize) -> Vec<Option<usize>> {
    let schema = group.metadata().schema_descr();
    let mut places = vec![None; count];
    for leaf in 0..schema.num_columns() {
        let is_whole = schema.column(leaf).path().parts().len() == 1;
        if let Some(place) = places.get_mut(schema.get_column_root_idx(leaf)).filter(|_| is_whole) {
            *place = Some(leaf);
        }
    }
    places
}

/// A column of a row group.
struct Column<'a> {
    group: &'a dyn RowGroupReader,
    leaf: usize,
    rows: usize,
    /// For how many numbers there is room at first.
    room: usize,
}

impl Column<'_> {
    fn read(&self, expected: &Expected<'_>) -> Option<Filled> {
        let column = self.group.metadata().schema_descr().column(self.leaf);
        let converted = column.converted_type();
        if column.max_rep_level() > 0 || column.max_def_level() > 1 || converted == ConvertedType::DECIMAL {
            return None;
        }
        let integer = |number: i128| Number::Integer(number);
        match self.group.get_column_reader(self.leaf).ok()? {
            ColumnReader::BoolColumnReader(reader) => self.numbers(reader, expected, |&yes| integer(yes.into())),
            ColumnReader::Int32ColumnReader(reader) => {
                self.numbers(reader, expected, |&number| integer(narrowed(number, converted)))
            }
            ColumnReader::Int64ColumnReader(reader) if converted == ConvertedType::UINT_64 => {
                self.numbers(reader, expected, |&number| integer((number as u64).into()))
            }
            ColumnReader::Int64ColumnReader(reader) => self.numbers(reader, expected, |&number| integer(number.into())),
            ColumnReader::FloatColumnReader(reader) => self.numbers(reader, expected, |&number| Number::Single(number)),
            ColumnReader::DoubleColumnReader(reader) => self.doubles(reader, expected),
            ColumnReader::ByteArrayColumnReader(reader) => self.words(reader, expected),
            ColumnReader::Int96ColumnReader(_) | ColumnReader::FixedLenByteArrayColumnReader(_) => None,
        }
    }

    /// Returns numbers that are stored as they are needed, mostly without looking at each.
    fn doubles(&self, mut reader: ColumnReaderImpl<DoubleType>, expected: &Expected<'_>) -> Option<Filled> {
        let rule = match *expected {
            Expected::Numbers(rule) => rule,
            Expected::Unknown(missing) => NumberRule::of_feature(missing),
            Expected::Words(_) | Expected::Ignored => {
                return self.numbers(reader, expected, |&number| Number::Double(number));
            }
        };
        let (mut numbers, mut levels) = (self.room(), Vec::new());
        while numbers.len() < self.rows {
            let (start, rest) = (numbers.len(), self.rows - numbers.len());
            let read = self.records(&mut reader, rest, &mut levels, &mut numbers)?;
            let fresh = numbers.get(start..)?;
            if fresh.len() == read && vectorized(|| are_single(fresh)) {
                fresh.iter().try_for_each(|&number| rule.checked(number).map(drop))?;
                continue;
            }
            let fresh = numbers.split_off(start);
            each(&fresh, &levels, read, |value| {
                numbers.push(match value.filter(|value| !value.is_nan()) {
                    Some(&number) => rule.checked(Number::Double(number).value().ok()?)?,
                    None => rule.missing()?,
                });
                Some(())
            })?;
        }
        let is_unknown = matches!(expected, Expected::Unknown(_)) && numbers.iter().all(|number| number.is_nan());
        Some(if is_unknown { Filled::Missing(self.rows) } else { Filled::Numbers(numbers) })
    }

    /// Returns numbers as such, or as words in a column of words.
    fn numbers<T: DataType>(
        &self,
        reader: ColumnReaderImpl<T>,
        expected: &Expected<'_>,
        number: impl Fn(&T::T) -> Number,
    ) -> Option<Filled> {
        let there = |value: &T::T| Some(number(value)).filter(|number| !number.is_nan());
        match *expected {
            Expected::Ignored => None,
            Expected::Unknown(missing) => {
                let missing = missing.map(|_| f64::NAN);
                let mut numbers = self.room();
                self.each(reader, |value| {
                    numbers.push(match value.and_then(there) {
                        Some(number) => number.value().ok()?,
                        None => missing?,
                    });
                    Some(())
                })?;
                let is_unknown = numbers.iter().all(|number| number.is_nan());
                Some(if is_unknown { Filled::Missing(self.rows) } else { Filled::Numbers(numbers) })
            }
            Expected::Numbers(rule) => {
                let mut numbers = self.room();
                self.each(reader, |value| {
                    numbers.push(match value.and_then(there) {
                        Some(number) => rule.checked(number.value().ok()?)?,
                        None => rule.missing()?,
                    });
                    Some(())
                })?;
                Some(Filled::Numbers(numbers))
            }
            Expected::Words(may_be_missing) => {
                let mut words = Named::new(may_be_missing);
                self.each(reader, |value| words.push(value.and_then(there)))?;
                Some(Filled::Words(words.words))
            }
        }
    }

    /// Returns room for the numbers, or for the first of very many.
    fn room(&self) -> Vec<f64> {
        let mut numbers = Vec::new();
        // Without so much memory, the rows may still fit.
        let _ = memory::expect_failure(|| numbers.try_reserve_exact(self.room));
        numbers
    }

    /// Returns words.
    fn words(&self, reader: ColumnReaderImpl<ByteArrayType>, expected: &Expected<'_>) -> Option<Filled> {
        let may_be_missing = match expected {
            Expected::Ignored | Expected::Numbers(_) => return None,
            Expected::Unknown(missing) => missing.is_some(),
            Expected::Words(may_be_missing) => *may_be_missing,
        };
        let (mut words, mut are_all_missing) = (Words::default(), true);
        self.each(reader, |value: Option<&ByteArray>| {
            are_all_missing &= value.is_none();
            let word = match value {
                Some(bytes) => std::str::from_utf8(bytes.data()).ok()?,
                None => may_be_missing.then_some("")?,
            };
            words.push(word);
            Some(())
        })?;
        let is_unknown = are_all_missing && matches!(expected, Expected::Unknown(_));
        Some(if is_unknown { Filled::Missing(self.rows) } else { Filled::Words(words) })
    }

    /// Passes the value of each row to `take`, until this returns `None`, which is then the result.
    fn each<T: DataType>(
        &self,
        mut reader: ColumnReaderImpl<T>,
        mut take: impl FnMut(Option<&T::T>) -> Option<()>,
    ) -> Option<()> {
        let (mut values, mut levels, mut rows) = (Vec::new(), Vec::new(), self.rows);
        while rows > 0 {
            values.clear();
            let read = self.records(&mut reader, rows, &mut levels, &mut values)?;
            rows -= read;
            each(&values, &levels, read, &mut take)?;
        }
        Some(())
    }

    /// Reads some of the next `rows` rows, and returns their number. Values that are there are added to `values`; if some are
    /// not, `levels` say of each row whether it has one.
    fn records<T: DataType>(
        &self,
        reader: &mut ColumnReaderImpl<T>,
        rows: usize,
        levels: &mut Vec<i16>,
        values: &mut Vec<T::T>,
    ) -> Option<usize> {
        levels.clear();
        let is_optional = self.group.metadata().schema_descr().column(self.leaf).max_def_level() > 0;
        let (read, ..) = reader.read_records(rows.min(BATCH), is_optional.then_some(levels), None, values).ok()?;
        (1..=rows).contains(&read).then_some(read)
    }
}

/// Passes the value of each of `rows` rows to `take`, until this returns `None`, which is then the result.
fn each<T>(values: &[T], levels: &[i16], rows: usize, mut take: impl FnMut(Option<&T>) -> Option<()>) -> Option<()> {
    if values.len() == rows {
        return values.iter().try_for_each(|value| take(Some(value)));
    }
    let mut there = values.iter();
    for level in levels.get(..rows)? {
        take(if *level > 0 { Some(there.next()?) } else { None })?;
    }
    Some(())
}

/// Whether all numbers are finite in 32 bits.
#[inline(always)]
fn are_single(numbers: &[f64]) -> bool {
    numbers.iter().fold(true, |are, &number| are & (number as f32).is_finite())
}

/// Numbers as words.
struct Named {
    words: Words,
    may_be_missing: bool,
    /// The index of the word of each number, by its bits.
    known: HashMap<u128, u32>,
}

impl Named {
    fn new(may_be_missing: bool) -> Self {
        Self { words: Words::default(), may_be_missing, known: HashMap::new() }
    }

    fn push(&mut self, number: Option<Number>) -> Option<()> {
        let Some(number) = number else {
            self.words.push(self.may_be_missing.then_some("")?);
            return Some(());
        };
        let bits = match number {
            Number::Integer(number) => number as u128,
            Number::Single(number) => number.to_bits().into(),
            Number::Double(number) => number.to_bits().into(),
            Number::Stored(_) => return None,
        };
        match self.known.get(&bits) {
            Some(&word) => self.words.extend([word]),
            None => {
                let word = self.words.push(&number.to_string());
                self.known.insert(bits, word);
            }
        }
        Some(())
    }
}

/// Returns the number that 32 bits stand for.
fn narrowed(number: i32, converted: ConvertedType) -> i128 {
    match converted {
        ConvertedType::INT_8 => (number as i8).into(),
        ConvertedType::INT_16 => (number as i16).into(),
        ConvertedType::UINT_8 => (number as u8).into(),
        ConvertedType::UINT_16 => (number as u16).into(),
        ConvertedType::UINT_32 => (number as u32).into(),
        _ => number.into(),
    }
}
