//! The device that computes, by name.

use candle_core::{Device, Error};

use crate::backtrace::without_backtrace;

/// Why a device cannot be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DeviceError {
    /// Not a name of a device.
    #[error("must be `auto`, `cpu`, `cuda`, `metal`, or one of the last two with a number, such as `cuda:1`")]
    Unknown,
    /// This build cannot use such a device.
    #[error("this build has no support for it: build with `--features {feature}`")]
    NotBuilt {
        /// The Cargo feature that it needs.
        feature: &'static str,
    },
    /// The driver does not find any device, or does not work.
    #[error("{reason}; `nvidia-smi` says whether the driver works and lists the GPUs")]
    Driver {
        /// The driver's answer.
        reason: String,
    },
    /// The number is too large.
    #[error("there is no device {ordinal}: {}", counted(*.count))]
    Missing {
        /// The number asked for.
        ordinal: usize,
        /// How many there are.
        count: usize,
    },
    /// The device failed.
    #[error("{0}")]
    Failed(Box<Error>),
}

fn counted(count: usize) -> String {
    match count {
        1 => "there is one, number 0".to_owned(),
        count => format!("there are {count}, numbered from 0"),
    }
}

/// Opens the device that `name` names: `cpu`, `cuda`, `cuda:N`, `metal`, `metal:N`, or `auto`, which is the first GPU
/// that this build can use, or else the CPU. Returns it with its name, which is never `auto`.
///
/// # Errors
/// [`DeviceError`]; `auto` has none.
pub fn open(name: &str) -> Result<(String, Device), DeviceError> {
    if name == "auto" {
        let gpu = ["cuda", "metal"].into_iter().find_map(|name| open(name).ok());
        return Ok(gpu.unwrap_or_else(|| ("cpu".to_owned(), Device::Cpu)));
    }
    let (kind, ordinal) = name.split_once(':').unwrap_or((name, "0"));
    let device = match (kind, ordinal.parse::<usize>()) {
        ("cpu", Ok(0)) => Ok(Device::Cpu),
        ("cuda", Ok(ordinal)) => cuda(ordinal),
        ("metal", Ok(ordinal)) => metal(ordinal),
        _ => Err(DeviceError::Unknown),
    }?;
    Ok((name.to_owned(), device))
}

#[cfg(feature = "cuda")]
fn cuda(ordinal: usize) -> Result<Device, DeviceError> {
    use candle_core::cuda_backend::cudarc::driver::CudaContext;
    let count = CudaContext::device_count().map_err(|error| DeviceError::Driver { reason: error.to_string() })?;
    let count = usize::try_from(count).unwrap_or(0);
    if count == 0 {
        return Err(DeviceError::Driver { reason: "the driver finds no GPU".to_owned() });
    }
    if ordinal >= count {
        return Err(DeviceError::Missing { ordinal, count });
    }
    // One stream for all threads: with a stream per thread, a batch uploaded by another one is a race.
    Device::new_cuda_with_stream(ordinal).map_err(failed)
}

#[cfg(not(feature = "cuda"))]
fn cuda(_: usize) -> Result<Device, DeviceError> {
    Err(DeviceError::NotBuilt { feature: "cuda" })
}

fn metal(ordinal: usize) -> Result<Device, DeviceError> {
    if !cfg!(feature = "metal") {
        return Err(DeviceError::NotBuilt { feature: "metal" });
    }
    Device::new_metal(ordinal).map_err(failed)
}

fn failed(error: Error) -> DeviceError {
    DeviceError::Failed(Box::new(without_backtrace(error)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_of_a_device_is_opened_or_says_why_not() {
        assert!(matches!(open("cpu"), Ok((name, Device::Cpu)) if name == "cpu"));
        for name in ["gpu", "cpu:1", "cuda:", "cuda:-1", "cuda:x", "", "Auto"] {
            assert!(matches!(open(name), Err(DeviceError::Unknown)), "{name}");
        }
        if !cfg!(feature = "cuda") {
            assert_eq!(open("cuda:1").unwrap_err().to_string(), "this build has no support for it: build with `--features cuda`");
        }
        if !cfg!(feature = "metal") {
            assert!(matches!(open("metal"), Err(DeviceError::NotBuilt { feature: "metal" })));
        }
    }

    #[test]
    fn auto_is_a_device_that_opens() {
        let (name, device) = open("auto").unwrap();
        assert_ne!(name, "auto");
        assert!(device.same_device(&open(&name).unwrap().1) || !device.is_cpu());
    }

    #[test]
    fn a_number_that_is_too_large_is_answered_with_how_many_there_are() {
        let message = |count| DeviceError::Missing { ordinal: 4, count }.to_string();
        assert_eq!(message(1), "there is no device 4: there is one, number 0");
        assert_eq!(message(2), "there is no device 4: there are 2, numbered from 0");
    }
}
