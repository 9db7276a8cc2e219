//! What to do about an error of the system that has the same cause whatever was being done.

use std::io::{Error, ErrorKind};

use rustix::io::Errno;

/// The remedy, where the error alone says enough for one.
pub(crate) fn of(error: &Error) -> Option<&'static str> {
    match error.raw_os_error().map(Errno::from_raw_os_error) {
        Some(Errno::MFILE | Errno::NFILE) => Some("too many files are open; raise the limit, as with `ulimit -n 4096`"),
        _ if error.kind() == ErrorKind::PermissionDenied => Some("check who owns it and its permissions"),
        _ => None,
    }
}
