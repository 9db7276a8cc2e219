//! Matrix products: on all threads of matrices in tensors, and on the calling thread of matrices in slices.

use std::mem::MaybeUninit;
use std::ops::Range;

use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, Layout, Result, WithDType, bail};
use gemm::Parallelism;

use super::pointwise::relu_value;
use crate::cpu::{Real, filled, vectorized, workers};

/// A matrix in a tensor, which need not be contiguous.
#[derive(Clone)]
pub(super) struct Factor<'a> {
    pub(super) storage: &'a CpuStorage,
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

    /// Returns it as a matrix in a slice.
    pub fn matrix<T: WithDType>(&self) -> Result<Matrix<'a, T>> {
        let (rows, columns) = self.layout.shape().dims2()?;
        let &[row_stride, column_stride] = self.layout.stride() else { bail!("a matrix was expected") };
        let elements = &self.storage.as_slice::<T>()?[self.layout.start_offset()..];
        Ok(Matrix { elements, rows, columns, row_stride, column_stride })
    }
}

/// What is done with the elements of a product before they leave the cache.
#[derive(Clone, Copy)]
pub(super) struct Finish<'a, T> {
    /// Is added to each row.
    pub bias: Option<&'a [T]>,
    /// Whether negative results then become zero.
    pub relu: bool,
}

impl<T: Real> Finish<'_, T> {
    /// Leaves a product as it is.
    pub const NONE: Self = Self { bias: None, relu: false };

    /// Finishes rows of `width` that begin at column `first`, one every `stride` elements.
    fn apply(self, rows: &mut [T], width: usize, stride: usize, first: usize) {
        if self.bias.is_none() && !self.relu {
            return;
        }
        vectorized(
            #[inline(always)]
            || {
                for row in rows.chunks_mut(stride) {
                    let row = &mut row[..width];
                    match self.bias {
                        Some(bias) if self.relu => add(row, &bias[first..], relu_value),
                        Some(bias) => add(row, &bias[first..], |y| y),
                        None => row.iter_mut().for_each(|y| *y = relu_value(*y)),
                    }
                }
            },
        );
    }
}

/// Adds `bias` to `row`, and applies `f`.
#[inline(always)]
fn add<T: Real>(row: &mut [T], bias: &[T], f: impl Fn(T) -> T) {
    for (y, &bias) in row.iter_mut().zip(bias) {
        *y = f(*y + bias);
    }
}

/// Multiplications that are worth a second thread.
const WORTH_A_THREAD: usize = 1 << 19;

/// Rows or columns from which a thread has more than one part.
const LONG: usize = 1 << 10;

/// The fewest rows or columns of a part: with so many, parts have the bits of the whole.
pub(super) const NARROWEST: usize = 128;

/// Computes `left · right`, row-major, on all threads: the bits of Candle's product, which first fills its result with
/// zeros. Where Candle was built to multiply with a library of the processor's maker, Candle's own product.
pub(super) fn product_of_factors<T: Real>(
    left: &Factor<'_>,
    right: &Factor<'_>,
    finish: Finish<'_, T>,
) -> Result<Vec<T>> {
    let ((rows, inner), (_, columns)) = (left.layout.shape().dims2()?, right.layout.shape().dims2()?);
    let is_empty = rows == 0 || inner == 0 || columns == 0;
    if is_empty || cfg!(any(feature = "mkl", feature = "accelerate")) {
        let sizes = (1, rows, columns, inner);
        let mut product = match is_empty {
            true => vec![T::zero(); rows * columns],
            false => T::cpu_storage_data(left.storage.matmul(right.storage, sizes, &left.layout, &right.layout)?)?,
        };
        finish.apply(&mut product, columns, columns.max(1), 0);
        return Ok(product);
    }
    let (left, right) = (left.matrix::<T>()?, right.matrix::<T>()?);
    assert_factors(left, right);
    let fill = |product: &mut [MaybeUninit<T>]| {
        let product = Place(product.as_mut_ptr().cast());
        let parts = parts(rows, inner, columns);
        workers::for_each(parts, &|part| {
            let of = |count: usize, parts: usize| count * part / parts..count * (part + 1) / parts;
            let (rows, columns) =
                if rows > columns { (of(rows, parts), 0..columns) } else { (0..rows, of(columns, parts)) };
            // SAFETY: `fill` gives room for the product; parts have different elements.
            unsafe { multiply_part(left, right, product, rows, columns, finish) }
        });
    };
    // SAFETY: the parts cover the product.
    Ok(unsafe { filled(rows * columns, fill) })
}

/// Returns the number of parts in which threads compute a product. It changes no bit.
fn parts(rows: usize, inner: usize, columns: usize) -> usize {
    let work = rows.saturating_mul(inner).saturating_mul(columns);
    let threads = workers::threads();
    if work < WORTH_A_THREAD || threads == 1 {
        return 1;
    }
    // Each part reads the whole of one factor, so there is one for each thread, and more only of what is very long:
    // others may use the processor too.
    let longest = rows.max(columns);
    let wanted = threads * (longest / (threads * LONG)).clamp(1, 4);
    wanted.min(longest / NARROWEST).max(1)
}

/// The first element of a product whose parts are written by different threads.
#[derive(Clone, Copy)]
pub(super) struct Place<T>(pub *mut T);

// SAFETY: threads write different elements.
unsafe impl<T: Send> Sync for Place<T> {}

impl<T> Place<T> {
    /// Returns the address of the element of this number.
    pub fn at(self, number: usize) -> *mut T {
        self.0.wrapping_add(number)
    }
}

/// Computes these rows and columns of a product.
///
/// # Safety
/// `into` has room for the product; no other thread has its part.
unsafe fn multiply_part<T: Real>(
    left: Matrix<'_, T>,
    right: Matrix<'_, T>,
    into: Place<T>,
    rows: Range<usize>,
    columns: Range<usize>,
    finish: Finish<'_, T>,
) {
    let whole = right.columns;
    let (left, right) = (left.rows(rows.start, rows.end), right.columns(columns.start, columns.end));
    // SAFETY: the part is within the product, and its factors are within theirs.
    unsafe {
        multiply(left, right, into.at(rows.start * whole + columns.start), whole, false);
    }
    if rows.is_empty() || columns.is_empty() {
        return;
    }
    // One row after the other, because the elements between them are those of another part.
    if columns.len() == whole {
        // SAFETY: these rows are those of this part.
        let rows = unsafe { std::slice::from_raw_parts_mut(into.0.add(rows.start * whole), rows.len() * whole) };
        return finish.apply(rows, whole, whole, 0);
    }
    for row in rows {
        // SAFETY: as above.
        let row = unsafe { std::slice::from_raw_parts_mut(into.0.add(row * whole + columns.start), columns.len()) };
        finish.apply(row, columns.len(), columns.len(), columns.start);
    }
}

/// A matrix in a slice.
#[derive(Clone, Copy)]
pub(crate) struct Matrix<'a, T> {
    pub(crate) elements: &'a [T],
    pub(crate) rows: usize,
    pub(crate) columns: usize,
    pub(crate) row_stride: usize,
    pub(crate) column_stride: usize,
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

    pub(super) fn assert_within(&self) {
        let Self { elements, rows, columns, row_stride, column_stride } = self;
        assert!(lies_within(elements.len(), *rows, *columns, *row_stride, *column_stride), "a factor beyond its slice");
    }

    /// Returns columns `start..end`.
    fn columns(self, start: usize, end: usize) -> Self {
        Self { elements: &self.elements[start * self.column_stride..], columns: end - start, ..self }
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
pub(super) fn lies_within(len: usize, rows: usize, columns: usize, row_stride: usize, column_stride: usize) -> bool {
    rows == 0 || columns == 0 || (rows - 1) * row_stride + (columns - 1) * column_stride < len
}

/// Writes `left · right` to `into`, whose rows begin `row_stride` apart, or adds it to `into`.
///
/// The order of the additions depends only on the shapes and the processor.
pub(crate) fn product<T: Real>(
    left: Matrix<'_, T>,
    right: Matrix<'_, T>,
    into: &mut [T],
    row_stride: usize,
    add: bool,
) {
    let (rows, columns) = (left.rows, right.columns);
    assert_factors(left, right);
    assert!(lies_within(into.len(), rows, columns, row_stride, 1), "a product beyond its slice");
    assert!(row_stride >= columns || rows <= 1, "rows of a product that overlap");
    // SAFETY: the assertions ensure that every element of the three matrices is within its slice, and that those of the
    // product are distinct; `into` is borrowed mutably, so it does not overlap the factors.
    unsafe { multiply(left, right, into.as_mut_ptr(), row_stride, add) }
}

/// Asserts that two matrices can be multiplied and lie within their slices.
pub(super) fn assert_factors<L, R>(left: Matrix<'_, L>, right: Matrix<'_, R>) {
    assert_eq!(left.columns, right.rows, "inner dimensions of a product");
    left.assert_within();
    right.assert_within();
}

/// Writes `left · right` to `into`, or adds it there.
///
/// # Safety
/// Both factors lie within their slices. `into` has room for the product, which overlaps neither them nor itself, and
/// has numbers where it is added to.
pub(super) unsafe fn multiply<T: Real>(
    left: Matrix<'_, T>,
    right: Matrix<'_, T>,
    into: *mut T,
    row_stride: usize,
    add: bool,
) {
    // SAFETY: as promised by the caller. `Real` is implemented only for f32 and f64, which `gemm` supports.
    unsafe {
        gemm::gemm(
            left.rows,
            right.columns,
            left.columns,
            into,
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
            Parallelism::None,
        );
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device, Storage, Tensor};

    use super::*;
    use crate::ops::testing::numbers;

    fn product_of(left: &Tensor, right: &Tensor) -> Vec<f32> {
        let ((on_left, left), (on_right, right)) = (left.storage_and_layout(), right.storage_and_layout());
        let (Storage::Cpu(on_left), Storage::Cpu(on_right)) = (&*on_left, &*on_right) else { panic!("on the CPU") };
        let (left, right) = (Factor::new(on_left, left.clone()), Factor::new(on_right, right.clone()));
        product_of_factors(&left, &right, Finish::NONE).unwrap()
    }

    /// In whichever of both ways each factor is laid out.
    #[test]
    fn products_on_all_threads_have_the_bits_of_candles() {
        for (rows, inner, columns) in [(1, 1, 1), (7, 5, 3), (33, 64, 17), (128, 96, 130), (2, 0, 3)] {
            let matrix = |rows: usize, columns: usize, seed| {
                let as_is = numbers(&[rows, columns], seed).to_dtype(DType::F32).unwrap();
                let transposed = as_is.t().unwrap().contiguous().unwrap().t().unwrap();
                [as_is, transposed]
            };
            for left in matrix(rows, inner, 1) {
                for right in matrix(inner, columns, 2) {
                    let found = product_of(&left, &right);
                    let expected = match inner {
                        0 => Tensor::zeros((rows, columns), DType::F32, &Device::Cpu).unwrap(),
                        _ => left.matmul(&right).unwrap(),
                    };
                    assert_eq!(found, expected.flatten_all().unwrap().to_vec1::<f32>().unwrap());
                }
            }
        }
    }

    /// Sizes with several parts, and with an inner dimension of several blocks.
    #[test]
    fn parts_on_any_number_of_threads_have_the_bits_of_the_whole() {
        for (rows, inner, columns) in [(300, 1100, 70), (33, 600, 521), (700, 40, 640), (130, 4000, 1)] {
            let (left, right) = (numbers(&[rows, inner], 1), numbers(&[columns, inner], 2));
            let [left, right] = [left, right.t().unwrap()].map(|x| x.to_dtype(DType::F32).unwrap());
            let bits = |threads| workers::with_threads(threads, || product_of(&left, &right));
            let one: Vec<u32> = bits(1).into_iter().map(f32::to_bits).collect();
            for threads in [2, 3, 7] {
                let found: Vec<u32> = bits(threads).into_iter().map(f32::to_bits).collect();
                assert!(found == one, "{rows}x{inner}x{columns} on {threads} threads");
            }
        }
        assert!(workers::with_threads(3, || parts(300, 1100, 70)) > 1);
    }

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
