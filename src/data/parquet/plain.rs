//! Columns whose values are stored as they are: doubles one after the other, in pages without a dictionary.
//!
//! The crate's reader of a column clears memory for the values, copies them there, and writes a level for each. Here the
//! values of a page are copied once, some at a time, and looked at while they are in the fastest cache.

use parquet::basic::Encoding;
use parquet::column::page::Page;
use parquet::file::reader::RowGroupReader;

use super::groups::rows;
use crate::cpu::vectorized;
use crate::data::block::NumberRule;
use crate::data::value::Number;

/// How many numbers are looked at after they were copied: as many as stay in the fastest cache.
const FEW: usize = 1024;

/// Adds the doubles of a column in a row group to `numbers`; `None` if they are stored otherwise, a row has none, or one
/// needs a closer look.
pub(super) fn read(
    group: &dyn RowGroupReader,
    leaf: usize,
    rule: NumberRule<'_>,
    numbers: &mut Vec<f64>,
) -> Option<()> {
    let column = group.metadata().column(leaf);
    let is_optional = column.column_descr().max_def_level() > 0;
    let are_there = column.statistics().is_some_and(|statistics| statistics.null_count_opt() == Some(0));
    let are_plain = column.encodings().all(|encoding| matches!(encoding, Encoding::PLAIN | Encoding::RLE));
    if !are_plain || is_optional && !are_there {
        return None;
    }
    let mut rest = rows(group)?;
    let mut pages = group.get_column_page_reader(leaf).ok()?;
    while rest > 0 {
        let page = pages.get_next_page().ok()??;
        let values = values(&page, is_optional)?;
        rest = rest.checked_sub(values.len())?;
        values.chunks(FEW).try_for_each(|some| add(some, rule, numbers))?;
    }
    Some(())
}

/// Returns the values of a page, if they are stored as they are and no row is without one.
///
/// If the column `is_optional`, the page says first which rows have a value.
fn values(page: &Page, is_optional: bool) -> Option<&[[u8; 8]]> {
    let Page::DataPage { buf, num_values, encoding: Encoding::PLAIN, def_level_encoding, .. } = page else {
        return None;
    };
    let count = usize::try_from(*num_values).ok()?;
    let bytes: &[u8] = match is_optional {
        true if *def_level_encoding == Encoding::RLE => after_levels(buf, count)?,
        true => return None,
        false => buf,
    };
    let (values, _) = bytes.as_chunks();
    values.get(..count)
}

/// Returns what follows the levels of `count` rows, if they are one run of the same level, which says that all have a value.
fn after_levels(page: &[u8], count: usize) -> Option<&[u8]> {
    let (length, rest) = page.split_first_chunk()?;
    let (levels, values) = rest.split_at_checked(usize::try_from(u32::from_le_bytes(*length)).ok()?)?;
    let (head, levels) = variable(levels)?;
    // The lowest bit of the head is 0 for a run, and the others are its length.
    let is_whole = head & 1 == 0 && head >> 1 >= count as u64;
    (is_whole && levels.first() == Some(&1)).then_some(values)
}

/// Returns an integer of variable length, 7 bits in a byte and the lowest first, and what follows it.
fn variable(bytes: &[u8]) -> Option<(u64, &[u8])> {
    /// Bytes of 32 bits at most.
    const MOST: usize = 5;
    let length = 1 + bytes.iter().take(MOST).position(|byte| byte & 0x80 == 0)?;
    let (digits, rest) = bytes.split_at_checked(length)?;
    let value = digits.iter().rev().fold(0, |value, digit| (value << 7) | u64::from(digit & 0x7f));
    Some((value, rest))
}

/// Adds some values to `numbers`; `None` if one needs a closer look.
fn add(values: &[[u8; 8]], rule: NumberRule<'_>, numbers: &mut Vec<f64>) -> Option<()> {
    let start = numbers.len();
    numbers.extend(values.iter().map(|&value| f64::from_le_bytes(value)));
    check(numbers.get_mut(start..)?, rule)
}

/// Checks the numbers of some rows, each of which has one; `None` if one needs a closer look.
pub(super) fn check(numbers: &mut [f64], rule: NumberRule<'_>) -> Option<()> {
    if !vectorized(|| are_single(numbers)) {
        return numbers.iter_mut().try_for_each(|number| {
            *number = checked(*number, rule)?;
            Some(())
        });
    }
    if rule.takes_all() {
        return Some(());
    }
    numbers.iter().try_for_each(|&number| rule.checked(number).map(drop))
}

/// Returns a number as it is taken; `None` if it needs a closer look.
pub(super) fn checked(number: f64, rule: NumberRule<'_>) -> Option<f64> {
    match number.is_nan() {
        true => rule.missing(),
        false => rule.checked(Number::Double(number).value().ok()?),
    }
}

/// Whether all numbers are finite in 32 bits.
#[inline(always)]
fn are_single(numbers: &[f64]) -> bool {
    numbers.iter().fold(true, |are, &number| are & (number as f32).is_finite())
}
