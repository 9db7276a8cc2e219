//! The switch that turns the kernels of the CPU off: operations then take their reference, and optimizers update with
//! tensor operations, as on a device that has no kernels. It is for tests, and for comparing a kernel with its
//! reference in a whole run.

use std::env;
use std::sync::atomic::{AtomicU8, Ordering};

/// The environment variable that turns the kernels off for a process. It is read once.
pub(crate) const VARIABLE: &str = "REKINDLE_REFERENCE";

const UNREAD: u8 = 0;
const ON: u8 = 1;
const OFF: u8 = 2;

static KERNELS: AtomicU8 = AtomicU8::new(UNREAD);

/// Whether operations and updates on the CPU use their kernels.
#[inline]
pub(crate) fn has_kernels() -> bool {
    match KERNELS.load(Ordering::Relaxed) {
        UNREAD => read(),
        kernels => kernels == ON,
    }
}

#[cold]
fn read() -> bool {
    let is_off = is_set(env::var(VARIABLE).ok().as_deref());
    KERNELS.store(if is_off { OFF } else { ON }, Ordering::Relaxed);
    !is_off
}

fn is_set(value: Option<&str>) -> bool {
    value.is_some_and(|value| !matches!(value, "" | "0"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_variable_is_off_where_it_is_empty_or_0() {
        assert_eq!([None, Some(""), Some("0")].map(is_set), [false; 3]);
        assert!(is_set(Some("1")));
    }
}
