//! The device that computes, by name.
//!
//! ```
//! let opened = rekindle::device::open("auto")?;
//! println!("{} computes", opened.name);
//! # Ok::<(), rekindle::device::DeviceError>(())
//! ```

#[cfg(any(feature = "cuda", test))]
mod cublas;
#[cfg(feature = "cuda")]
mod cuda;
mod error;

use candle_core::Device;

pub use error::DeviceError;
pub(crate) use error::is_out_of_memory;

/// An open device.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Opened {
    /// Its name, which is never `auto`.
    pub name: String,
    /// The device.
    pub device: Device,
    /// Why `auto` is the CPU, if this build can use GPUs.
    pub no_gpu: Option<String>,
}

impl Opened {
    fn new(name: &str, device: Device) -> Self {
        Self { name: name.to_owned(), device, no_gpu: None }
    }
}

/// Opens the device that `name` names: `cpu`, `cuda`, `cuda:N`, `metal`, `metal:N`, or `auto`, which is the first GPU
/// that this build can use, or else the CPU.
///
/// # Errors
/// The name is unknown, this build cannot use such a device, there is no such device, or it fails. `auto` has no error.
pub fn open(name: &str) -> Result<Opened, DeviceError> {
    open_for(name, 0)
}

/// [`open`] in process `local_rank` of those on this machine, counted from 0: without a number, `cuda` and `auto` are then
/// the GPU of that number.
///
/// # Errors
/// As [`open`], and there are fewer GPUs than processes.
pub(crate) fn open_for(name: &str, local_rank: usize) -> Result<Opened, DeviceError> {
    if name == "auto" {
        return Ok(first_gpu(local_rank));
    }
    let (kind, ordinal) = name.split_once(':').unwrap_or((name, "0"));
    let device = match (kind, ordinal.parse::<usize>()) {
        ("cpu", Ok(0)) => Ok(Device::Cpu),
        ("cuda", Ok(_)) if !name.contains(':') => cuda_of(local_rank),
        ("cuda", Ok(ordinal)) => cuda(ordinal),
        ("metal", Ok(ordinal)) => metal(ordinal),
        _ => Err(DeviceError::Unknown),
    }?;
    Ok(Opened::new(name, device))
}

fn first_gpu(local_rank: usize) -> Opened {
    let mut no_gpu = None;
    for name in ["cuda", "metal"] {
        match open_for(name, local_rank) {
            Ok(opened) => return opened,
            Err(DeviceError::NotBuilt { .. }) => {}
            Err(error) => no_gpu = no_gpu.or(Some(error.to_string())),
        }
    }
    Opened { no_gpu, ..Opened::new("cpu", Device::Cpu) }
}

#[cfg(feature = "cuda")]
use cuda::{open as cuda, open_of as cuda_of};

#[cfg(not(feature = "cuda"))]
fn cuda(_: usize) -> Result<Device, DeviceError> {
    Err(DeviceError::NotBuilt { feature: "cuda" })
}

#[cfg(not(feature = "cuda"))]
use cuda as cuda_of;

/// The GPU for process `local_rank` of a machine, in which a program finds `count`. A single one may be that of this process
/// alone: a launcher can hide the others.
#[cfg(any(feature = "cuda", test))]
fn gpu_of(local_rank: usize, count: usize) -> Result<usize, DeviceError> {
    match local_rank {
        _ if count == 1 => Ok(0),
        local_rank if local_rank < count => Ok(local_rank),
        local_rank => Err(DeviceError::FewerGpus { local_rank, count }),
    }
}

fn metal(ordinal: usize) -> Result<Device, DeviceError> {
    if !cfg!(feature = "metal") {
        return Err(DeviceError::NotBuilt { feature: "metal" });
    }
    Device::new_metal(ordinal).map_err(DeviceError::failed)
}

/// Returns a description of the GPU and of the software that its bits depend on; `None` for other devices, and if the
/// driver does not answer.
pub fn gpu(device: &Device) -> Option<String> {
    match device {
        #[cfg(feature = "cuda")]
        Device::Cuda(device) => cuda::description(device),
        _ => None,
    }
}

/// Returns the free bytes of the GPU's memory, and all of them; `None` for other devices, and if the driver does not
/// answer.
pub(crate) fn memory(device: &Device) -> Option<(u64, u64)> {
    match device {
        #[cfg(feature = "cuda")]
        Device::Cuda(device) => cuda::memory(device),
        _ => None,
    }
}

/// Whether two names are of one device.
pub(crate) fn is_same(a: &str, b: &str) -> bool {
    let whole = |name: &str| name.strip_suffix(":0").unwrap_or(name).to_owned();
    whole(a) == whole(b)
}

/// Returns `cuda` for `cuda:1`.
pub(crate) fn kind(name: &str) -> &str {
    name.split(':').next().unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_of_a_device_is_opened_or_says_why_not() {
        assert!(matches!(open("cpu"), Ok(Opened { name, device: Device::Cpu, no_gpu: None }) if name == "cpu"));
        for name in ["gpu", "cpu:1", "cuda:", "cuda:-1", "cuda:x", "", "Auto", "auto:0"] {
            assert!(matches!(open(name), Err(DeviceError::Unknown)), "{name}");
        }
        if !cfg!(feature = "cuda") {
            assert!(matches!(open("cuda:1"), Err(DeviceError::NotBuilt { feature: "cuda" })));
        }
        if !cfg!(feature = "metal") {
            assert!(matches!(open("metal"), Err(DeviceError::NotBuilt { feature: "metal" })));
        }
    }

    #[test]
    fn auto_is_a_device_that_opens() {
        let auto = open("auto").unwrap();
        assert_ne!(auto.name, "auto");
        assert!(auto.device.same_device(&open(&auto.name).unwrap().device) || !auto.device.is_cpu());
        // A build that cannot use a GPU has nothing to say about it.
        let is_built = cfg!(feature = "cuda") || cfg!(feature = "metal");
        assert_eq!(auto.no_gpu.is_some(), is_built && auto.device.is_cpu());
    }

    #[test]
    fn each_process_of_a_machine_has_a_gpu_and_more_processes_are_refused() {
        assert_eq!([0, 1, 2].map(|local_rank| gpu_of(local_rank, 3).ok()), [Some(0), Some(1), Some(2)]);
        assert_eq!(gpu_of(3, 1).ok(), Some(0), "a launcher hides the GPUs of others");
        let told = gpu_of(2, 2).unwrap_err().to_string();
        let expected = "process 2 of this machine (counted from 0) has no GPU: the program finds 2; ";
        assert!(told.starts_with(expected), "{told}");
    }

    #[test]
    fn the_first_of_its_kind_has_two_names() {
        assert!(is_same("cuda", "cuda:0") && is_same("cpu", "cpu:0") && is_same("cuda:10", "cuda:10"));
        assert!(!is_same("cuda", "cuda:1") && !is_same("cuda", "metal") && !is_same("cuda:1", "cuda:10"));
        assert_eq!([kind("cuda:1"), kind("cuda"), kind("cpu")], ["cuda", "cuda", "cpu"]);
    }

    #[test]
    fn the_cpu_is_not_a_gpu() {
        assert_eq!(gpu(&Device::Cpu), None);
        assert_eq!(memory(&Device::Cpu), None);
    }
}
