//! CPU tensors as operands of kernels, and the gradients that kernels return.

use candle_core::{CpuStorage, DType, Device, Layout, Result, Storage, StorageRef, Tensor, WithDType, bail};

/// An input, a result or the gradient of a result, in a CPU kernel. It is contiguous.
#[derive(Clone, Copy)]
pub(super) struct Operand<'a, T> {
    /// Its elements in order.
    pub elements: &'a [T],
    /// Whether its gradient is needed.
    pub tracked: bool,
    /// The storage of the elements, for Candle's kernels.
    pub storage: &'a CpuStorage,
    /// Their layout in the storage, with their shape.
    pub layout: &'a Layout,
}

impl<T> Operand<'_, T> {
    /// Returns the sizes of its dimensions.
    pub fn dims(&self) -> &[usize] {
        self.layout.dims()
    }
}

/// A contiguous tensor locked for reading.
pub(super) struct Reading<'a> {
    storage: StorageRef<'a>,
    layout: &'a Layout,
    tracked: bool,
}

impl<'a> Reading<'a> {
    pub fn of(tensor: &'a Tensor) -> Self {
        let (storage, layout) = tensor.storage_and_layout();
        Self { storage, layout, tracked: tensor.track_op() }
    }

    pub fn operand<T: WithDType>(&self) -> Result<Operand<'_, T>> {
        let Storage::Cpu(storage) = &*self.storage else { bail!("a tensor on the CPU was expected") };
        let Some((start, end)) = self.layout.contiguous_offsets() else { bail!("a contiguous tensor was expected") };
        let elements = &storage.as_slice::<T>()?[start..end];
        Ok(Operand { elements, tracked: self.tracked, storage, layout: self.layout })
    }

    /// Returns its storage and its layout there.
    pub fn on_cpu(&self) -> Result<(&CpuStorage, &Layout)> {
        let Storage::Cpu(storage) = &*self.storage else { bail!("a tensor on the CPU was expected") };
        Ok((storage, self.layout))
    }

    pub fn elements<T: WithDType>(&self) -> Result<&[T]> {
        Ok(self.operand()?.elements)
    }
}

/// Calls `work` with these tensors as operands. The usual small number of operands needs no allocation. It takes a
/// reference, so that `work` is compiled once and not for each number.
pub(super) fn with_operands<T: WithDType, R>(
    tensors: &[Tensor],
    work: &dyn Fn(&[Operand<'_, T>]) -> Result<R>,
) -> Result<R> {
    match tensors {
        [x] => work(&[Reading::of(x).operand()?]),
        [x, y] => work(&[Reading::of(x).operand()?, Reading::of(y).operand()?]),
        [x, y, z] => work(&[Reading::of(x).operand()?, Reading::of(y).operand()?, Reading::of(z).operand()?]),
        more => {
            let reading: Vec<Reading<'_>> = more.iter().map(Reading::of).collect();
            work(&reading.iter().map(Reading::operand).collect::<Result<Vec<_>>>()?)
        }
    }
}

/// The gradient of an input.
pub(super) enum Gradient<T> {
    /// Not needed.
    None,
    /// Its elements in order.
    Elements(Vec<T>),
    /// The gradient of the result, unchanged.
    OfResult,
}

impl<T: WithDType> Gradient<T> {
    /// Returns the gradient that `compute` computes, if `x` needs one.
    pub fn of(x: Operand<'_, T>, compute: impl FnOnce() -> Vec<T>) -> Self {
        if x.tracked { Self::Elements(compute()) } else { Self::None }
    }

    /// [`Gradient::of`] for a `compute` that may fail.
    pub fn try_of(x: Operand<'_, T>, compute: impl FnOnce() -> Result<Vec<T>>) -> Result<Self> {
        if x.tracked { compute().map(Self::Elements) } else { Ok(Self::None) }
    }

    /// Converts to a tensor, if `x` needs a gradient. `dy` is the gradient of the result.
    pub fn into_tensor(self, x: &Tensor, dy: &Tensor) -> Result<Option<Tensor>> {
        Ok(match self {
            _ if !x.track_op() => None,
            Self::None => None,
            Self::Elements(elements) => Some(Tensor::from_vec(elements, x.shape(), &Device::Cpu)?),
            Self::OfResult => Some(dy.clone()),
        })
    }
}

/// Converts `numbers`, which are classes or tokens, to u32. Floats are refused, because rounding would change their
/// values.
pub(super) fn whole_numbers(of: &str, numbers: &Tensor) -> Result<Tensor> {
    if !numbers.dtype().is_int() {
        bail!("{of} must be whole numbers, such as u32, and are {}", numbers.dtype().as_str());
    }
    numbers.to_dtype(DType::U32)
}

/// Returns the number of rows, and the last dimension of `dims`, which must not be empty.
pub(super) fn rows_and_width(operation: &str, dims: &[usize]) -> Result<(usize, usize)> {
    match dims.split_last() {
        Some((&width, outer)) if width > 0 => Ok((outer.iter().product(), width)),
        _ => bail!("{operation}: the last dimension of {dims:?} is empty"),
    }
}
