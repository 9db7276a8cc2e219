//! Memory and launches on a GPU, through Candle's device.
//!
//! All work is on the one stream of Candle's device, in order: memory that is freed after a launch is not used again
//! before the kernel has ended.

use candle_core::cuda_backend::cudarc::driver::{CudaSlice, DevicePtr, LaunchConfig, PushKernelArg};
use candle_core::cuda_backend::{CudaDType, CudaStorageSlice, WrapErr};
use candle_core::{CudaDevice, CudaStorage, DType, Result, bail};
use half::{bf16, f16};

use super::launch::{Argument, THREADS};

mod ptx {
    //! The kernels of each file, compiled.
    #![allow(missing_docs)]
    include!(concat!(env!("OUT_DIR"), "/kernels.rs"));
}

/// Memory for `count` elements, of any content.
pub fn alloc(device: &CudaDevice, dtype: DType, count: usize) -> Result<CudaStorage> {
    fn of<T: CudaDType + candle_core::cuda_backend::cudarc::driver::DeviceRepr>(
        device: &CudaDevice,
        count: usize,
    ) -> Result<CudaStorage> {
        // SAFETY: a kernel writes every element before another one reads it.
        let slice: CudaSlice<T> = unsafe { device.alloc::<T>(count)? };
        Ok(CudaStorage::wrap_cuda_slice(slice, device.clone()))
    }
    match dtype {
        DType::U32 => of::<u32>(device, count),
        DType::F32 => of::<f32>(device, count),
        DType::F64 => of::<f64>(device, count),
        DType::BF16 => of::<bf16>(device, count),
        DType::F16 => of::<f16>(device, count),
        other => bail!("no kernel writes tensors of type {other:?}"),
    }
}

/// Where a storage's first element lies.
pub fn address(storage: &CudaStorage) -> Result<u64> {
    let stream = storage.device.cuda_stream();
    Ok(match &storage.slice {
        CudaStorageSlice::U32(slice) => slice.device_ptr(&stream).0,
        CudaStorageSlice::I64(slice) => slice.device_ptr(&stream).0,
        CudaStorageSlice::F32(slice) => slice.device_ptr(&stream).0,
        CudaStorageSlice::F64(slice) => slice.device_ptr(&stream).0,
        CudaStorageSlice::BF16(slice) => slice.device_ptr(&stream).0,
        CudaStorageSlice::F16(slice) => slice.device_ptr(&stream).0,
        _ => bail!("no kernel takes tensors of this type"),
    })
}

/// Puts a kernel on the device's stream.
pub fn launch(device: &CudaDevice, kernel: &str, blocks: u32, arguments: &[Argument]) -> Result<()> {
    let Some((module, code)) = ptx::of(kernel) else { bail!("no kernel is called {kernel}") };
    let function = device.get_or_load_custom_func(kernel, module, code)?;
    let mut builder = function.builder();
    for argument in arguments {
        match argument {
            Argument::U64(value) => builder.arg(value),
            Argument::U32(value) => builder.arg(value),
            Argument::F64(value) => builder.arg(value),
        };
    }
    let shape = LaunchConfig { grid_dim: (blocks, 1, 1), block_dim: (THREADS, 1, 1), shared_mem_bytes: 0 };
    // SAFETY: the arguments are those of the kernel's parameters, which the tests check with the same launches on the
    // processor; the addresses are of memory that lives until the stream has come to what frees it.
    unsafe { builder.launch(shape) }.w()?;
    Ok(())
}
