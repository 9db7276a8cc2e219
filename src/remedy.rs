//! Remedies for errors of the system that have the same cause in every operation.

use std::io::{Error, ErrorKind};

use rustix::io::Errno;

/// Returns the remedy if the error alone determines one.
pub(crate) fn of(error: &Error) -> Option<&'static str> {
    Some(match Errno::from_io_error(error) {
        Some(Errno::MFILE) => "too many files are open; raise the limit, as with `ulimit -n 4096`, and try again",
        Some(Errno::NFILE) => "the whole system has too many files open; close other programs, and try again",
        Some(Errno::NOMEM | Errno::NOBUFS) => "free some memory, and try again",
        Some(Errno::IO | Errno::NXIO | Errno::NODEV | Errno::REMOTEIO) => {
            "the disk or its connection has failed; see the system's log (`dmesg`), copy what can be read, and try \
             again"
        }
        Some(Errno::STALE) => "the network file system has lost its place; mount it again, and try again",
        Some(Errno::TIMEDOUT | Errno::HOSTDOWN | Errno::HOSTUNREACH | Errno::NOTCONN | Errno::AGAIN | Errno::BUSY) => {
            "the file system does not answer now; see that it is connected, and try again"
        }
        Some(Errno::FBIG) => "raise the limit on the size of files (`ulimit -f`)",
        Some(Errno::LOOP) => "it is a link that leads to itself",
        _ if error.kind() == ErrorKind::PermissionDenied => {
            "check who owns it, its permissions and those of the folders above it, and try again"
        }
        _ => return None,
    })
}

/// Returns the remedy as it follows in a message; empty if there is none.
pub(crate) fn after(error: &Error) -> String {
    of(error).map(|remedy| format!("; {remedy}")).unwrap_or_default()
}

/// Whether a path does not exist, as opposed to one that cannot be inspected.
pub(crate) fn is_absence(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_system_does_not_give_has_a_remedy_and_is_not_absent() {
        let remedies =
            [Errno::ACCESS, Errno::MFILE, Errno::NFILE, Errno::IO, Errno::STALE, Errno::NOMEM].map(|errno| {
                let error = Error::from(errno);
                assert!(!is_absence(&error), "{error}");
                after(&error)
            });
        assert!(remedies.iter().all(|remedy| remedy.contains("try again")), "{remedies:?}");
        assert!(is_absence(&Errno::NOENT.into()) && is_absence(&Errno::NOTDIR.into()));
    }
}
