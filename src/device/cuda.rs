//! NVIDIA GPUs: opening one, and its properties.

use std::sync::Arc;

use candle_core::cuda_backend::cudarc::driver::result::{device as driver_device, mem_pool};
use candle_core::cuda_backend::cudarc::driver::sys::CUmemPool_attribute::CU_MEMPOOL_ATTR_RELEASE_THRESHOLD;
use candle_core::cuda_backend::cudarc::driver::sys::{CUDA_VERSION, cuDriverGetVersion};
use candle_core::cuda_backend::cudarc::driver::{CudaContext, DriverError};
use candle_core::{CudaDevice, Device};

use super::cublas;
use super::error::{Compiled, DeviceError, version};

/// The compute capability that the kernels were compiled for, such as `90a`.
const COMPILED_FOR: &str = env!("REKINDLE_COMPUTE_CAP");

/// Opens the GPU for process `local_rank` of those on this machine.
pub fn open_of(local_rank: usize) -> Result<Device, DeviceError> {
    open(super::gpu_of(local_rank, count()?)?)
}

/// Returns how many GPUs there are, at least 1.
fn count() -> Result<usize, DeviceError> {
    let count = CudaContext::device_count().map_err(of_driver)?;
    match usize::try_from(count) {
        Ok(count) if count > 0 => Ok(count),
        _ => Err(DeviceError::NoGpu { reason: String::new() }),
    }
}

/// Opens the GPU with this number.
pub fn open(ordinal: usize) -> Result<Device, DeviceError> {
    let count = count()?;
    if ordinal >= count {
        return Err(DeviceError::Missing { ordinal, count });
    }
    let driver = driver_version().map_err(of_driver)?;
    if driver < CUDA_VERSION {
        return Err(DeviceError::OldDriver { driver: version(driver), needed: version(CUDA_VERSION) });
    }
    // One stream for all threads: with a stream per thread, one would read what another has not written yet.
    let device = CudaDevice::new_with_stream(ordinal).map_err(DeviceError::failed)?;
    let (major, minor) = context(&device).compute_capability().map_err(of_driver)?;
    Compiled::of(COMPILED_FOR).check(major, minor)?;
    cublas::set_up(&device).map_err(DeviceError::failed)?;
    // A GPU without such a pool is slower, and works.
    let _ = keep_memory(&context(&device));
    Ok(Device::Cuda(device))
}

/// Lets the driver keep memory that is freed, for the next step. Otherwise it is given back whenever a thread waits for
/// the GPU, and each step maps it once more.
fn keep_memory(context: &CudaContext) -> Result<(), DriverError> {
    let mut all = u64::MAX;
    // SAFETY: the device is an open one, the pool is its own, and the attribute is a number of 64 bits.
    unsafe {
        let pool = driver_device::get_default_mem_pool(context.cu_device())?;
        mem_pool::set_attribute(pool, CU_MEMPOOL_ATTR_RELEASE_THRESHOLD, (&raw mut all).cast())
    }
}

/// Returns the GPU's model, and the versions of the software that computes: with others, the bits may differ.
pub fn description(device: &CudaDevice) -> Option<String> {
    let context = context(device);
    let (major, minor) = context.compute_capability().ok()?;
    let (name, driver) = (context.name().ok()?, version(driver_version().ok()?));
    let cublas = cublas::description(device)?;
    Some(format!("{name}, compute capability {major}.{minor}, driver for CUDA {driver}, {cublas}"))
}

/// Returns the free bytes of the GPU's memory, and all of them.
pub fn memory(device: &CudaDevice) -> Option<(u64, u64)> {
    let (free, all) = context(device).mem_get_info().ok()?;
    Some((free as u64, all as u64))
}

fn context(device: &CudaDevice) -> Arc<CudaContext> {
    device.cuda_stream().context().clone()
}

/// The newest version of CUDA that the driver knows, such as 13000.
fn driver_version() -> Result<u32, DriverError> {
    let mut version = 0;
    // SAFETY: the driver writes a number to the address.
    unsafe { cuDriverGetVersion(&raw mut version) }.result()?;
    Ok(u32::try_from(version).unwrap_or(0))
}

fn of_driver(error: DriverError) -> DeviceError {
    DeviceError::of_driver(error.0 as u32, named(&error))
}

/// The name of the driver's answer alone; the explanation beside it is the driver's, and missing where there is none.
fn named(error: &DriverError) -> String {
    format!("{:?}", error.0)
}
