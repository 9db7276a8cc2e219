//! Where a run computes. A test that is given the place runs everywhere that this machine has.

use std::io::{self, Write};
use std::process::Command;
use std::sync::OnceLock;

use candle_core::Device;

/// The environment variable that turns the kernels of the CPU off.
const REFERENCE: &str = "REKINDLE_REFERENCE";

/// A device, and the kernels that it uses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Place {
    /// The CPU with its kernels.
    #[default]
    Cpu,
    /// The CPU with the reference of each operation and update, as on a device without kernels.
    Reference,
    /// The first NVIDIA GPU.
    Cuda,
}

impl Place {
    /// The places other than the CPU with its kernels that this machine has. Where it has no GPU, stderr says that the
    /// test `what` does not run on one, and why.
    pub fn others(what: &str) -> Vec<Self> {
        let cuda = Self::cuda(what).map(|_| Self::Cuda);
        [Self::Reference].into_iter().chain(cuda).collect()
    }

    /// Opens the first GPU, if there is one; otherwise stderr says so.
    pub fn cuda(what: &str) -> Option<Device> {
        static OPENED: OnceLock<Result<Device, String>> = OnceLock::new();
        match OPENED.get_or_init(open_cuda) {
            Ok(device) => Some(device.clone()),
            Err(reason) => {
                // Unlike `eprintln!`, this is seen when the test passes.
                let _ = writeln!(io::stderr(), "NOT RUN on a GPU: {what}: {reason}");
                None
            }
        }
    }

    /// The first lines of a configuration for this place.
    pub fn lines(self) -> &'static str {
        if self == Self::Cuda { "device = 'cuda'\n" } else { "" }
    }

    /// Sets the environment of a program that trains here.
    pub fn prepare(self, command: &mut Command) {
        match self {
            Self::Reference => command.env(REFERENCE, "1"),
            Self::Cpu | Self::Cuda => command.env_remove(REFERENCE),
        };
    }
}

/// As a run opens it.
fn open_cuda() -> Result<Device, String> {
    rekindle::device::open("cuda").map(|opened| opened.device).map_err(|error| error.to_string())
}

/// Runs the test `name` of this program again, in a process with the kernels of the CPU turned off.
#[track_caller]
pub fn again_with_references(name: &str) {
    let mut command = Command::new(std::env::current_exe().unwrap());
    let output = command.args([name, "--exact"]).env(REFERENCE, "1").output().unwrap();
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success() && told.contains("1 passed"), "{told}{}", String::from_utf8_lossy(&output.stderr));
}
