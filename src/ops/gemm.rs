//! Matrix products: Candle's, on all threads, and products of matrices in slices, on the calling thread.

use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, Layout, Result, WithDType, bail};

use crate::cpu::Real;

/// A Candle matrix, which need not be contiguous.
pub(super) struct Factor<'a> {
    storage: &'a CpuStorage,
    layout: Layout,
}

impl<'a> Factor<'a> {
    /// Creates a view with this layout, which has two dimensions.
    pub fn new(storage: &'a CpuStorage, layout: Layout) -> Self {
        Self { storage, layout }
    }

    /// Returns the transpose.
    pub fn transposed(&self) -> Result<Self> {
        Ok(Self { storage: self.storage, layout: self.layout.transpose(0, 1)? })
    }

    /// Returns its elements in order if it is contiguous.
    pub fn elements<T: WithDType>(&self) -> Result<&'a [T]> {
        let Some((start, end)) = self.layout.contiguous_offsets() else { bail!("a contiguous matrix was expected") };
        Ok(&self.storage.as_slice::<T>()?[start..end])
    }
}

/// Computes `left · right`, row-major, with Candle's kernel.
pub(super) fn candle_product<T: WithDType>(left: &Factor<'_>, right: &Factor<'_>) -> Result<Vec<T>> {
    let ((rows, inner), (_, columns)) = (left.layout.shape().dims2()?, right.layout.shape().dims2()?);
    if rows == 0 || inner == 0 || columns == 0 {
        return Ok(vec![T::zero(); rows * columns]);
    }
    let sizes = (1, rows, columns, inner);
    T::cpu_storage_data(left.storage.matmul(right.storage, sizes, &left.layout, &right.layout)?)
}

/// A matrix in a slice.
#[derive(Clone, Copy)]
pub(super) struct Matrix<'a, T> {
    elements: &'a [T],
    rows: usize,
    columns: usize,
    row_stride: usize,
    column_stride: usize,
}

impl<'a, T> Matrix<'a, T> {
    /// Creates a matrix whose rows begin `row_stride` apart.
    pub fn new(elements: &'a [T], rows: usize, columns: usize, row_stride: usize) -> Self {
        Self { elements, rows, columns, row_stride, column_stride: 1 }
    }

    /// Returns rows `start..end`.
    pub fn rows(self, start: usize, end: usize) -> Self {
        Self { elements: &self.elements[start * self.row_stride..], rows: end - start, ..self }
    }

    /// Returns the transpose.
    pub fn transposed(self) -> Self {
        Self {
            rows: self.columns,
            columns: self.rows,
            row_stride: self.column_stride,
            column_stride: self.row_stride,
            ..self
        }
    }
}

/// Whether a matrix of this form fits into `len` elements.
fn lies_within(len: usize, rows: usize, columns: usize, row_stride: usize, column_stride: usize) -> bool {
    rows == 0 || columns == 0 || (rows - 1) * row_stride + (columns - 1) * column_stride < len
}

/// Writes `left · right` to `into`, whose rows begin `row_stride` apart, or adds it to `into`.
///
/// The order of the additions depends only on the shapes and the processor.
pub(super) fn product<T: Real>(
    left: Matrix<'_, T>,
    right: Matrix<'_, T>,
    into: &mut [T],
    row_stride: usize,
    add: bool,
) {
    let (rows, columns) = (left.rows, right.columns);
    assert_eq!(left.columns, right.rows, "inner dimensions of a product");
    for matrix in [left, right] {
        let Matrix { elements, rows, columns, row_stride, column_stride } = matrix;
        assert!(lies_within(elements.len(), rows, columns, row_stride, column_stride), "a factor beyond its slice");
    }
    assert!(lies_within(into.len(), rows, columns, row_stride, 1), "a product beyond its slice");
    assert!(row_stride >= columns || rows <= 1, "rows of a product that overlap");
    // SAFETY: the assertions above ensure that every element of the three matrices is within its slice, and that those
    // of the product are distinct; `into` is borrowed mutably, so it does not overlap the factors. `Real` is
    // implemented only for f32 and f64, which `gemm` supports.
    unsafe {
        gemm::gemm(
            rows,
            columns,
            left.columns,
            into.as_mut_ptr(),
            1,
            row_stride as isize,
            add,
            left.elements.as_ptr(),
            left.column_stride as isize,
            left.row_stride as isize,
            right.elements.as_ptr(),
            right.column_stride as isize,
            right.row_stride as isize,
            T::one(),
            T::one(),
            false,
            false,
            false,
            gemm::Parallelism::None,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_of_matrices_and_their_transposes() {
        let (a, b) = ([1.0, 2.0, 3.0, 4.0, 5.0, 6.0], [1.0, -1.0, 0.5, 2.0]);
        let mut into = [1.0; 9];
        // [1 2; 3 4; 5 6] · [1 -1; 0.5 2], into rows of three elements.
        product(Matrix::new(&a, 3, 2, 2), Matrix::new(&b, 2, 2, 2), &mut into, 3, false);
        assert_eq!(into, [2.0, 3.0, 1.0, 5.0, 5.0, 1.0, 8.0, 7.0, 1.0]);
        // [1 3 5; 2 4 6] · [1 2; 3 4; 5 6], added.
        let mut sum = [1.0; 4];
        product(Matrix::new(&a, 3, 2, 2).transposed(), Matrix::new(&a, 3, 2, 2), &mut sum, 2, true);
        assert_eq!(sum, [36.0, 45.0, 45.0, 57.0]);
    }

    #[test]
    #[should_panic(expected = "a product beyond its slice")]
    fn a_product_that_does_not_fit_is_caught() {
        product(Matrix::new(&[1.0], 1, 1, 1), Matrix::new(&[1.0; 4], 1, 4, 4), &mut [0.0; 3], 4, false);
    }
}
