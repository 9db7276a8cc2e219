//! Errors of opening a device, and of its memory.

use candle_core::Error;

use crate::backtrace::without_backtrace;

/// Why a device cannot be opened. Every message says what helps.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DeviceError {
    /// Not a name of a device.
    #[error("must be `cpu`, `cuda`, `metal`, one of the last two with a number, such as `cuda:1`, or `auto`")]
    Unknown,
    /// This build cannot use such a device.
    #[error("this program was built without it; a build with `--features {feature}` can use it")]
    NotBuilt {
        /// The Cargo feature that it needs.
        feature: &'static str,
    },
    /// The driver does not work.
    #[error(
        "there is no driver for NVIDIA GPUs that works ({reason}); install one, and try again when `nvidia-smi` lists \
         the GPU"
    )]
    NoDriver {
        /// The driver's answer.
        reason: String,
    },
    /// The driver works, and finds no GPU.
    #[error(
        "the driver finds no NVIDIA GPU{}; `nvidia-smi` lists those of the machine, and CUDA_VISIBLE_DEVICES hides \
         all that it does not name",
        answered(reason)
    )]
    NoGpu {
        /// The driver's answer; may be empty.
        reason: String,
    },
    /// The driver is older than the toolkit of this build.
    #[error(
        "its driver is for CUDA {driver}, and this program was built with CUDA {needed}; install a newer driver, or \
         build the program with CUDA {driver} or older"
    )]
    OldDriver {
        /// The newest version of CUDA that the driver knows.
        driver: String,
        /// The version of this build.
        needed: String,
    },
    /// The kernels were not compiled for this GPU.
    #[error(
        "it has compute capability {has}, and the kernels of this program were compiled for {needed}; build it with \
         CUDA_COMPUTE_CAP={}",
        has.replace('.', "")
    )]
    OtherGpu {
        /// The compute capability of the GPU, such as `8.0`.
        has: String,
        /// That of this build.
        needed: String,
    },
    /// The number is too large.
    #[error("there is no device {ordinal}: {}", counted(*.count))]
    Missing {
        /// The number asked for.
        ordinal: usize,
        /// How many there are.
        count: usize,
    },
    /// More processes of a run than GPUs.
    #[error(
        "process {local_rank} of this machine (counted from 0) has no GPU: the program finds {count}; start at most \
         {count} processes on a machine, or let CUDA_VISIBLE_DEVICES name more of its GPUs"
    )]
    FewerGpus {
        /// The number of the process among those on its machine.
        local_rank: usize,
        /// How many GPUs there are.
        count: usize,
    },
    /// The device failed.
    #[error("{error}{}", if is_out_of_memory(error) { OTHERS } else { "" })]
    Failed {
        /// Its answer.
        error: Box<Error>,
    },
}

impl DeviceError {
    /// The error of the driver's answer `code`, a `CUresult`.
    #[cfg(any(feature = "cuda", test))]
    pub(super) fn of_driver(code: u32, reason: String) -> Self {
        const NO_DEVICE: u32 = 100;
        if code == NO_DEVICE { Self::NoGpu { reason } } else { Self::NoDriver { reason } }
    }

    pub(super) fn failed(error: Error) -> Self {
        Self::Failed { error: Box::new(without_backtrace(error)) }
    }
}

const OTHERS: &str = "; other programs use its memory: `nvidia-smi` lists them";

fn answered(reason: &str) -> String {
    if reason.is_empty() { String::new() } else { format!(" ({reason})") }
}

fn counted(count: usize) -> String {
    match count {
        1 => "there is one, number 0".to_owned(),
        count => format!("there are {count}, numbered from 0"),
    }
}

/// Returns the version that NVIDIA writes as `12040`.
#[cfg(any(feature = "cuda", test))]
pub(super) fn version(number: u32) -> String {
    format!("{}.{}", number / 1000, number % 1000 / 10)
}

/// The compute capability that the kernels were compiled for, in the form of nvcc: `80`, `90a`, `121f`.
#[cfg(any(feature = "cuda", test))]
#[derive(Clone, Copy)]
pub(super) struct Compiled {
    major: i32,
    minor: i32,
    reach: Reach,
}

/// Which other GPUs run the kernels.
#[cfg(any(feature = "cuda", test))]
#[derive(Clone, Copy)]
enum Reach {
    /// No others.
    Exact,
    /// Newer ones of the same major version.
    Family,
    /// All newer ones.
    Newer,
}

#[cfg(any(feature = "cuda", test))]
impl Compiled {
    pub fn of(text: &str) -> Self {
        let number = text.trim_end_matches(['a', 'f']).parse::<i32>().unwrap_or(0);
        let reach = match text.chars().last() {
            Some('a') => Reach::Exact,
            Some('f') => Reach::Family,
            _ => Reach::Newer,
        };
        Self { major: number / 10, minor: number % 10, reach }
    }

    /// Refuses a GPU of this compute capability that cannot run the kernels.
    pub fn check(self, major: i32, minor: i32) -> Result<(), DeviceError> {
        let is_newer = (major, minor) >= (self.major, self.minor);
        let (runs, others) = match self.reach {
            Reach::Exact => ((major, minor) == (self.major, self.minor), ""),
            Reach::Family => (is_newer && major == self.major, " and newer of its family"),
            Reach::Newer => (is_newer, " and newer"),
        };
        let needed = format!("{}.{}{others}", self.major, self.minor);
        if runs { Ok(()) } else { Err(DeviceError::OtherGpu { has: format!("{major}.{minor}"), needed }) }
    }
}

/// Whether the device has failed because its memory is used up. The text is searched, because the error's type exists
/// only in a build for GPUs, and other errors wrap it.
pub(crate) fn is_out_of_memory(error: &dyn std::error::Error) -> bool {
    // Of the driver, cuBLAS, and cuDNN.
    const ANSWERS: [&str; 4] = [
        "CUDA_ERROR_OUT_OF_MEMORY",
        "CUBLAS_STATUS_ALLOC_FAILED",
        "CUDNN_STATUS_ALLOC_FAILED",
        "CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED",
    ];
    let text = error.to_string();
    ANSWERS.iter().any(|answer| text.contains(answer))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_error_says_what_helps() {
        let not_built = DeviceError::NotBuilt { feature: "cuda" }.to_string();
        assert_eq!(not_built, "this program was built without it; a build with `--features cuda` can use it");
        let stub = DeviceError::of_driver(34, "CUDA_ERROR_STUB_LIBRARY".to_owned()).to_string();
        assert!(stub.contains("no driver for NVIDIA GPUs that works (CUDA_ERROR_STUB_LIBRARY); install one"), "{stub}");
        let none = DeviceError::of_driver(100, "CUDA_ERROR_NO_DEVICE".to_owned()).to_string();
        assert!(none.contains("the driver finds no NVIDIA GPU (CUDA_ERROR_NO_DEVICE); `nvidia-smi` lists"), "{none}");
        let none = DeviceError::NoGpu { reason: String::new() }.to_string();
        assert!(none.starts_with("the driver finds no NVIDIA GPU; "), "{none}");
        let old = DeviceError::OldDriver { driver: version(12040), needed: version(13000) }.to_string();
        assert!(old.contains("is for CUDA 12.4, and this program was built with CUDA 13.0; install a newer"), "{old}");
        let other = Compiled::of("90a").check(8, 0).unwrap_err().to_string();
        assert!(other.contains("capability 8.0, and the kernels of this program were compiled for 9.0;"), "{other}");
        assert!(other.ends_with("build it with CUDA_COMPUTE_CAP=80"), "{other}");
    }

    #[test]
    fn kernels_run_on_the_gpus_that_nvcc_compiled_them_for() {
        let runs = |text: &str, major, minor| Compiled::of(text).check(major, minor).is_ok();
        assert!(runs("80", 8, 0) && runs("80", 8, 6) && runs("80", 9, 0) && !runs("80", 7, 5));
        assert!(runs("90a", 9, 0) && !runs("90a", 8, 9) && !runs("90a", 10, 0));
        assert!(runs("121f", 12, 1) && !runs("121f", 12, 0) && !runs("121f", 13, 0));
    }

    #[test]
    fn a_number_that_is_too_large_is_answered_with_how_many_there_are() {
        let message = |count| DeviceError::Missing { ordinal: 4, count }.to_string();
        assert_eq!(message(1), "there is no device 4: there is one, number 0");
        assert_eq!(message(2), "there is no device 4: there are 2, numbered from 0");
    }

    #[test]
    fn memory_that_is_used_up_is_recognized_within_other_errors() {
        let full = || Error::Msg("DriverError(CUDA_ERROR_OUT_OF_MEMORY, \"out of memory\")".to_owned());
        assert!(is_out_of_memory(&full()) && is_out_of_memory(&full().context("in `attention`")));
        assert!(is_out_of_memory(&crate::optim::OptimError::from(full())));
        assert!(!is_out_of_memory(&Error::Msg("DriverError(CUDA_ERROR_ILLEGAL_ADDRESS)".to_owned())));
        let at_start = DeviceError::failed(full()).to_string();
        assert!(at_start.ends_with("; other programs use its memory: `nvidia-smi` lists them"), "{at_start}");
    }
}
