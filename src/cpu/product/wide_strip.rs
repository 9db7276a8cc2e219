//! Strips of a factor, as [`super::strip`], whose numbers of bf16 are widened to f32: for each step of the inner
//! dimension the numbers of sixteen rows of the left factor, or of sixteen columns of the right one. Numbers beyond the
//! last row or column are zeros.

use std::arch::x86_64::*;

use half::bf16;

use super::Numbers;
use super::strip::{Source, WIDTH, ZERO, transposed};

/// Returns the numbers in a strip of this depth.
pub(super) fn len(depth: usize) -> usize {
    depth * WIDTH
}

/// Writes strips `2 * pair` and `2 * pair + 1` of a factor to `to`, which has room for both.
///
/// # Safety
/// The processor has AVX-512 with BF16, the factor's memory can be read, and it has the first of the strips.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
pub(super) unsafe fn write_strips(source: &Source, pair: usize, to: *mut u32) {
    // SAFETY: as promised by the caller.
    unsafe {
        match source.numbers {
            Numbers::F32(numbers) => write(source, numbers, pair, to),
            Numbers::Bf16(numbers) => write(source, numbers, pair, to),
        }
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
unsafe fn write<N: Number>(source: &Source, numbers: *const N, pair: usize, to: *mut u32) {
    for step in (0..source.depth).step_by(WIDTH) {
        let depth = (source.depth - step).min(WIDTH);
        for strip in 0..2 {
            let first = (2 * pair + strip) * WIDTH;
            let width = source.count.saturating_sub(first).min(WIDTH);
            // SAFETY: as promised by the caller; a strip beyond the factor reads nothing.
            unsafe {
                let from = numbers.wrapping_add(first * source.across + step * source.along);
                let lines = if width == 0 { [ZERO; WIDTH] } else { lines(source, from, width, depth) };
                let to = to.add(strip * len(source.depth) + step * WIDTH);
                for (i, line) in lines.into_iter().enumerate().take(depth) {
                    _mm512_storeu_si512(to.add(i * WIDTH).cast(), line);
                }
            }
        }
    }
}

/// Returns the lines of up to sixteen steps with `width` rows or columns, whose first element is at `from`.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
unsafe fn lines<N: Number>(source: &Source, from: *const N, width: usize, depth: usize) -> [__m512i; WIDTH] {
    let (across, along) = (source.across, source.along);
    let load = |is_there: bool, at: usize, count: usize| match is_there {
        // SAFETY: the elements are within the factor.
        true => unsafe { N::load(from.add(at), count) },
        false => ZERO,
    };
    let gathered = |step: usize| {
        let number = |i: usize| match i < width && step < depth {
            // SAFETY: the element is within the factor.
            true => u32::from(unsafe { *from.add(i * across + step * along) }.rounded().to_bits()) << 16,
            false => 0,
        };
        let numbers: [u32; WIDTH] = std::array::from_fn(number);
        // SAFETY: sixteen numbers are read.
        unsafe { _mm512_loadu_si512(numbers.as_ptr().cast()) }
    };
    match (across, along) {
        (_, 1) => transposed(std::array::from_fn(|i| load(i < width, i * across, depth))),
        (1, _) => std::array::from_fn(|step| load(step < depth, step * along, width)),
        _ => std::array::from_fn(gathered),
    }
}

/// The element types of factors.
trait Number: Copy {
    fn rounded(self) -> bf16;

    /// Reads `count` elements, at most sixteen, as numbers of f32 that bf16 has too.
    unsafe fn load(from: *const Self, count: usize) -> __m512i;
}

/// The lowest `count` bits.
fn ones(count: usize) -> u16 {
    if count >= WIDTH { u16::MAX } else { (1 << count) - 1 }
}

impl Number for bf16 {
    fn rounded(self) -> bf16 {
        self
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
    unsafe fn load(from: *const Self, count: usize) -> __m512i {
        // SAFETY: only `count` elements are read.
        let numbers = unsafe { _mm256_maskz_loadu_epi16(ones(count), from.cast()) };
        _mm512_slli_epi32::<16>(_mm512_cvtepu16_epi32(numbers))
    }
}

impl Number for f32 {
    fn rounded(self) -> bf16 {
        bf16::from_f32(self)
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
    unsafe fn load(from: *const Self, count: usize) -> __m512i {
        // SAFETY: only `count` elements are read; both types have one layout.
        let rounded: __m256i =
            unsafe { std::mem::transmute(_mm512_cvtneps_pbh(_mm512_maskz_loadu_ps(ones(count), from))) };
        _mm512_slli_epi32::<16>(_mm512_cvtepu16_epi32(rounded))
    }
}
