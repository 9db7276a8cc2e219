//! Products of matrices without gradients, on all threads: of two that need not be contiguous, and of one with its
//! transpose.

use std::mem::MaybeUninit;

use candle_core::{DType, Result, Storage, Tensor};

use super::gemm::{Factor, Finish, Matrix, NARROWEST, Place, multiply, product_of_factors};
use super::{linear, linear_in_out};
use crate::cpu::{self, Real, filled, workers};

/// Returns the product of two matrices, as [`linear_in_out`], but of any layout without a copy on the CPU.
///
/// # Errors
/// The shapes do not fit or the device fails.
pub(crate) fn matmul(left: &Tensor, right: &Tensor) -> Result<Tensor> {
    let fit = left.rank() == 2 && right.rank() == 2 && left.dim(1)? == right.dim(0)? && left.dtype() == right.dtype();
    match left.dtype() {
        DType::F32 if fit && is_here(left) => product_of::<f32>(left, right),
        DType::F64 if fit && is_here(left) => product_of::<f64>(left, right),
        _ => Ok(linear_in_out(left, right, None)?.detach()),
    }
}

fn is_here(tensor: &Tensor) -> bool {
    tensor.device().is_cpu() && cpu::has_kernels()
}

fn product_of<T: Real>(left: &Tensor, right: &Tensor) -> Result<Tensor> {
    let shape = (left.dim(0)?, right.dim(1)?);
    let values =
        with_factor(left, |left| with_factor(right, |right| product_of_factors::<T>(&left, &right, Finish::NONE)))?;
    Tensor::from_vec(values, shape, left.device())
}

/// Calls `work` with a tensor on the CPU as a matrix.
fn with_factor<R>(tensor: &Tensor, work: impl FnOnce(Factor<'_>) -> Result<R>) -> Result<R> {
    let (storage, layout) = tensor.storage_and_layout();
    let Storage::Cpu(storage) = &*storage else { candle_core::bail!("a tensor on the CPU was expected") };
    work(Factor::new(storage, layout.clone()))
}

/// Returns the product of a matrix with its transpose, which is symmetric: on the CPU the half above the diagonal is
/// copied from that below.
///
/// # Errors
/// The tensor is no matrix or the device fails.
pub(crate) fn product_with_transpose(x: &Tensor) -> Result<Tensor> {
    let (rows, inner) = x.dims2()?;
    let is_worth_it = rows >= 2 * NARROWEST && inner > 0 && !cfg!(any(feature = "mkl", feature = "accelerate"));
    match x.dtype() {
        DType::F32 if is_worth_it && is_here(x) => symmetric_product::<f32>(x, rows),
        DType::F64 if is_worth_it && is_here(x) => symmetric_product::<f64>(x, rows),
        _ => Ok(linear(x, x, None)?.detach()),
    }
}

fn symmetric_product<T: Real>(x: &Tensor, rows: usize) -> Result<Tensor> {
    let values = with_factor(x, |factor| {
        let factor = factor.matrix::<T>()?;
        factor.assert_within();
        let fill = |product: &mut [MaybeUninit<T>]| fill_tiles(factor, Place(product.as_mut_ptr().cast()));
        // SAFETY: the tiles on and below the diagonal, and those mirrored, cover the product.
        Ok(unsafe { filled(rows * rows, fill) })
    })?;
    Tensor::from_vec(values, (rows, rows), x.device())
}

/// Computes the product of a matrix with its transpose, a tile for each task.
fn fill_tiles<T: Real>(factor: Matrix<'_, T>, product: Place<T>) {
    let rows = factor.rows;
    let bands = rows / NARROWEST;
    let bounds = |band: usize| [rows * band / bands, rows * (band + 1) / bands];
    let tiles: Vec<(usize, usize)> = (0..bands).flat_map(|band| (0..=band).map(move |other| (band, other))).collect();
    workers::for_each(tiles.len(), &|tile| {
        let (band, other) = tiles[tile];
        let ([start, end], [first, last]) = (bounds(band), bounds(other));
        let (left, right) = (factor.rows(start, end), factor.rows(first, last).transposed());
        // SAFETY: the factors are within `factor`, which lies within its slice. The tile and its mirror image are
        // within the product, of `rows × rows` elements, and no other task has them.
        unsafe {
            multiply(left, right, product.at(start * rows + first), rows, false);
            if band != other {
                mirror(product, rows, [start, end], [first, last]);
            }
        }
    });
}

/// Copies a tile of a square matrix to its place across the diagonal, in blocks with as many lines as a set of the
/// first cache.
///
/// # Safety
/// `matrix` has `side × side` elements. No other thread has the tile, which is filled, or its mirror image.
unsafe fn mirror<T: Copy>(matrix: Place<T>, side: usize, [start, end]: [usize; 2], [first, last]: [usize; 2]) {
    const BLOCK: usize = 8;
    for row in (start..end).step_by(BLOCK) {
        for column in (first..last).step_by(BLOCK) {
            for column in column..(column + BLOCK).min(last) {
                for row in row..(row + BLOCK).min(end) {
                    // SAFETY: as promised by the caller.
                    unsafe { matrix.at(column * side + row).write(matrix.at(row * side + column).read()) };
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::testing::numbers;

    fn bits(tensor: &Tensor) -> Vec<u32> {
        tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap().into_iter().map(f32::to_bits).collect()
    }

    #[test]
    fn products_of_any_layout_have_the_bits_of_contiguous_ones() {
        let [a, b] = [[70, 33], [33, 50]].map(|shape| numbers(&shape, 1).to_dtype(DType::F32).unwrap());
        let turned = |x: &Tensor| x.t().unwrap().contiguous().unwrap().t().unwrap();
        let expected = bits(&linear_in_out(&a, &b, None).unwrap());
        for left in [&a, &turned(&a)] {
            for right in [&b, &turned(&b)] {
                assert_eq!(bits(&matmul(left, right).unwrap()), expected);
            }
        }
        assert!(matmul(&a, &a).is_err());
    }

    /// Of one tile and of several, of equal size or not, and of a matrix that is not contiguous.
    #[test]
    fn the_product_with_the_transpose_is_symmetric_and_has_the_bits_of_the_whole_for_any_number_of_threads() {
        for (rows, inner) in [(70, 20), (256, 33), (300, 700), (421, 256)] {
            let x = numbers(&[rows, inner], 1).to_dtype(DType::F32).unwrap();
            let turned = x.t().unwrap().contiguous().unwrap().t().unwrap();
            let expected = bits(&x.matmul(&x.t().unwrap()).unwrap());
            for threads in [1, 3] {
                let product = workers::with_threads(threads, || product_with_transpose(&x).unwrap());
                assert!(bits(&product) == expected, "{rows} {inner}");
                assert!(bits(&product.t().unwrap().contiguous().unwrap()) == expected);
                assert!(bits(&workers::with_threads(threads, || product_with_transpose(&turned).unwrap())) == expected);
            }
        }
    }
}
