//! Products of matrices of bf16 with sums in f32, on x86-64 processors that have instructions for it.
//!
//! Both factors are copied to strips first, in the order in which their numbers are needed; numbers of f32 are rounded
//! to bf16 there. Where products in f32 are faster than those of bf16, strips have the same numbers in f32. Then tiles of 32 by 32 sums are computed, each over the whole inner dimension, and finished: bias,
//! ReLU and rounding are applied before a tile is written.
//!
//! The bits do not depend on the number of threads, nor on how the factors lie in memory. They depend on the
//! instructions, because processors add pairs of products in different orders: see [`instructions`].

#[cfg(target_arch = "x86_64")]
mod amx;
#[cfg(target_arch = "x86_64")]
mod dots;
#[cfg(target_arch = "x86_64")]
mod fma;
#[cfg(target_arch = "x86_64")]
mod strip;
#[cfg(target_arch = "x86_64")]
mod tiles;
#[cfg(target_arch = "x86_64")]
mod wide_strip;

#[cfg(target_arch = "x86_64")]
pub(crate) use amx::{Layout, Registers};
#[cfg(target_arch = "x86_64")]
pub(crate) use strip::transposed;

use half::bf16;

/// The numbers of a factor.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Numbers {
    F32(*const f32),
    Bf16(*const bf16),
}

/// Where a result is written.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Target {
    F32(*mut f32),
    Bf16(*mut bf16),
}

/// A matrix in memory: element `(i, j)` is `i * row_stride + j * column_stride` elements after the first.
#[derive(Clone, Copy, Debug)]
pub(crate) struct View {
    pub numbers: Numbers,
    pub rows: usize,
    pub columns: usize,
    pub row_stride: usize,
    pub column_stride: usize,
}

/// What is added to a product.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Bias {
    None,
    /// As many numbers as there are columns, to each row.
    OfColumns(*const f32),
    /// As many numbers as there are rows, one to each element of a row.
    OfRows(*const f32),
}

/// A product, and what is done with its elements.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Product {
    pub left: View,
    pub right: View,
    pub into: Target,
    /// Distance of the rows of the result, whose columns are adjacent.
    pub row_stride: usize,
    /// Whether it is added to what is there.
    pub add: bool,
    /// Numbers that are then added.
    pub bias: Bias,
    /// Whether negative results become zero.
    pub relu: bool,
}

// SAFETY: threads only read the factors, and write different parts of the result.
unsafe impl Sync for Product {}
// SAFETY: as above.
unsafe impl Sync for View {}

/// Instructions that multiply bf16.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Instructions {
    /// Intel's matrix unit.
    Amx,
    /// Products of pairs in the registers of AVX-512.
    Dots,
    /// Products of the same numbers in f32, in the registers of AVX-512.
    Fma,
}

/// Returns the best instructions of this processor; `None` if it has none for bf16.
pub(crate) fn instructions() -> Option<Instructions> {
    #[cfg(target_arch = "x86_64")]
    return tiles::instructions();
    #[cfg(not(target_arch = "x86_64"))]
    return None;
}

/// Computes a product, on all threads if `parallel`.
///
/// # Safety
/// The processor has the instructions. The factors fit together and can be read. The result can be written, and overlaps
/// neither of them nor itself; its numbers are there if the product is added.
pub(crate) unsafe fn multiply(product: &Product, instructions: Instructions, parallel: bool) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: as promised by the caller.
    unsafe {
        tiles::multiply(product, instructions, parallel);
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (product, instructions, parallel);
}

#[cfg(test)]
mod tests;
