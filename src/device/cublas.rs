//! cuBLAS, which computes the products of matrices on an NVIDIA GPU: the settings that its bits depend on.

#[cfg(feature = "cuda")]
use std::sync::{Arc, Mutex, PoisonError, Weak};

#[cfg(feature = "cuda")]
use candle_core::cuda_backend::cudarc::{
    cublas::CudaBlas,
    cublas::sys::{cublasGetVersion_v2, cublasMath_t, cublasSetMathMode, cublasSetWorkspace_v2},
    driver::{CudaSlice, DevicePtr},
};
#[cfg(feature = "cuda")]
use candle_core::{CudaDevice, Result, cuda, cuda_backend::WrapErr};

/// Bytes of temporary memory, as NVIDIA recommends for its newest GPUs. Which kernel cuBLAS takes depends on the size.
#[cfg(feature = "cuda")]
const WORKSPACE: usize = 32 << 20;

/// Fixes what cuBLAS decides for itself otherwise: the temporary memory, which it would take from a pool that streams
/// share, and the type of the sums of f16 and bf16, where a product is computed in several parts.
#[cfg(feature = "cuda")]
pub fn set_up(device: &CudaDevice) -> Result<()> {
    let blas = device.cublas_handle();
    let sums_in_f32 = cublasMath_t::CUBLAS_MATH_DISALLOW_REDUCED_PRECISION_REDUCTION;
    // SAFETY: the handle is the device's own.
    unsafe { cublasSetMathMode(*blas.handle(), sums_in_f32) }.result().w()?;
    // SAFETY: cuBLAS writes what it reads there.
    let workspace = unsafe { device.alloc::<u8>(WORKSPACE)? };
    let address = workspace.device_ptr(&device.cuda_stream()).0 as *mut std::ffi::c_void;
    keep(&blas, workspace);
    // SAFETY: the memory lives for as long as the handle, and all products are in the stream in which it was allocated.
    unsafe { cublasSetWorkspace_v2(*blas.handle(), address, WORKSPACE) }.result().w()
}

/// Keeps `workspace` for as long as the handle lives, which all clones of a device share; and frees those of others.
#[cfg(feature = "cuda")]
fn keep(blas: &Arc<CudaBlas>, workspace: CudaSlice<u8>) {
    static KEPT: Mutex<Vec<(Weak<CudaBlas>, CudaSlice<u8>)>> = Mutex::new(Vec::new());
    let mut kept = KEPT.lock().unwrap_or_else(PoisonError::into_inner);
    kept.retain(|(blas, _)| blas.strong_count() > 0);
    kept.push((Arc::downgrade(blas), workspace));
}

/// Describes cuBLAS: its version, and what a program has allowed it.
#[cfg(feature = "cuda")]
pub fn description(device: &CudaDevice) -> Option<String> {
    let mut version = 0;
    // SAFETY: the handle is the device's own, and the library writes a number to the address.
    unsafe { cublasGetVersion_v2(*device.cublas_handle().handle(), &raw mut version) }.result().ok()?;
    let allowed =
        [cuda::gemm_reduced_precision_f32(), cuda::gemm_reduced_precision_f16(), cuda::gemm_reduced_precision_bf16()];
    Some(described(version, allowed))
}

/// `version` is a number such as 130002; `allowed` is whether products of f32, f16 and bf16 may be less exact.
fn described(version: i32, allowed: [bool; 3]) -> String {
    let less_exact = ["f32 products in TF32", "f16 sums in f16", "bf16 products in fast bf16"];
    let named = less_exact.iter().zip(allowed).filter(|(_, allowed)| *allowed);
    named.fold(format!("cuBLAS {version}"), |text, (name, _)| text + ", " + name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_that_a_program_allows_to_be_less_exact_are_recorded() {
        assert_eq!(described(130_002, [false; 3]), "cuBLAS 130002");
        assert_eq!(described(120_901, [true, false, false]), "cuBLAS 120901, f32 products in TF32");
        assert_eq!(
            described(130_002, [false, true, true]),
            "cuBLAS 130002, f16 sums in f16, bf16 products in fast bf16"
        );
    }
}
