//! The name of this machine.

use std::{env, fs};

/// Returns the name of this machine in its network; `None` if it is unknown.
pub(crate) fn name() -> Option<String> {
    let named = fs::read_to_string("/proc/sys/kernel/hostname").ok().or_else(|| env::var("HOSTNAME").ok());
    named.map(|name| name.trim().to_owned()).filter(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_os = "linux")]
    fn a_machine_has_a_name_without_blanks_around_it() {
        let name = name().unwrap();
        assert!(!name.is_empty() && name.trim() == name, "{name:?}");
    }
}
