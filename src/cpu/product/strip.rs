//! Strips of a factor: sixteen rows of the left one or columns of the right one, in the order in which a product reads
//! them.
//!
//! A strip is a sequence of blocks of 1 KiB, one for each 32 steps of the inner dimension: sixteen lines of sixteen
//! pairs of bf16. Numbers beyond the ends of the factor are zeros. In a strip of the left factor a line is a row and
//! its pairs are steps; in one of the right factor a line is a pair of steps and its pairs are columns.

use std::arch::x86_64::*;

use half::bf16;

use super::{Numbers, View};

/// Rows or columns of a strip.
pub(super) const WIDTH: usize = 16;

/// Steps of the inner dimension in a block.
pub(super) const STEPS: usize = 32;

/// Pairs of bf16 in a block.
pub(super) const BLOCK: usize = WIDTH * STEPS / 2;

/// Returns the pairs in a strip of this depth.
pub(super) fn len(depth: usize) -> usize {
    depth.div_ceil(STEPS) * BLOCK
}

/// A factor as strips see it: `count` rows or columns, each `across` elements from the one before, with `depth` steps,
/// each `along` elements from the one before.
#[derive(Clone, Copy)]
pub(super) struct Source {
    pub numbers: Numbers,
    pub count: usize,
    pub depth: usize,
    pub across: usize,
    pub along: usize,
}

// SAFETY: threads only read the factor.
unsafe impl Sync for Source {}

impl Source {
    pub fn of_rows(view: &View) -> Self {
        let View { numbers, rows, columns, row_stride, column_stride } = *view;
        Self { numbers, count: rows, depth: columns, across: row_stride, along: column_stride }
    }

    pub fn of_columns(view: &View) -> Self {
        let View { numbers, rows, columns, row_stride, column_stride } = *view;
        Self { numbers, count: columns, depth: rows, across: column_stride, along: row_stride }
    }

    /// Writes strips `2 * pair` and `2 * pair + 1` to `to`, which has room for both. `by_step` for the right factor.
    /// Both at once, because neighbours often share a line of the cache.
    ///
    /// # Safety
    /// The processor has AVX-512 with BF16, the factor's memory can be read, and it has the first of the strips.
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
    pub unsafe fn write_strips(&self, pair: usize, by_step: bool, to: *mut u32) {
        // SAFETY: as promised by the caller.
        unsafe {
            match self.numbers {
                Numbers::F32(numbers) => self.write(numbers, pair, by_step, to),
                Numbers::Bf16(numbers) => self.write(numbers, pair, by_step, to),
            }
        }
    }

    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
    unsafe fn write<N: Number>(&self, numbers: *const N, pair: usize, by_step: bool, to: *mut u32) {
        for (block, step) in (0..self.depth).step_by(STEPS).enumerate() {
            let depth = (self.depth - step).min(STEPS);
            for strip in 0..2 {
                let first = (2 * pair + strip) * WIDTH;
                let width = self.count.saturating_sub(first).min(WIDTH);
                // SAFETY: as promised by the caller; a strip beyond the factor reads nothing.
                unsafe {
                    let from = numbers.wrapping_add(first * self.across + step * self.along);
                    let lines = if width == 0 { [ZERO; 16] } else { self.lines(from, width, depth, by_step) };
                    let to = to.add(strip * len(self.depth) + block * BLOCK);
                    for (i, line) in lines.into_iter().enumerate() {
                        _mm512_storeu_si512(to.add(i * WIDTH).cast(), line);
                    }
                }
            }
        }
    }

    /// Returns the lines of a block with `width` rows or columns and `depth` steps, whose first element is at `from`.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
    unsafe fn lines<N: Number>(&self, from: *const N, width: usize, depth: usize, by_step: bool) -> [__m512i; 16] {
        let (across, along) = (self.across, self.along);
        let row = |i: usize| match i < width {
            // SAFETY: the row is within the factor, as many elements as are read.
            true => unsafe { N::along(from.add(i * across), depth) },
            false => ZERO,
        };
        let pair = |i: usize| {
            let (lower, upper) = (from.wrapping_add(2 * i * along), from.wrapping_add((2 * i + 1) * along));
            let upper = (2 * i + 1 < depth).then_some(upper);
            // SAFETY: steps below `depth` are within the factor.
            if 2 * i < depth { unsafe { N::across(lower, upper, width) } } else { ZERO }
        };
        let element = |i: usize, step: usize| match i < width && step < depth {
            // SAFETY: the element is within the factor.
            true => u32::from(unsafe { *from.add(i * across + step * along) }.rounded().to_bits()),
            false => 0,
        };
        let gathered = |i: usize| {
            let pairs: [u32; 16] = std::array::from_fn(|p| element(i, 2 * p) | element(i, 2 * p + 1) << 16);
            // SAFETY: sixteen numbers are read.
            unsafe { _mm512_loadu_si512(pairs.as_ptr().cast()) }
        };
        let (lines, is_by_step) = match (across, along) {
            (_, 1) => (std::array::from_fn(row), false),
            (1, _) => (std::array::from_fn(pair), true),
            _ => (std::array::from_fn(gathered), false),
        };
        if is_by_step == by_step { lines } else { transposed(lines) }
    }
}

// SAFETY: zeros are numbers.
pub(super) const ZERO: __m512i = unsafe { std::mem::zeroed() };

/// The element types of factors.
trait Number: Copy {
    fn rounded(self) -> bf16;

    /// Sixteen pairs from adjacent elements, of which there are `count`, at most 32.
    unsafe fn along(from: *const Self, count: usize) -> __m512i;

    /// Pairs of an element at `lower` and one at `upper`, of which there are `count` each, at most sixteen.
    unsafe fn across(lower: *const Self, upper: Option<*const Self>, count: usize) -> __m512i;
}

/// The lowest `count` bits.
fn ones(count: usize) -> u32 {
    if count >= 32 { u32::MAX } else { (1 << count) - 1 }
}

impl Number for bf16 {
    fn rounded(self) -> bf16 {
        self
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
    unsafe fn along(from: *const Self, count: usize) -> __m512i {
        // SAFETY: only `count` elements are read.
        unsafe { _mm512_maskz_loadu_epi16(ones(count), from.cast()) }
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
    unsafe fn across(lower: *const Self, upper: Option<*const Self>, count: usize) -> __m512i {
        // SAFETY: only `count` elements are read.
        unsafe {
            let line =
                |from: *const Self| _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(ones(count) as u16, from.cast()));
            let upper = upper.map_or(ZERO, |upper| _mm512_slli_epi32::<16>(line(upper)));
            _mm512_or_si512(line(lower), upper)
        }
    }
}

impl Number for f32 {
    fn rounded(self) -> bf16 {
        bf16::from_f32(self)
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
    unsafe fn along(from: *const Self, count: usize) -> __m512i {
        // SAFETY: only `count` elements are read.
        unsafe {
            let mask = ones(count);
            let lower = _mm512_maskz_loadu_ps(mask as u16, from);
            let upper = _mm512_maskz_loadu_ps((mask >> 16) as u16, from.wrapping_add(16));
            std::mem::transmute(_mm512_cvtne2ps_pbh(upper, lower))
        }
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
    unsafe fn across(lower: *const Self, upper: Option<*const Self>, count: usize) -> __m512i {
        // SAFETY: only `count` elements are read.
        unsafe {
            let line = |from: *const Self| {
                let rounded: __m256i =
                    std::mem::transmute(_mm512_cvtneps_pbh(_mm512_maskz_loadu_ps(ones(count) as u16, from)));
                _mm512_cvtepu16_epi32(rounded)
            };
            let upper = upper.map_or(ZERO, |upper| _mm512_slli_epi32::<16>(line(upper)));
            _mm512_or_si512(line(lower), upper)
        }
    }
}

/// Sixteen lines of sixteen pairs, with lines and columns exchanged.
#[inline]
#[target_feature(enable = "avx512f")]
pub(crate) fn transposed(r: [__m512i; 16]) -> [__m512i; 16] {
    let mut t = [ZERO; 16];
    for i in 0..8 {
        t[2 * i] = _mm512_unpacklo_epi32(r[2 * i], r[2 * i + 1]);
        t[2 * i + 1] = _mm512_unpackhi_epi32(r[2 * i], r[2 * i + 1]);
    }
    let mut s = [ZERO; 16];
    for g in 0..4 {
        let [a, b, c, d] = [t[4 * g], t[4 * g + 1], t[4 * g + 2], t[4 * g + 3]];
        s[4 * g] = _mm512_unpacklo_epi64(a, c);
        s[4 * g + 1] = _mm512_unpackhi_epi64(a, c);
        s[4 * g + 2] = _mm512_unpacklo_epi64(b, d);
        s[4 * g + 3] = _mm512_unpackhi_epi64(b, d);
    }
    let mut u = [ZERO; 16];
    for j in 0..4 {
        let a = _mm512_shuffle_i32x4::<0x88>(s[j], s[4 + j]);
        let b = _mm512_shuffle_i32x4::<0x88>(s[8 + j], s[12 + j]);
        let c = _mm512_shuffle_i32x4::<0xdd>(s[j], s[4 + j]);
        let d = _mm512_shuffle_i32x4::<0xdd>(s[8 + j], s[12 + j]);
        u[j] = _mm512_shuffle_i32x4::<0x88>(a, b);
        u[8 + j] = _mm512_shuffle_i32x4::<0xdd>(a, b);
        u[4 + j] = _mm512_shuffle_i32x4::<0x88>(c, d);
        u[12 + j] = _mm512_shuffle_i32x4::<0xdd>(c, d);
    }
    u
}
