//! Blocks of a product of bf16 by the instructions for f32, to which the numbers have been widened: their products are
//! exact, and each is added to a sum with one rounding.

use std::arch::x86_64::*;

use super::strip::WIDTH;

/// Rows that are computed together: with two registers of columns, sixteen sums that need not wait for each other.
const ROWS: usize = 8;

/// Steps whose numbers stay in the nearest cache while all rows of a tile need them.
const STEPS: usize = 192;

/// Computes 32 by 32 sums of products of two left strips with two right ones, and writes them to `sums`.
///
/// # Safety
/// The processor has AVX-512, the strips have `depth` steps, and `sums` has room for 32 times 32 numbers.
#[target_feature(enable = "avx512f")]
pub(super) unsafe fn multiply(depth: usize, left: [*const u32; 2], right: [*const u32; 2], sums: *mut f32) {
    for step in (0..depth).step_by(STEPS) {
        let steps = STEPS.min(depth - step);
        let right = right.map(|right| right.wrapping_add(step * WIDTH).cast());
        for (strip, left) in left.into_iter().enumerate() {
            for first in (0..WIDTH).step_by(ROWS) {
                // SAFETY: the rows are within the strip and the sums.
                unsafe {
                    let left = left.add(step * WIDTH + first).cast();
                    multiply_rows(steps, left, right, sums.add((strip * WIDTH + first) * 2 * WIDTH), step > 0);
                }
            }
        }
    }
}

/// Computes the sums of some rows over some steps, or adds them to those of earlier steps.
#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn multiply_rows(steps: usize, left: *const f32, right: [*const f32; 2], sums: *mut f32, add: bool) {
    // SAFETY: as promised by the caller.
    unsafe {
        let mut rows = [[_mm512_setzero_ps(); 2]; ROWS];
        if add {
            for (row, of_row) in rows.iter_mut().enumerate() {
                *of_row = [0, WIDTH].map(|column| _mm512_loadu_ps(sums.add(row * 2 * WIDTH + column)));
            }
        }
        for step in 0..steps {
            let columns = right.map(|right| _mm512_loadu_ps(right.add(step * WIDTH)));
            for (row, sums) in rows.iter_mut().enumerate() {
                let x = _mm512_set1_ps(*left.add(step * WIDTH + row));
                *sums = [_mm512_fmadd_ps(x, columns[0], sums[0]), _mm512_fmadd_ps(x, columns[1], sums[1])];
            }
        }
        for (row, [first, second]) in rows.into_iter().enumerate() {
            _mm512_storeu_ps(sums.add(row * 2 * WIDTH), first);
            _mm512_storeu_ps(sums.add(row * 2 * WIDTH + WIDTH), second);
        }
    }
}
