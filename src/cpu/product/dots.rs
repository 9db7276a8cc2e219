//! Blocks of a product by AVX-512 with BF16: `vdpbf16ps` adds pairs of products to sixteen sums.

use std::arch::x86_64::*;

use super::strip::{BLOCK, STEPS, WIDTH};

/// Rows that are computed together: with two registers of columns, sixteen sums that need not wait for each other.
const ROWS: usize = 8;

/// Computes 32 by 32 sums of products of two left strips with two right ones, and writes them to `sums`.
///
/// # Safety
/// The processor has the instructions, the strips have `blocks` blocks, and `sums` has room for 32 times 32 numbers.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
pub(super) unsafe fn multiply(blocks: usize, left: [*const u32; 2], right: [*const u32; 2], sums: *mut f32) {
    for (strip, left) in left.into_iter().enumerate() {
        for first in (0..WIDTH).step_by(ROWS) {
            // SAFETY: the rows are within the strip and the sums.
            unsafe {
                let sums = sums.add((strip * WIDTH + first) * 2 * WIDTH);
                multiply_rows(blocks, left.add(first * WIDTH), right, sums);
            }
        }
    }
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
unsafe fn multiply_rows(blocks: usize, left: *const u32, right: [*const u32; 2], sums: *mut f32) {
    // SAFETY: as promised by the caller.
    unsafe {
        let mut rows = [[_mm512_setzero_ps(); 2]; ROWS];
        for block in 0..blocks {
            let (left, right) = (left.add(block * BLOCK), right.map(|right| right.add(block * BLOCK)));
            for pair in 0..STEPS / 2 {
                let columns: [__m512bh; 2] =
                    right.map(|right| std::mem::transmute(_mm512_loadu_si512(right.add(pair * WIDTH).cast())));
                for (row, sums) in rows.iter_mut().enumerate() {
                    let x = std::mem::transmute::<__m512i, __m512bh>(_mm512_set1_epi32(
                        left.add(row * WIDTH + pair).read() as i32,
                    ));
                    *sums = [_mm512_dpbf16_ps(sums[0], x, columns[0]), _mm512_dpbf16_ps(sums[1], x, columns[1])];
                }
            }
        }
        for (row, [first, second]) in rows.into_iter().enumerate() {
            _mm512_storeu_ps(sums.add(row * 2 * WIDTH), first);
            _mm512_storeu_ps(sums.add(row * 2 * WIDTH + WIDTH), second);
        }
    }
}
