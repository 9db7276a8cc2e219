//! Products of matrices of bf16 on a CPU that has instructions for them. A factor of f32 is rounded to bf16 as it is
//! read; sums are f32.

use bytemuck::Pod;
use candle_core::{CpuStorage, DType, Device, Result, Tensor, WithDType, bail};
use half::bf16;

use super::gemm::{self, Factor, Matrix, assert_factors, lies_within};
use super::op::DeviceKernel;
use super::operand::Reading;
use super::pointwise::relu_value;
use super::widened::{convert, tensor};
use crate::cpu::product::{Bias, Instructions, Numbers, Product, Target, View, instructions, multiply};
use crate::cpu::{self, Half, Loads, Real, filled, vectorized, widen, with_scratch};
use crate::cuda::Place;

/// An operation on tensors of bf16, computed with the processor's instructions for it: a [`DeviceKernel`] if the
/// operation has one.
#[repr(transparent)]
pub(super) struct InBf16<O>(pub O);

/// Returns the kernel of `operation` for tensors of this type on this device: that of a GPU, or of a CPU that multiplies
/// bf16.
pub(super) fn kernel<'a, O>(operation: &'a O, device: &Device, dtype: DType) -> Option<&'a dyn DeviceKernel>
where
    O: DeviceKernel,
    InBf16<O>: DeviceKernel,
{
    if Place::has_kernels(device, dtype) {
        return Some(operation);
    }
    let is_here = device.is_cpu() && dtype == DType::BF16 && cpu::has_kernels() && instructions().is_some();
    // SAFETY: both types have one layout.
    is_here.then(|| unsafe { &*std::ptr::from_ref(operation).cast::<InBf16<O>>() } as &dyn DeviceKernel)
}

fn available() -> Result<Instructions> {
    match instructions() {
        Some(instructions) => Ok(instructions),
        None => bail!("this processor has no instructions for bf16"),
    }
}

/// A type that a product is read or written in.
pub(crate) trait Number: Copy + Send {
    fn numbers(from: *const Self) -> Numbers;

    fn target(to: *mut Self) -> Target;
}

impl Number for f32 {
    fn numbers(from: *const Self) -> Numbers {
        Numbers::F32(from)
    }

    fn target(to: *mut Self) -> Target {
        Target::F32(to)
    }
}

impl Number for bf16 {
    fn numbers(from: *const Self) -> Numbers {
        Numbers::Bf16(from)
    }

    fn target(to: *mut Self) -> Target {
        Target::Bf16(to)
    }
}

/// The elements of a bias in f32.
pub(super) fn in_f32(bias: &Tensor) -> Result<Vec<f32>> {
    match bias.dtype() {
        DType::F32 => Ok(Reading::of(bias).elements::<f32>()?.to_vec()),
        _ => Ok(widen(Reading::of(bias).elements::<bf16>()?)),
    }
}

/// The gradient of a weight or a bias, in its type.
pub(super) fn of_weight(weight: &Tensor, sums: Vec<f32>) -> Result<Tensor> {
    let sums = tensor(CpuStorage::F32(sums), weight.shape())?;
    if weight.dtype() == DType::F32 { Ok(sums) } else { tensor(convert(&sums, weight.dtype())?, weight.shape()) }
}

impl Factor<'_> {
    fn view(&self) -> Result<View> {
        let matrix = match self.storage {
            CpuStorage::F32(_) => self.matrix::<f32>()?.view(),
            CpuStorage::BF16(_) => self.matrix::<bf16>()?.view(),
            _ => bail!("a matrix of f32 or bf16 was expected"),
        };
        Ok(matrix)
    }
}

impl<T: Number> Matrix<'_, T> {
    fn view(&self) -> View {
        let Self { elements, rows, columns, row_stride, column_stride } = *self;
        View { numbers: T::numbers(elements.as_ptr()), rows, columns, row_stride, column_stride }
    }
}

/// Computes `left · right`, row-major, in `dtype`, on all threads; `bias` is then added to each row, and `relu` sets
/// negative results to zero.
pub(super) fn product(
    left: &Factor<'_>,
    right: &Factor<'_>,
    dtype: DType,
    bias: Option<&[f32]>,
    relu: bool,
) -> Result<CpuStorage> {
    let (left, right) = (left.view()?, right.view()?);
    if left.columns != right.rows || bias.is_some_and(|bias| bias.len() != right.columns) {
        bail!("factors {}x{} and {}x{} do not fit together", left.rows, left.columns, right.rows, right.columns);
    }
    let instructions = available()?;
    let bias = bias.map_or(Bias::None, |bias| Bias::OfColumns(bias.as_ptr()));
    fn compute<T: Number>(product: impl Fn(Target) -> Product, len: usize, instructions: Instructions) -> Vec<T> {
        // SAFETY: the factors fit together and are borrowed; all elements of the product are written.
        unsafe { filled(len, |into| multiply(&product(T::target(into.as_mut_ptr().cast())), instructions, true)) }
    }
    let (len, row_stride) = (left.rows * right.columns, right.columns);
    let product = |into| Product { left, right, into, row_stride, add: false, bias, relu };
    Ok(match dtype {
        DType::F32 => CpuStorage::F32(compute(product, len, instructions)),
        DType::BF16 => CpuStorage::BF16(compute(product, len, instructions)),
        other => bail!("a product of bf16 in {}", other.as_str()),
    })
}

/// A type in which operands are stored, while sums of products are kept in another.
pub(super) trait Stored: WithDType + Pod + Loads<Self::Sum> {
    type Sum: Real;

    /// Writes `left · right` to `into`, or adds it there, as [`gemm::product`].
    fn product(left: Matrix<'_, Self>, right: Matrix<'_, Self>, into: &mut [Self::Sum], row_stride: usize, add: bool);

    /// [`Stored::product`] of sums.
    fn product_of_sums(
        left: Matrix<'_, Self::Sum>,
        right: Matrix<'_, Self>,
        into: &mut [Self::Sum],
        row_stride: usize,
        add: bool,
    );

    /// Writes `left · right` to `into`, with `bias` added to the elements of each row and then ReLU, if `relu`.
    fn product_finished(
        left: Matrix<'_, Self>,
        right: Matrix<'_, Self>,
        into: &mut [Self],
        row_stride: usize,
        bias: Option<&[Self::Sum]>,
        relu: bool,
    );

    /// Calls `work` with `elements`, which are zeros, as sums.
    fn fill_with_sums(elements: &mut [Self], work: impl FnOnce(&mut [Self::Sum]));
}

impl<T: Real> Stored for T {
    type Sum = T;

    fn product(left: Matrix<'_, T>, right: Matrix<'_, T>, into: &mut [T], row_stride: usize, add: bool) {
        gemm::product(left, right, into, row_stride, add);
    }

    fn product_of_sums(left: Matrix<'_, T>, right: Matrix<'_, T>, into: &mut [T], row_stride: usize, add: bool) {
        gemm::product(left, right, into, row_stride, add);
    }

    fn product_finished(
        left: Matrix<'_, T>,
        right: Matrix<'_, T>,
        into: &mut [T],
        row_stride: usize,
        bias: Option<&[T]>,
        relu: bool,
    ) {
        let columns = right.columns;
        gemm::product(left, right, into, row_stride, false);
        if bias.is_none() && !relu {
            return;
        }
        for (row, y) in into.chunks_mut(row_stride.max(1)).take(left.rows).enumerate() {
            let bias = bias.map_or_else(T::zero, |bias| bias[row]);
            vectorized(
                #[inline(always)]
                || {
                    for y in &mut y[..columns] {
                        *y = if relu { relu_value(*y + bias) } else { *y + bias };
                    }
                },
            );
        }
    }

    fn fill_with_sums(elements: &mut [T], work: impl FnOnce(&mut [T])) {
        work(elements);
    }
}

impl Stored for bf16 {
    type Sum = f32;

    fn product(left: Matrix<'_, Self>, right: Matrix<'_, Self>, into: &mut [f32], row_stride: usize, add: bool) {
        product_here(left, right, into, row_stride, Finish::of(add));
    }

    fn product_of_sums(left: Matrix<'_, f32>, right: Matrix<'_, Self>, into: &mut [f32], row_stride: usize, add: bool) {
        product_here(left, right, into, row_stride, Finish::of(add));
    }

    fn product_finished(
        left: Matrix<'_, Self>,
        right: Matrix<'_, Self>,
        into: &mut [Self],
        row_stride: usize,
        bias: Option<&[f32]>,
        relu: bool,
    ) {
        assert!(bias.is_none_or(|bias| bias.len() == left.rows), "a bias of another length");
        let bias = bias.map_or(Bias::None, |bias| Bias::OfRows(bias.as_ptr()));
        product_here(left, right, into, row_stride, Finish { add: false, bias, relu });
    }

    fn fill_with_sums(elements: &mut [Self], work: impl FnOnce(&mut [f32])) {
        with_scratch(elements.len(), |sums| {
            sums.fill(0.0);
            work(sums);
            vectorized(
                #[inline(always)]
                || elements.iter_mut().zip(sums).for_each(|(x, sum)| *x = Self::rounded(*sum)),
            );
        });
    }
}

/// What is done with a product.
struct Finish {
    add: bool,
    bias: Bias,
    relu: bool,
}

impl Finish {
    fn of(add: bool) -> Self {
        Self { add, bias: Bias::None, relu: false }
    }
}

/// [`product`] of matrices in slices, on the calling thread.
fn product_here<L: Number, R: Number, I: Number>(
    left: Matrix<'_, L>,
    right: Matrix<'_, R>,
    into: &mut [I],
    row_stride: usize,
    Finish { add, bias, relu }: Finish,
) {
    let (rows, columns) = (left.rows, right.columns);
    assert_factors(left, right);
    assert!(lies_within(into.len(), rows, columns, row_stride, 1), "a product beyond its slice");
    assert!(row_stride >= columns || rows <= 1, "rows of a product that overlap");
    let (left, right, into) = (left.view(), right.view(), I::target(into.as_mut_ptr()));
    let product = Product { left, right, into, row_stride, add, bias, relu };
    let Some(instructions) = instructions() else { unreachable!("kernels of bf16 need its instructions") };
    // SAFETY: the assertions ensure that the factors fit and that all of them and of the product is within its slice;
    // `into` is borrowed mutably, so it does not overlap the factors.
    unsafe { multiply(&product, instructions, false) }
}
