//! The streams of an NVIDIA GPU.

use std::ops::Range;
use std::sync::Arc;

use candle_core::cuda_backend::cudarc::driver::sys::CUevent_flags::CU_EVENT_BLOCKING_SYNC;
use candle_core::cuda_backend::cudarc::driver::{CudaEvent, CudaSlice, CudaStream, DeviceRepr, PinnedHostSlice};
use candle_core::cuda_backend::{CudaDType, WrapErr};
use candle_core::op::BackpropOp;
use candle_core::{CudaDevice, CudaStorage, DType, Device, Result, Shape, Storage, Tensor, bail};
use half::{bf16, f16};

use super::Upload;
use super::staged::{Staged, Streams};

/// Bytes of a buffer: a larger tensor goes in pieces.
const PIECE: usize = 8 << 20;

/// A smaller tensor goes the plain way: the driver puts up to 64 KiB into the command itself, without a wait.
const SMALLEST: usize = (64 << 10) + 1;

/// The stream for uploads of a GPU, beside that of training.
#[derive(Debug)]
struct GpuStreams {
    device: CudaDevice,
    uploads: Arc<CudaStream>,
}

/// The uploads to a GPU.
pub(super) fn to(device: &CudaDevice) -> Result<Arc<dyn Upload>> {
    let uploads = device.cuda_stream().context().new_stream().w()?;
    Ok(Arc::new(Staged::new(GpuStreams { device: device.clone(), uploads }, PIECE, SMALLEST)))
}

impl Streams for GpuStreams {
    type Pinned = PinnedHostSlice<u8>;
    type Memory = CudaSlice<u8>;
    type Event = CudaEvent;

    fn takes(dtype: DType) -> bool {
        matches!(dtype, DType::U8 | DType::U32 | DType::I64 | DType::BF16 | DType::F16 | DType::F32 | DType::F64)
    }

    fn pinned(&self, bytes: usize) -> Result<PinnedHostSlice<u8>> {
        // This kind of memory is quick to write and slow to read; it is only written.
        // SAFETY: the device reads of it what was written before.
        unsafe { self.uploads.context().alloc_pinned::<u8>(bytes) }.w()
    }

    fn fill(&self, pinned: &mut PinnedHostSlice<u8>, bytes: &[u8]) -> Result<()> {
        pinned.as_mut_slice().w()?[..bytes.len()].copy_from_slice(bytes);
        Ok(())
    }

    fn allocate(&self, bytes: usize) -> Result<CudaSlice<u8>> {
        // SAFETY: the copies fill all of it before the stream of training reads it.
        unsafe { self.uploads.alloc::<u8>(bytes) }.w()
    }

    fn copy(&self, pinned: &PinnedHostSlice<u8>, memory: &mut CudaSlice<u8>, range: Range<usize>) -> Result<()> {
        let piece = &pinned.as_slice().w()?[..range.len()];
        self.uploads.memcpy_htod(piece, &mut memory.slice_mut(range)).w()
    }

    fn event(&self) -> Result<CudaEvent> {
        self.uploads.record_event(Some(CU_EVENT_BLOCKING_SYNC)).w()
    }

    fn wait(&self, event: &CudaEvent) -> Result<()> {
        event.synchronize().w()
    }

    fn let_training_wait(&self, event: &CudaEvent) -> Result<()> {
        self.device.cuda_stream().wait(event).w()
    }

    fn arrive(&self, memory: CudaSlice<u8>, dtype: DType, shape: Shape) -> Result<Tensor> {
        let storage = match dtype {
            DType::U8 => self.owned::<u8>(memory, &shape),
            DType::U32 => self.owned::<u32>(memory, &shape),
            DType::I64 => self.owned::<i64>(memory, &shape),
            DType::BF16 => self.owned::<bf16>(memory, &shape),
            DType::F16 => self.owned::<f16>(memory, &shape),
            DType::F32 => self.owned::<f32>(memory, &shape),
            DType::F64 => self.owned::<f64>(memory, &shape),
            other => bail!("tensors of type {other:?} cannot arrive"),
        };
        Ok(Tensor::from_storage(Storage::Cuda(storage), shape, BackpropOp::none(), false))
    }

    fn device(&self) -> Device {
        Device::Cuda(self.device.clone())
    }
}

impl GpuStreams {
    /// The memory as one of the stream of training, in which it will be freed: that stream has waited for the copy, and
    /// the stream for uploads does not use it any more.
    fn owned<T: CudaDType + DeviceRepr>(&self, memory: CudaSlice<u8>, shape: &Shape) -> CudaStorage {
        let address = memory.leak();
        // SAFETY: the memory is that of a tensor of this shape and type, nothing else owns it any more, and every bit
        // pattern is a number.
        let slice = unsafe { self.device.cuda_stream().upgrade_device_ptr::<T>(address, shape.elem_count()) };
        CudaStorage::wrap_cuda_slice(slice, self.device.clone())
    }
}
