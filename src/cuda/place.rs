//! Where kernels run, and the memory of their results.

#[cfg(feature = "cuda")]
use candle_core::backend::BackendDevice;
use candle_core::backend::BackendStorage;
use candle_core::op::BackpropOp;
#[cfg(test)]
use candle_core::{CpuStorage, WithDType};
use candle_core::{DType, Device, Result, Shape, Storage, Tensor, bail};
#[cfg(test)]
use half::{bf16, f16};

use super::launch::Argument;

/// The device that runs the kernels, or the processor in its place. No build without the feature `cuda`
/// has one, except in tests.
#[derive(Clone, Debug)]
pub(crate) struct Place(Kind);

#[derive(Clone, Debug)]
enum Kind {
    /// A GPU.
    #[cfg(feature = "cuda")]
    Cuda(candle_core::CudaDevice),
    /// The processor, in tests.
    #[cfg(test)]
    Host,
}

impl Place {
    /// The place of tensors of this type on `device`; none where there are no kernels for them.
    pub fn of(device: &Device, dtype: DType) -> Option<Self> {
        if !matches!(dtype, DType::F32 | DType::F64 | DType::BF16 | DType::F16) {
            return None;
        }
        match device {
            #[cfg(feature = "cuda")]
            Device::Cuda(device) => Some(Self(Kind::Cuda(device.clone()))),
            #[cfg(test)]
            Device::Cpu if super::host::is_on() => Some(Self(Kind::Host)),
            _ => None,
        }
    }

    /// Whether there are kernels for tensors of this type on `device`.
    pub fn has_kernels(device: &Device, dtype: DType) -> bool {
        Self::of(device, dtype).is_some()
    }

    /// The place of a tensor that has kernels.
    ///
    /// # Errors
    /// When it has none.
    pub fn of_tensor(tensor: &Tensor) -> Result<Self> {
        match Self::of(tensor.device(), tensor.dtype()) {
            Some(place) => Ok(place),
            None => bail!("no kernel takes tensors of type {:?} here", tensor.dtype()),
        }
    }

    /// Memory for `shape` elements of type `dtype`, of any content.
    ///
    /// # Errors
    /// When the device has no memory left.
    pub fn output(&self, dtype: DType, shape: impl Into<Shape>) -> Result<Output> {
        let shape = shape.into();
        let count = shape.elem_count();
        let storage = match self.0 {
            #[cfg(feature = "cuda")]
            Kind::Cuda(ref device) => Storage::Cuda(super::device::alloc(device, dtype, count)?),
            #[cfg(test)]
            Kind::Host => Storage::Cpu(host_memory(dtype, count)?),
        };
        Ok(Output { storage, shape })
    }

    /// The product of matrices `a` `[…, m, k]` and `b` `[…, k, n]`: Candle's own, which on a GPU is cuBLAS.
    ///
    /// # Errors
    /// When the shapes do not fit or the device fails.
    pub fn product(&self, a: &Tensor, b: &Tensor) -> Result<Output> {
        let (&[ref batch @ .., m, k], &[ref others @ .., inner, n]) = (a.dims(), b.dims()) else {
            bail!("matrices were expected, not {:?} and {:?}", a.dims(), b.dims())
        };
        if batch != others || k != inner {
            bail!("matrices {:?} and {:?} do not fit together", a.dims(), b.dims());
        }
        let sizes = (batch.iter().product(), m, n, k);
        let ((left, left_layout), (right, right_layout)) = (a.storage_and_layout(), b.storage_and_layout());
        let storage = match (&*left, &*right) {
            (Storage::Cpu(left), Storage::Cpu(right)) => {
                Storage::Cpu(left.matmul(right, sizes, left_layout, right_layout)?)
            }
            (Storage::Cuda(left), Storage::Cuda(right)) => {
                Storage::Cuda(left.matmul(right, sizes, left_layout, right_layout)?)
            }
            _ => bail!("tensors on one device were expected"),
        };
        Ok(Output { storage, shape: Shape::from([batch, &[m, n]].concat()) })
    }

    /// Where the first element of a contiguous tensor lies.
    pub fn address(&self, tensor: &Tensor) -> Result<u64> {
        let (storage, layout) = tensor.storage_and_layout();
        let Some((start, _)) = layout.contiguous_offsets() else { bail!("a contiguous tensor was expected") };
        Ok(self.address_of(&storage)? + (start * tensor.dtype().size_in_bytes()) as u64)
    }

    /// Where an output begins.
    pub fn address_of_output(&self, output: &Output) -> Result<u64> {
        self.address_of(&output.storage)
    }

    /// Where a storage begins, which must be in this place: a kernel that follows an address of another device reads
    /// what is not there.
    fn address_of(&self, storage: &Storage) -> Result<u64> {
        match (&self.0, storage) {
            #[cfg(feature = "cuda")]
            (Kind::Cuda(device), Storage::Cuda(storage)) if device.same_device(&storage.device) => {
                super::device::address(storage)
            }
            #[cfg(test)]
            (Kind::Host, Storage::Cpu(storage)) => host_address(storage),
            _ => bail!("all tensors of an operation must be on one device"),
        }
    }

    pub(super) fn launch(&self, kernel: &str, blocks: u32, arguments: &[Argument]) -> Result<()> {
        match self.0 {
            #[cfg(feature = "cuda")]
            Kind::Cuda(ref device) => super::device::launch(device, kernel, blocks, arguments),
            #[cfg(test)]
            Kind::Host => super::host::launch(kernel, blocks, arguments),
        }
    }
}

/// Memory that a kernel writes to.
pub(crate) struct Output {
    storage: Storage,
    shape: Shape,
}

impl Output {
    /// Several outputs, one after the other in their first dimension.
    ///
    /// # Errors
    /// When the device has no memory left.
    pub fn joined(mut parts: Vec<Self>) -> Result<Self> {
        if parts.len() == 1 {
            return Ok(parts.remove(0));
        }
        let parts: Vec<Tensor> = parts.into_iter().map(Self::into_tensor).collect();
        let all = Tensor::cat(&parts, 0)?;
        let (storage, layout) = all.storage_and_layout();
        Ok(Self { storage: storage.try_clone(layout)?, shape: all.shape().clone() })
    }

    /// Memory of another device than that of any place.
    #[cfg(all(test, not(feature = "metal")))]
    pub fn elsewhere(elements: usize) -> Self {
        Self { storage: Storage::Metal(candle_core::MetalStorage), shape: elements.into() }
    }

    /// The memory alone.
    pub fn into_storage(self) -> Storage {
        self.storage
    }

    /// The memory as a tensor without history.
    pub fn into_tensor(self) -> Tensor {
        Tensor::from_storage(self.storage, self.shape, BackpropOp::none(), false)
    }
}

#[cfg(test)]
fn host_address(storage: &CpuStorage) -> Result<u64> {
    fn of<T: WithDType>(storage: &CpuStorage) -> Result<u64> {
        Ok(storage.as_slice::<T>()?.as_ptr() as u64)
    }
    match storage {
        CpuStorage::U32(_) => of::<u32>(storage),
        CpuStorage::I64(_) => of::<i64>(storage),
        CpuStorage::F32(_) => of::<f32>(storage),
        CpuStorage::F64(_) => of::<f64>(storage),
        CpuStorage::BF16(_) => of::<bf16>(storage),
        CpuStorage::F16(_) => of::<f16>(storage),
        _ => bail!("no kernel takes tensors of this type"),
    }
}

#[cfg(test)]
fn host_memory(dtype: DType, count: usize) -> Result<CpuStorage> {
    Ok(match dtype {
        DType::U32 => CpuStorage::U32(vec![u32::MAX; count]),
        DType::F32 => CpuStorage::F32(vec![f32::NAN; count]),
        DType::F64 => CpuStorage::F64(vec![f64::NAN; count]),
        DType::BF16 => CpuStorage::BF16(vec![bf16::NAN; count]),
        DType::F16 => CpuStorage::F16(vec![f16::NAN; count]),
        other => bail!("no kernel writes tensors of type {other:?}"),
    })
}
