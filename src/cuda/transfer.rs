//! Copies of tensors from a GPU to host memory beside training.
//!
//! The values are copied on the GPU first, on the stream of training and so between two updates: that takes a
//! thousandth of the time of a copy to the host. A stream for transfers waits for an event behind that copy, and
//! another thread than that of training brings the copy to the host, through pinned memory.

use std::sync::Arc;

use candle_core::Tensor;

use crate::state::BegunCopy;

/// Begins to copy `tensor`. `None` where it is not on a GPU, or where the copy would take more than half of the memory
/// that is free there.
pub(crate) fn begin(tensor: &Tensor) -> Option<Arc<dyn BegunCopy>> {
    match tensor.device() {
        #[cfg(feature = "cuda")]
        candle_core::Device::Cuda(device) => on_cuda::begin(tensor, device).ok().flatten(),
        _ => None,
    }
}

#[cfg(feature = "cuda")]
mod on_cuda {
    use std::collections::BTreeMap;
    use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

    use candle_core::cuda_backend::cudarc::driver::sys::CUevent_flags::CU_EVENT_BLOCKING_SYNC;
    use candle_core::cuda_backend::cudarc::driver::{CudaEvent, CudaSlice, CudaStream, CudaView, PinnedHostSlice};
    use candle_core::cuda_backend::{CudaStorageSlice, WrapErr};
    use candle_core::{CudaDevice, CudaStorage, Result, Storage, Tensor, bail};

    use crate::parameters::host_dtype;
    use crate::state::{BegunCopy, HostTensor, StateError};

    /// Bytes of pinned memory: a larger tensor comes in pieces.
    const PIECE: usize = 32 << 20;

    /// Shared by the copies from one GPU.
    #[derive(Debug)]
    struct Transfer {
        stream: Arc<CudaStream>,
        pinned: Mutex<PinnedHostSlice<u8>>,
    }

    /// A copy on the GPU, complete after the event.
    #[derive(Debug)]
    struct OnGpu {
        copy: Tensor,
        copied: CudaEvent,
        transfer: Arc<Transfer>,
    }

    pub(super) fn begin(tensor: &Tensor, device: &CudaDevice) -> Result<Option<Arc<dyn BegunCopy>>> {
        let stream = device.cuda_stream();
        let bytes = tensor.elem_count() * tensor.dtype().size_in_bytes();
        let (free, _) = stream.context().mem_get_info().w()?;
        if bytes > free / 2 {
            return Ok(None);
        }
        let transfer = Transfer::of(device)?;
        let copy = tensor.detach().force_contiguous()?;
        let copied = stream.record_event(None).w()?;
        Ok(Some(Arc::new(OnGpu { copy, copied, transfer })))
    }

    impl BegunCopy for OnGpu {
        fn finish(&self, host: &mut HostTensor) -> std::result::Result<(), StateError> {
            host.dtype = host_dtype(self.copy.dtype());
            host.shape = self.copy.dims().to_vec();
            host.bytes.clear();
            let (storage, layout) = self.copy.storage_and_layout();
            let (Storage::Cuda(storage), Some((start, end))) = (&*storage, layout.contiguous_offsets()) else {
                return Err(StateError::Unable("a tensor on a GPU was expected".to_owned()));
            };
            let size = self.copy.dtype().size_in_bytes();
            let all = bytes_of(storage)?.slice(start * size..end * size);
            Ok(self.transfer.read(&all, &self.copied, &mut host.bytes)?)
        }
    }

    impl Transfer {
        /// The one of a GPU, which is made once.
        fn of(device: &CudaDevice) -> Result<Arc<Self>> {
            static ALL: Mutex<BTreeMap<usize, Arc<Transfer>>> = Mutex::new(BTreeMap::new());
            let stream = device.cuda_stream();
            let context = stream.context();
            let mut all = lock(&ALL);
            if let Some(transfer) = all.get(&context.ordinal()) {
                return Ok(Arc::clone(transfer));
            }
            // Without a flag: the default is memory that the processor reads slowly.
            // SAFETY: what is read of it was written by a copy before.
            let pinned = unsafe { context.alloc_pinned_with_flags::<u8>(PIECE, 0) }.w()?;
            let transfer = Arc::new(Self { stream: context.new_stream().w()?, pinned: Mutex::new(pinned) });
            all.insert(context.ordinal(), Arc::clone(&transfer));
            Ok(transfer)
        }

        /// Adds the bytes of `all`, which are complete after the event `copied`, to `host`.
        fn read(&self, all: &CudaView<'_, u8>, copied: &CudaEvent, host: &mut Vec<u8>) -> Result<()> {
            let mut pinned = lock(&self.pinned);
            self.stream.wait(copied).w()?;
            host.reserve_exact(all.len());
            for start in (0..all.len()).step_by(PIECE) {
                let piece = all.slice(start..all.len().min(start + PIECE));
                self.stream.memcpy_dtoh(&piece, &mut *pinned).w()?;
                // The thread sleeps until then, which leaves its core to the data.
                self.stream.record_event(Some(CU_EVENT_BLOCKING_SYNC)).w()?.synchronize().w()?;
                host.extend_from_slice(&pinned.as_slice().w()?[..piece.len()]);
            }
            Ok(())
        }
    }

    /// The bytes of a storage of a type that can be saved.
    fn bytes_of(storage: &CudaStorage) -> Result<CudaView<'_, u8>> {
        fn of<T>(slice: &CudaSlice<T>) -> Option<CudaView<'_, u8>> {
            // SAFETY: every byte of a number is a number of 8 bits.
            unsafe { slice.transmute(slice.num_bytes()) }
        }
        let bytes = match &storage.slice {
            CudaStorageSlice::U8(slice) => of(slice),
            CudaStorageSlice::U32(slice) => of(slice),
            CudaStorageSlice::I16(slice) => of(slice),
            CudaStorageSlice::I32(slice) => of(slice),
            CudaStorageSlice::I64(slice) => of(slice),
            CudaStorageSlice::F16(slice) => of(slice),
            CudaStorageSlice::BF16(slice) => of(slice),
            CudaStorageSlice::F32(slice) => of(slice),
            CudaStorageSlice::F64(slice) => of(slice),
            _ => None,
        };
        match bytes {
            Some(bytes) => Ok(bytes),
            None => bail!("tensors of dtype {:?} cannot be saved", self::dtype(storage)),
        }
    }

    fn dtype(storage: &CudaStorage) -> candle_core::DType {
        candle_core::backend::BackendStorage::dtype(storage)
    }

    fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
        mutex.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
