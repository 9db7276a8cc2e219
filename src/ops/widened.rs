//! Operations in half precision on the CPU: the operands are widened to f32, which is exact, the kernel of f32 runs,
//! and each element of its result is rounded once. Some operations do the same in one pass, without copies in f32.

use candle_core::{CpuStorage, DType, Device, Layout, Result, Shape, Storage, Tensor, bail};
use half::{bf16, f16};

use super::op::Op;
use super::operand::{Gradient, Operand, Reading, with_operands};
use crate::cpu::{self, Half};
use crate::cuda::Place;

/// Computes the result of `operation`, in the type of its first operand.
pub(super) fn forward(operation: &impl Op, inputs: &[Tensor]) -> Result<Storage> {
    let in_one_pass = match of_one_type(inputs) {
        Some(DType::BF16) => forward_in_one_pass::<bf16>(operation, inputs)?,
        Some(_) => forward_in_one_pass::<f16>(operation, inputs)?,
        None => None,
    };
    in_one_pass.map_or_else(|| forward_by_copies(operation, inputs), Ok)
}

/// Computes the gradients of the tracked inputs, each in the type of its input.
pub(super) fn backward(operation: &impl Op, inputs: &[Tensor], y: &Tensor, dy: &Tensor) -> Result<Vec<Option<Tensor>>> {
    let in_one_pass = match of_one_type(inputs) {
        Some(DType::BF16) => backward_in_one_pass::<bf16>(operation, inputs, y, dy)?,
        Some(_) => backward_in_one_pass::<f16>(operation, inputs, y, dy)?,
        None => None,
    };
    in_one_pass.map_or_else(|| backward_by_copies(operation, inputs, y, dy), Ok)
}

/// The type of all inputs; `None` if weights are of f32.
fn of_one_type(inputs: &[Tensor]) -> Option<DType> {
    let dtype = inputs.first()?.dtype();
    inputs.iter().all(|x| x.dtype() == dtype).then_some(dtype)
}

fn forward_in_one_pass<H: Half>(operation: &impl Op, inputs: &[Tensor]) -> Result<Option<Storage>> {
    let found = with_operands::<H, _>(inputs, &|inputs| Ok(operation.forward_in_half(inputs)))?;
    Ok(found.map(|elements| Storage::Cpu(H::to_cpu_storage_owned(elements))))
}

fn backward_in_one_pass<H: Half>(
    operation: &impl Op,
    inputs: &[Tensor],
    y: &Tensor,
    dy: &Tensor,
) -> Result<Option<Vec<Option<Tensor>>>> {
    let (read_y, read_dy) = (Reading::of(y), Reading::of(dy));
    let (on_y, on_dy) = (read_y.operand()?, read_dy.operand()?);
    let found = with_operands::<H, _>(inputs, &|inputs| Ok(operation.backward_in_half(inputs, on_y, on_dy)))?;
    let tensors = |gradients: Vec<Gradient<H>>| {
        inputs.iter().zip(gradients).map(|(x, gradient)| gradient.into_tensor(x, dy)).collect()
    };
    found.map(tensors).transpose()
}

/// [`forward`] with copies of the operands in f32.
pub(super) fn forward_by_copies(operation: &impl Op, inputs: &[Tensor]) -> Result<Storage> {
    let operands = inputs.iter().map(Widened::of).collect::<Result<Vec<_>>>()?;
    let operands = operands.iter().map(Widened::operand).collect::<Result<Vec<_>>>()?;
    round(operation.forward::<f32>(&operands)?, inputs[0].dtype()).map(Storage::Cpu)
}

/// [`backward`] with copies of the operands in f32.
pub(super) fn backward_by_copies(
    operation: &impl Op,
    inputs: &[Tensor],
    y: &Tensor,
    dy: &Tensor,
) -> Result<Vec<Option<Tensor>>> {
    let operands = inputs.iter().map(Widened::of).collect::<Result<Vec<_>>>()?;
    let operands = operands.iter().map(Widened::operand).collect::<Result<Vec<_>>>()?;
    let (on_y, on_dy) = (Widened::of(y)?, Widened::of(dy)?);
    let gradients = operation.backward::<f32>(&operands, on_y.operand()?, on_dy.operand()?)?;
    let mut tensors = Vec::with_capacity(inputs.len());
    for (x, gradient) in inputs.iter().zip(gradients) {
        tensors.push(match gradient {
            Gradient::Elements(elements) if x.track_op() => Some(tensor(round(elements, x.dtype())?, x.shape())?),
            gradient => gradient.into_tensor(x, dy)?,
        });
    }
    Ok(tensors)
}

/// Returns the elements of a contiguous tensor on the CPU in another type: f32 in a half type, or a half type in f32.
pub(super) fn convert(x: &Tensor, dtype: DType) -> Result<CpuStorage> {
    let reading = Reading::of(x);
    match (x.dtype(), dtype) {
        (DType::BF16, DType::F32) => Ok(CpuStorage::F32(cpu::widen::<bf16>(reading.elements()?))),
        (DType::F16, DType::F32) => Ok(CpuStorage::F32(cpu::widen::<f16>(reading.elements()?))),
        (DType::F32, DType::BF16) => Ok(CpuStorage::BF16(cpu::round(reading.elements()?))),
        (DType::F32, DType::F16) => Ok(CpuStorage::F16(cpu::round(reading.elements()?))),
        (from, to) => bail!("no conversion from {} to {}", from.as_str(), to.as_str()),
    }
}

/// Whether [`convert`] converts between these types.
pub(super) fn converts(from: DType, to: DType) -> bool {
    (from == DType::F32 && is_half(to)) || (is_half(from) && to == DType::F32)
}

/// Whether numbers of this type have 16 bits.
pub(super) fn is_half(dtype: DType) -> bool {
    matches!(dtype, DType::BF16 | DType::F16)
}

/// Whether an operation of `x`, of a half type, and of `others` in f32, may use a kernel of the CPU for just that.
pub(super) fn is_half_by_f32(x: &Tensor, others: &[&Tensor]) -> bool {
    // In tests, the processor may stand in for a GPU.
    let is_on_cpu = x.device().is_cpu() && !Place::has_kernels(x.device(), x.dtype());
    is_on_cpu && cpu::has_kernels() && is_half(x.dtype()) && others.iter().all(|x| x.dtype() == DType::F32)
}

fn round(elements: Vec<f32>, dtype: DType) -> Result<CpuStorage> {
    match dtype {
        DType::F32 => Ok(CpuStorage::F32(elements)),
        DType::BF16 => Ok(CpuStorage::BF16(cpu::round(&elements))),
        DType::F16 => Ok(CpuStorage::F16(cpu::round(&elements))),
        other => bail!("{} is not a half type", other.as_str()),
    }
}

/// Makes a tensor of elements of f32 or a half type.
pub(super) fn tensor(elements: CpuStorage, shape: &Shape) -> Result<Tensor> {
    match elements {
        CpuStorage::F32(elements) => Tensor::from_vec(elements, shape, &Device::Cpu),
        CpuStorage::BF16(elements) => Tensor::from_vec(elements, shape, &Device::Cpu),
        CpuStorage::F16(elements) => Tensor::from_vec(elements, shape, &Device::Cpu),
        _ => bail!("elements of a half type or f32 were expected"),
    }
}

/// A tensor whose elements can be read in f32.
enum Widened<'a> {
    /// One of f32.
    AsIs(Reading<'a>),
    /// A copy of one of a half type.
    Copy { storage: CpuStorage, layout: Layout, tracked: bool },
}

impl<'a> Widened<'a> {
    fn of(x: &'a Tensor) -> Result<Self> {
        if x.dtype() == DType::F32 {
            return Ok(Self::AsIs(Reading::of(x)));
        }
        let storage = convert(x, DType::F32)?;
        Ok(Self::Copy { storage, layout: Layout::contiguous(x.shape()), tracked: x.track_op() })
    }

    fn operand(&self) -> Result<Operand<'_, f32>> {
        match self {
            Self::AsIs(reading) => reading.operand(),
            Self::Copy { storage, layout, tracked } => {
                Ok(Operand { elements: storage.as_slice()?, tracked: *tracked, storage, layout })
            }
        }
    }
}
