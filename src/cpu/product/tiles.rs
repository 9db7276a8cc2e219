//! Products in tiles of 32 by 32 sums.

use std::arch::x86_64::*;
use std::cell::RefCell;
use std::sync::OnceLock;

use super::strip::{self, Source, WIDTH};
use super::{Bias, Instructions, Product, Target, amx, dots, fma, wide_strip};
use crate::cpu::workers;

/// Rows and columns of a tile.
const TILE: usize = 2 * WIDTH;

/// The most tiles of a task, in rows and in columns.
const TASK: [usize; 2] = [4, 8];

/// Operations that are worth a second thread.
const WORTH_A_THREAD: usize = 1 << 21;

/// Returns the best instructions of this processor.
pub(super) fn instructions() -> Option<Instructions> {
    static FOUND: OnceLock<Option<Instructions>> = OnceLock::new();
    *FOUND.get_or_init(|| {
        let has_dots = is_x86_feature_detected!("avx512bf16")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512vl");
        match has_dots {
            true if amx::is_there() => Some(Instructions::Amx),
            // Intel's processors multiply pairs of bf16 at little more than half the speed of f32.
            true if is_intels() => Some(Instructions::Fma),
            true => Some(Instructions::Dots),
            false => None,
        }
    })
}

fn is_intels() -> bool {
    let leaf = __cpuid(0);
    [leaf.ebx, leaf.edx, leaf.ecx].map(u32::to_le_bytes).as_flattened() == b"GenuineIntel"
}

thread_local! {
    /// Memory for strips, which a thread keeps.
    static STRIPS: RefCell<Vec<u32>> = const { RefCell::new(Vec::new()) };
}

/// [`super::multiply`].
///
/// # Safety
/// As there.
pub(super) unsafe fn multiply(product: &Product, instructions: Instructions, parallel: bool) {
    let (left, right) = (Source::of_rows(&product.left), Source::of_columns(&product.right));
    debug_assert_eq!(left.depth, right.depth);
    let is_wide = instructions == Instructions::Fma;
    let strip = if is_wide { wide_strip::len(left.depth) } else { strip::len(left.depth) };
    // Tiles have two strips each way.
    let strips = [left, right].map(|source| source.count.div_ceil(TILE) * 2);
    let is_worth = parallel && left.count * right.count * left.depth * 2 > WORTH_A_THREAD;
    let for_each = |tasks: usize, work: &(dyn Fn(usize) + Sync)| {
        if is_worth { workers::for_each(tasks, work) } else { (0..tasks).for_each(work) }
    };
    with_strips((strips[0] + strips[1]) * strip, |memory| {
        let memory = Memory(memory);
        let pairs = (strips[0] + strips[1]) / 2;
        let each = (1 << 14) / strip.max(1) + 1;
        for_each(pairs.div_ceil(each), &|task| {
            for number in task * each..((task + 1) * each).min(pairs) {
                let to = memory.at(2 * number * strip);
                // SAFETY: as promised by the caller; the strips are those of the factor, and there is room for them.
                unsafe {
                    match number.checked_sub(strips[0] / 2) {
                        None if is_wide => wide_strip::write_strips(&left, number, to),
                        Some(number) if is_wide => wide_strip::write_strips(&right, number, to),
                        None => left.write_strips(number, false, to),
                        Some(number) => right.write_strips(number, true, to),
                    }
                }
            }
        });
        let grid = [0, 1].map(|side| (strips[side] / 2).div_ceil(TASK[side]));
        for_each(grid[0] * grid[1], &|task| {
            let tiles =
                |side: usize, index: usize| index * TASK[side]..((index + 1) * TASK[side]).min(strips[side] / 2);
            let (rows, columns) = (tiles(0, task / grid[1]), tiles(1, task % grid[1]));
            let mut unit = Unit::take(instructions, left.depth);
            for column in columns {
                let right = [0, 1].map(|i| memory.at((strips[0] + 2 * column + i) * strip).cast_const());
                for row in rows.clone() {
                    let left = [0, 1].map(|i| memory.at((2 * row + i) * strip).cast_const());
                    // SAFETY: the strips are those of the tile, which is within the result.
                    unsafe {
                        let sums = unit.multiply(left, right);
                        finish(product, row * TILE, column * TILE, sums);
                    }
                }
            }
        });
    });
}

/// What computes tiles.
struct Unit {
    kind: Kind,
    /// Steps of the inner dimension.
    depth: usize,
    sums: Sums,
}

enum Kind {
    Amx(amx::Registers),
    Dots,
    Fma,
}

/// Sums of a tile.
#[repr(align(64))]
struct Sums([f32; TILE * TILE]);

impl Unit {
    fn take(instructions: Instructions, depth: usize) -> Self {
        let kind = match instructions {
            // SAFETY: the instructions are there.
            Instructions::Amx => Kind::Amx(unsafe { amx::Registers::take(&amx::Layout::FULL) }),
            Instructions::Dots => Kind::Dots,
            Instructions::Fma => Kind::Fma,
        };
        Self { kind, depth, sums: Sums([0.0; TILE * TILE]) }
    }

    /// Computes the sums of a tile.
    ///
    /// # Safety
    /// The strips have the depth, in the order of these instructions.
    unsafe fn multiply(&mut self, left: [*const u32; 2], right: [*const u32; 2]) -> &[f32; TILE * TILE] {
        let sums = self.sums.0.as_mut_ptr();
        let blocks = strip::len(self.depth) / strip::BLOCK;
        match &self.kind {
            _ if self.depth == 0 => self.sums.0.fill(0.0),
            // SAFETY: as promised by the caller; the instructions are there.
            Kind::Amx(registers) => unsafe { registers.multiply(blocks, left, right, sums) },
            // SAFETY: as above.
            Kind::Dots => unsafe { dots::multiply(blocks, left, right, sums) },
            // SAFETY: as above.
            Kind::Fma => unsafe { fma::multiply(self.depth, left, right, sums) },
        }
        &self.sums.0
    }
}

/// The address of the strips, which threads write and read in different tasks.
#[derive(Clone, Copy)]
struct Memory(*mut u32);

// SAFETY: tasks write different strips, and read them after all are written.
unsafe impl Sync for Memory {}

impl Memory {
    fn at(&self, pairs: usize) -> *mut u32 {
        self.0.wrapping_add(pairs)
    }
}

/// Calls `work` with room for this many pairs, at an address that is a multiple of 64.
fn with_strips<R>(pairs: usize, work: impl FnOnce(*mut u32) -> R) -> R {
    STRIPS.with_borrow_mut(|strips| {
        if strips.capacity() < pairs + 16 {
            *strips = Vec::with_capacity(pairs + 16);
        }
        let start = strips.as_mut_ptr();
        work(start.wrapping_add(start.align_offset(64)))
    })
}

/// Adds bias and what is there, applies ReLU, rounds, and writes the part of a tile that the result has.
///
/// # Safety
/// The processor has AVX-512 with BF16. The tile's first element is within the result.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
unsafe fn finish(product: &Product, row: usize, column: usize, sums: &[f32; TILE * TILE]) {
    let rows = (product.left.rows - row).min(TILE);
    for half in 0..2 {
        let column = column + half * WIDTH;
        let Some(columns) = product.right.columns.checked_sub(column).filter(|&columns| columns > 0) else { return };
        let mask = if columns >= WIDTH { u16::MAX } else { (1 << columns) - 1 };
        // SAFETY: only elements of the result and the bias are read and written.
        unsafe {
            let of_columns = match product.bias {
                Bias::OfColumns(bias) => Some(_mm512_maskz_loadu_ps(mask, bias.add(column))),
                _ => None,
            };
            for i in 0..rows {
                let mut y = _mm512_load_ps(sums.as_ptr().add(i * TILE + half * WIDTH));
                let at = (row + i) * product.row_stride + column;
                if product.add {
                    y = _mm512_add_ps(y, read(product.into, at, mask));
                }
                if let Some(bias) = of_columns {
                    y = _mm512_add_ps(y, bias);
                }
                if let Bias::OfRows(bias) = product.bias {
                    y = _mm512_add_ps(y, _mm512_set1_ps(*bias.add(row + i)));
                }
                if product.relu {
                    // NaN stays.
                    y = _mm512_max_ps(_mm512_setzero_ps(), y);
                }
                match product.into {
                    Target::F32(to) => _mm512_mask_storeu_ps(to.add(at), mask, y),
                    Target::Bf16(to) => {
                        let rounded = std::mem::transmute::<__m256bh, __m256i>(_mm512_cvtneps_pbh(y));
                        _mm256_mask_storeu_epi16(to.add(at).cast(), mask, rounded);
                    }
                }
            }
        }
    }
}

/// Reads elements of the result.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
unsafe fn read(from: Target, at: usize, mask: u16) -> __m512 {
    // SAFETY: as promised by the caller.
    unsafe {
        match from {
            Target::F32(from) => _mm512_maskz_loadu_ps(mask, from.add(at)),
            Target::Bf16(from) => {
                let pairs = _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(mask, from.add(at).cast()));
                _mm512_castsi512_ps(_mm512_slli_epi32::<16>(pairs))
            }
        }
    }
}
