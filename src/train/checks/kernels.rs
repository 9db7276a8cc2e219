//! A run without the kernels of the CPU, reported before its first step.

use crate::cpu;
use crate::notice::Notice;

/// Returns the notice of a run whose kernels are turned off.
pub(crate) fn notice() -> Option<Notice> {
    (!cpu::has_kernels()).then(|| {
        Notice::Warning(format!(
            "{} is set, so operations and updates on the CPU use no kernels but their references: it takes \
             longer and has other bits; unset it for training",
            cpu::REFERENCE_VARIABLE
        ))
    })
}
