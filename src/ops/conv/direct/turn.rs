//! Rows of f32 as blocks of as many rows as a vector has lanes, in which the numbers of a column are adjacent, and back.

use super::vector::Vector;

/// Returns the length of turned rows, in blocks of `lanes`.
pub(super) fn turned_len(rows: usize, width: usize, lanes: usize) -> usize {
    rows.next_multiple_of(lanes) * width
}

/// Writes rows of `width` numbers as blocks of rows: `[rows / lanes][width][lanes]`. Numbers of rows beyond the last are
/// zeros.
///
/// # Safety
/// The processor has the instructions for `V`, which the caller enables.
#[inline(always)]
pub(super) unsafe fn turn<V: Vector>(from: &[f32], width: usize, to: &mut [f32]) {
    let len = turned_len(from.len() / width, width, V::LANES);
    assert!(from.len().is_multiple_of(width) && to.len() == len, "other rows");
    for (from, to) in from.chunks(V::LANES * width).zip(to.chunks_exact_mut(V::LANES * width)) {
        let rows = from.len() / width;
        for first in (0..width).step_by(V::LANES) {
            let columns = (width - first).min(V::LANES);
            let to = &mut to[first * V::LANES..][..columns * V::LANES];
            // SAFETY: the caller enables the instructions. The columns are within a row, and `to` has room for a vector.
            unsafe {
                V::transpose(
                    #[inline(always)]
                    |row| match row < rows {
                        true => V::load_some(from[row * width + first..].as_ptr(), columns),
                        false => V::zero(),
                    },
                    #[inline(always)]
                    |column, line| {
                        if let Some(to) = to.get_mut(column * V::LANES..(column + 1) * V::LANES) {
                            line.store(to.as_mut_ptr());
                        }
                    },
                );
            }
        }
    }
}

/// Returns the rows that were turned.
///
/// # Safety
/// As [`turn`].
#[inline(always)]
pub(super) unsafe fn turned_rows<V: Vector>(from: &[f32], rows: usize, width: usize) -> Vec<f32> {
    assert!(from.len() == turned_len(rows, width, V::LANES), "other rows");
    let mut to = vec![0.0; rows * width];
    for (from, to) in from.chunks_exact(V::LANES * width).zip(to.chunks_mut(V::LANES * width)) {
        let rows = to.len() / width;
        for first in (0..width).step_by(V::LANES) {
            let columns = (width - first).min(V::LANES);
            // SAFETY: the caller enables the instructions. A column has as many numbers as a vector, and the columns are
            // within a row.
            unsafe {
                V::transpose(
                    #[inline(always)]
                    |column| match column < columns {
                        true => V::load(from[(first + column) * V::LANES..][..V::LANES].as_ptr()),
                        false => V::zero(),
                    },
                    #[inline(always)]
                    |row, line| {
                        if row < rows {
                            line.store_some(columns, to[row * width + first..][..columns].as_mut_ptr());
                        }
                    },
                );
            }
        }
    }
    to
}

#[cfg(test)]
mod tests {
    use std::arch::x86_64::{__m256, __m512};

    use super::super::vector::Registers;
    use super::*;

    /// # Safety
    /// The processor has the instructions for `V`, which the caller enables.
    #[inline(always)]
    unsafe fn check<V: Vector>() {
        for (rows, width) in [(1, 1), (3, 16), (16, 16), (17, 49), (40, 33)] {
            let from: Vec<f32> = (0..rows * width).map(|i| i as f32).collect();
            let mut turned = vec![f32::NAN; turned_len(rows, width, V::LANES)];
            // SAFETY: as promised by the caller.
            unsafe {
                turn::<V>(&from, width, &mut turned);
                assert_eq!(turned_rows::<V>(&turned, rows, width), from);
            }
            for (at, &x) in turned.iter().enumerate() {
                let (block, column, row) = (at / (V::LANES * width), at / V::LANES % width, at % V::LANES);
                let row = block * V::LANES + row;
                assert_eq!(x, if row < rows { (row * width + column) as f32 } else { 0.0 });
            }
        }
    }

    #[test]
    fn rows_are_turned_and_turned_back() {
        #[target_feature(enable = "avx512f")]
        fn in_avx512() {
            // SAFETY: the instructions are enabled.
            unsafe { check::<__m512>() }
        }
        #[target_feature(enable = "avx2,fma")]
        fn in_avx2() {
            // SAFETY: the instructions are enabled.
            unsafe { check::<__m256>() }
        }
        if Registers::Avx512.are_there() {
            // SAFETY: the processor has the instructions.
            unsafe { in_avx512() }
        }
        if Registers::Avx2.are_there() {
            // SAFETY: the processor has the instructions.
            unsafe { in_avx2() }
        }
    }
}
