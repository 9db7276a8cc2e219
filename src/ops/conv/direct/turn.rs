//! Rows of f32 as blocks of sixteen rows, in which the numbers of a column are adjacent, and back.

use std::arch::x86_64::*;

use super::planes::{LANES, tail_mask};
use crate::cpu::product;

/// Returns the length of turned rows.
pub(super) fn turned_len(rows: usize, width: usize) -> usize {
    rows.next_multiple_of(LANES) * width
}

/// Writes rows of `width` numbers as blocks of sixteen rows: `[rows / 16][width][16]`. Numbers of rows beyond the last
/// are zeros.
#[target_feature(enable = "avx512f")]
pub(super) fn turn(from: &[f32], width: usize, to: &mut [f32]) {
    assert!(from.len().is_multiple_of(width) && to.len() == turned_len(from.len() / width, width), "other rows");
    for (from, to) in from.chunks(LANES * width).zip(to.chunks_exact_mut(LANES * width)) {
        let rows = from.len() / width;
        for first in (0..width).step_by(LANES) {
            let columns = (width - first).min(LANES);
            let row = |row: usize| match row < rows {
                // SAFETY: the columns are within the row.
                true => unsafe {
                    _mm512_maskz_loadu_epi32(tail_mask(columns), from[row * width + first..].as_ptr().cast())
                },
                false => _mm512_setzero_si512(),
            };
            let lines = product::transposed(std::array::from_fn(row));
            for (to, line) in to[first * LANES..][..columns * LANES].chunks_exact_mut(LANES).zip(lines) {
                // SAFETY: `to` has sixteen numbers.
                unsafe { _mm512_storeu_si512(to.as_mut_ptr().cast(), line) };
            }
        }
    }
}

/// Returns the rows that were turned.
#[target_feature(enable = "avx512f")]
pub(super) fn turned_rows(from: &[f32], rows: usize, width: usize) -> Vec<f32> {
    assert!(from.len() == turned_len(rows, width), "other rows");
    let mut to = vec![0.0; rows * width];
    for (from, to) in from.chunks_exact(LANES * width).zip(to.chunks_mut(LANES * width)) {
        for first in (0..width).step_by(LANES) {
            let columns = (width - first).min(LANES);
            let column = |column: usize| match column < columns {
                // SAFETY: a column has sixteen numbers.
                true => unsafe { _mm512_loadu_si512(from[(first + column) * LANES..][..LANES].as_ptr().cast()) },
                false => _mm512_setzero_si512(),
            };
            let lines = product::transposed(std::array::from_fn(column));
            for (to, line) in to.chunks_exact_mut(width).zip(lines) {
                // SAFETY: the columns are within the row.
                unsafe { _mm512_mask_storeu_epi32(to[first..].as_mut_ptr().cast(), tail_mask(columns), line) };
            }
        }
    }
    to
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_turned_and_turned_back() {
        if !is_x86_feature_detected!("avx512f") {
            return;
        }
        for (rows, width) in [(1, 1), (3, 16), (16, 16), (17, 49), (40, 33)] {
            let from: Vec<f32> = (0..rows * width).map(|i| i as f32).collect();
            let mut turned = vec![f32::NAN; turned_len(rows, width)];
            // SAFETY: the processor has the instructions.
            unsafe {
                turn(&from, width, &mut turned);
                assert_eq!(turned_rows(&turned, rows, width), from);
            }
            for (at, &x) in turned.iter().enumerate() {
                let (block, column, row) = (at / (16 * width), at / 16 % width, at % 16);
                let row = block * 16 + row;
                assert_eq!(x, if row < rows { (row * width + column) as f32 } else { 0.0 });
            }
        }
    }
}
