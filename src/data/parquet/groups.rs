//! Row groups of a Parquet file, read by columns on all threads.
//!
//! The reader of rows of the crate `parquet` makes a value with a name of each cell. Here the values of a column come in
//! batches, which is many times faster. Columns of lists, decimals, and other types that are rare in tables are left to it,
//! and all mistakes, for their messages.

use std::collections::HashMap;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};

use parquet::basic::{ConvertedType, Type};
use parquet::column::reader::ColumnReaderImpl;
use parquet::data_type::{BoolType, ByteArrayType, DataType, DoubleType, FloatType, Int32Type, Int64Type};
use parquet::file::reader::{FileReader, RowGroupReader};
use rayon::prelude::*;

use super::plain;
use crate::data::block::{Block, Expected, Filled, NumberRule};
use crate::data::value::Number;
use crate::data::words::Words;
use crate::memory;

/// Number of rows of a batch. A file of few bytes may say that it has many rows, so that no more are prepared for.
const BATCH: usize = 8192;

/// For how many rows there is room at most before they are read.
const MOST_ROOM: usize = 1 << 20;

/// Returns the rows of some row groups as columns that are as `expected`, one group after the other; `None` if there is
/// something in them that needs a closer look.
///
/// There is `room` for this many rows, if the groups have fewer.
pub(super) fn read(
    file: &dyn FileReader,
    groups: Range<usize>,
    room: usize,
    expected: &[Expected<'_>],
) -> Option<Block> {
    let group = |group| catch_unwind(AssertUnwindSafe(|| file.get_row_group(group).ok())).ok().flatten();
    let groups = groups.map(group).collect::<Option<Vec<_>>>()?;
    let rows = groups.iter().try_fold(0, |sum: usize, group| sum.checked_add(rows(group.as_ref())?))?;
    let room = room.max(rows).min(MOST_ROOM);
    let leaves = leaves(groups.first()?.as_ref(), expected.len());
    let read = |(place, (expected, leaf)): (usize, (&Expected<'_>, Option<usize>))| {
        let column = || Column { groups: &groups, leaf: leaf?, rows, room }.read(expected);
        // The crate may panic at a damaged file.
        Some((place, catch_unwind(AssertUnwindSafe(column)).ok().flatten()?))
    };
    let used: Vec<(usize, (&Expected<'_>, Option<usize>))> = expected.iter().zip(leaves).enumerate().collect();
    let used = used.into_par_iter().filter(|(_, (expected, _))| !matches!(expected, Expected::Ignored));
    Some(Block { rows, columns: used.map(read).collect::<Option<_>>()? })
}

/// Returns the number of the rows of a row group.
pub(super) fn rows(group: &dyn RowGroupReader) -> Option<usize> {
    usize::try_from(group.metadata().num_rows()).ok()
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

/// A column of some row groups.
struct Column<'a> {
    groups: &'a [Box<dyn RowGroupReader + 'a>],
    leaf: usize,
    /// The number of rows in all of them.
    rows: usize,
    /// For how many numbers there is room at first.
    room: usize,
}

impl Column<'_> {
    fn read(&self, expected: &Expected<'_>) -> Option<Filled> {
        let column = self.groups.first()?.metadata().schema_descr().column(self.leaf);
        let converted = column.converted_type();
        if column.max_rep_level() > 0 || column.max_def_level() > 1 || converted == ConvertedType::DECIMAL {
            return None;
        }
        let integer = |number: i128| Number::Integer(number);
        match column.physical_type() {
            Type::BOOLEAN => self.numbers::<BoolType>(expected, |&yes| integer(yes.into())),
            Type::INT32 => self.numbers::<Int32Type>(expected, |&number| integer(narrowed(number, converted))),
            Type::INT64 if converted == ConvertedType::UINT_64 => {
                self.numbers::<Int64Type>(expected, |&number| integer((number as u64).into()))
            }
            Type::INT64 => self.numbers::<Int64Type>(expected, |&number| integer(number.into())),
            Type::FLOAT => self.numbers::<FloatType>(expected, |&number| Number::Single(number)),
            Type::DOUBLE => match rule(expected) {
                Some(rule) => self.doubles(expected, rule),
                None => self.numbers::<DoubleType>(expected, |&number| Number::Double(number)),
            },
            Type::BYTE_ARRAY => self.words(expected),
            Type::INT96 | Type::FIXED_LEN_BYTE_ARRAY => None,
        }
    }

    /// Returns doubles, mostly without looking at each.
    fn doubles(&self, expected: &Expected<'_>, rule: NumberRule<'_>) -> Option<Filled> {
        let mut numbers = self.room();
        for group in self.groups {
            let start = numbers.len();
            if plain::read(group.as_ref(), self.leaf, rule, &mut numbers).is_none() {
                numbers.truncate(start);
                self.decoded_doubles(group.as_ref(), rule, &mut numbers)?;
            }
        }
        let is_unknown = matches!(expected, Expected::Unknown(_)) && numbers.iter().all(|number| number.is_nan());
        Some(if is_unknown { Filled::Missing(self.rows) } else { Filled::Numbers(numbers) })
    }

    /// Adds the doubles of a row group, in whatever way they are stored.
    fn decoded_doubles(&self, group: &dyn RowGroupReader, rule: NumberRule<'_>, numbers: &mut Vec<f64>) -> Option<()> {
        let mut values = Values::<DoubleType>::of(group, self.leaf)?;
        while values.rest > 0 {
            let start = numbers.len();
            let read = values.read(numbers)?;
            if numbers.len() - start == read {
                plain::check(numbers.get_mut(start..)?, rule)?;
                continue;
            }
            let fresh = numbers.split_off(start);
            each(&fresh, &values.levels, read, |value| {
                numbers.push(value.map_or_else(|| rule.missing(), |&number| plain::checked(number, rule))?);
                Some(())
            })?;
        }
        Some(())
    }

    /// Returns numbers as such, or as words in a column of words.
    fn numbers<T: DataType>(&self, expected: &Expected<'_>, number: impl Fn(&T::T) -> Number) -> Option<Filled> {
        let there = |value: &T::T| Some(number(value)).filter(|number| !number.is_nan());
        match *expected {
            Expected::Ignored => None,
            Expected::Unknown(missing) => {
                let missing = missing.map(|_| f64::NAN);
                let mut numbers = self.room();
                self.each::<T>(|value| {
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
                self.each::<T>(|value| {
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
                self.each::<T>(|value| words.push(value.and_then(there)))?;
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
    fn words(&self, expected: &Expected<'_>) -> Option<Filled> {
        let may_be_missing = match expected {
            Expected::Ignored | Expected::Numbers(_) => return None,
            Expected::Unknown(missing) => missing.is_some(),
            Expected::Words(may_be_missing) => *may_be_missing,
        };
        let (mut words, mut are_all_missing) = (Words::default(), true);
        self.each::<ByteArrayType>(|value| {
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
    fn each<T: DataType>(&self, mut take: impl FnMut(Option<&T::T>) -> Option<()>) -> Option<()> {
        let mut some = Vec::new();
        for group in self.groups {
            let mut values = Values::<T>::of(group.as_ref(), self.leaf)?;
            while values.rest > 0 {
                some.clear();
                let read = values.read(&mut some)?;
                each(&some, &values.levels, read, &mut take)?;
            }
        }
        Some(())
    }
}

/// The values of a column in a row group.
struct Values<T: DataType> {
    reader: ColumnReaderImpl<T>,
    is_optional: bool,
    /// The number of rows that were not read yet.
    rest: usize,
    /// Of the rows that were read last, whether each has a value, if some may have none.
    levels: Vec<i16>,
}

impl<T: DataType> Values<T> {
    fn of(group: &dyn RowGroupReader, leaf: usize) -> Option<Self> {
        let is_optional = group.metadata().schema_descr().column(leaf).max_def_level() > 0;
        let reader = T::get_column_reader(group.get_column_reader(leaf).ok()?)?;
        Some(Self { reader, is_optional, rest: rows(group)?, levels: Vec::new() })
    }

    /// Adds the values of some of the next rows, of those that have one, to `values`, and returns the number of the rows.
    fn read(&mut self, values: &mut Vec<T::T>) -> Option<usize> {
        self.levels.clear();
        let levels = self.is_optional.then_some(&mut self.levels);
        let (read, ..) = self.reader.read_records(self.rest.min(BATCH), levels, None, values).ok()?;
        self.rest = Some(read).filter(|read| *read > 0).and_then(|read| self.rest.checked_sub(read))?;
        Some(read)
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

/// Returns the rule for doubles, if they are not taken as words.
fn rule<'a>(expected: &Expected<'a>) -> Option<NumberRule<'a>> {
    match *expected {
        Expected::Numbers(rule) => Some(rule),
        Expected::Unknown(missing) => Some(NumberRule::of_feature(missing)),
        Expected::Words(_) | Expected::Ignored => None,
    }
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
