//! The memory that a limit of the address space (`ulimit -v`) leaves to this process.

use super::Size;
use super::available::{Available, kilobytes};

/// Returns the limit of the address space of this process, in bytes; `None` without a limit.
pub fn address_space_limit() -> Option<u64> {
    #[cfg(unix)]
    return rustix::process::getrlimit(rustix::process::Resource::As).current;
    #[cfg(not(unix))]
    None
}

/// Bytes reserved for threads still to be started and for the temporary memory of a step.
///
/// A process that exhausts its address space ends at once, while one that exceeds other limits becomes slow first. So
/// sizes that cannot be computed in advance are bounded from above here.
pub(super) const ASIDE: u64 = 32 << 20;

/// Returns the memory left under `limit`, from the files `status` and `smaps` of `/proc/self`.
pub(super) fn left(limit: u64, status: &str, smaps: &str) -> Available {
    let used = kilobytes(status, "VmSize").unwrap_or(0).saturating_sub(reserve(smaps));
    let in_use = used.saturating_add(ASIDE);
    Available {
        bytes: limit.saturating_sub(in_use),
        limit: format!(
            "the limit of the address space is {} (ulimit -v), of which the program and its threads take {}",
            Size(limit),
            Size(in_use)
        ),
        is_of_requests: true,
    }
}

/// Returns the bytes that are mapped and still usable: large untouched reservations of an allocator. Smaller ones, such
/// as a thread's stack, have another purpose.
fn reserve(smaps: &str) -> u64 {
    const LARGE: u64 = 64 << 20;
    let mut sum: u64 = 0;
    let (mut is_anonymous, mut size) = (false, 0);
    for line in smaps.lines() {
        if let Some(found) = kilobytes(line, "Size") {
            size = found;
        } else if let Some(resident) = kilobytes(line, "Rss") {
            if is_anonymous && size >= LARGE {
                sum = sum.saturating_add(size.saturating_sub(resident));
            }
        } else if let Some(anonymous) = mapping(line) {
            is_anonymous = anonymous;
        }
    }
    sum
}

/// Whether the line begins a mapping, and if so, whether it is private memory without a file.
fn mapping(line: &str) -> Option<bool> {
    let mut fields = line.split_ascii_whitespace();
    let (range, rights, inode) = (fields.next()?, fields.next()?, fields.nth(2)?);
    range.contains('-').then(|| rights == "rw-p" && inode == "0" && fields.next().is_none())
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATUS: &str = "VmSize:\t 9000 kB\nVmRSS:\t 1000 kB\n";

    #[test]
    fn a_limit_leaves_what_is_not_mapped_and_not_kept_aside() {
        let left = left(50_000_000, STATUS, "");
        assert_eq!(left.bytes, 50_000_000 - 9000 * 1024 - ASIDE);
        let expected = "50 MB (ulimit -v), of which the program and its threads take 43 MB";
        assert!(left.limit.ends_with(expected), "{}", left.limit);
        assert_eq!(super::left(100, STATUS, "").bytes, 0);
    }

    #[test]
    fn what_an_allocator_has_reserved_and_not_touched_can_still_be_used() {
        let mapping = |first: &str, size: u64, resident: u64| {
            format!("{first}\nSize: {size} kB\nKernelPageSize: 4 kB\nRss: {resident} kB\nVmFlags: rd wr mr\n")
        };
        let anonymous = "7f0000000000-7f0040000000 rw-p 00000000 00:00 0 ";
        assert_eq!(reserve(&mapping(anonymous, 1_048_576, 48_576)), 1_000_000 * 1024);
        // A stack, a file, and a mapping that can be neither read nor written.
        let others = [
            (anonymous, 2048),
            ("7f0000000000-7f0040000000 r--p 00000000 08:01 77  /data/large", 1_048_576),
            ("7f0000000000-7f0040000000 ---p 00000000 00:00 0 ", 1_048_576),
        ];
        assert_eq!(reserve(&others.map(|(first, size)| mapping(first, size, 8)).concat()), 0);
    }
}
