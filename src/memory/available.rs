//! Memory available to this process: the minimum of what the machine, the process's control groups and its address
//! space limit leave.

use std::fmt;
use std::path::{Path, PathBuf};

use super::{Size, address_space};

/// Available memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Available {
    /// Number of bytes.
    pub bytes: u64,
    /// The source of the limit.
    pub limit: String,
    /// Whether the process ends as soon as it requests more memory, not only when it uses more.
    pub is_of_requests: bool,
}

impl fmt::Display for Available {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} are available: {}", Size(self.bytes), self.limit)
    }
}

impl Available {
    /// Returns the memory available now; `None` if the system does not report it.
    #[cfg(target_os = "linux")]
    pub fn now() -> Option<Self> {
        smallest(|path| std::fs::read_to_string(path).ok(), address_space::address_space_limit())
    }

    /// Returns the memory available now; `None` if the system does not report it.
    #[cfg(not(target_os = "linux"))]
    pub fn now() -> Option<Self> {
        None
    }

    /// Returns the same with `bytes` more.
    pub(super) fn and(self, bytes: u64) -> Self {
        Self { bytes: self.bytes.saturating_add(bytes), ..self }
    }
}

/// Returns the bytes of this process that are in memory; `None` if the system does not report it.
pub(crate) fn resident() -> Option<u64> {
    kilobytes(&std::fs::read_to_string("/proc/self/status").ok()?, "VmRSS")
}

/// Returns the minimum over all limits in the files that `read` finds.
#[cfg_attr(not(target_os = "linux"), allow(dead_code))]
fn smallest(read: impl Fn(&Path) -> Option<String>, address_space: Option<u64>) -> Option<Available> {
    let machine = read(Path::new("/proc/meminfo")).unwrap_or_default();
    let free_swap = kilobytes(&machine, "SwapFree").unwrap_or(0);
    let of_machine = kilobytes(&machine, "MemAvailable").map(|bytes| Available {
        bytes: bytes.saturating_add(free_swap),
        limit: "the memory that this machine has left (MemAvailable)".to_owned(),
        is_of_requests: false,
    });
    let status = read(Path::new("/proc/self/status")).unwrap_or_default();
    let of_address_space = address_space.map(|limit| {
        let smaps = read(Path::new("/proc/self/smaps")).unwrap_or_default();
        address_space::left(limit, &status, &smaps)
    });
    let groups = read(Path::new("/proc/self/cgroup")).unwrap_or_default();
    let of_groups = groups.lines().flat_map(Group::of_line).filter_map(|group| group.available(&read, free_swap));
    of_groups.chain(of_machine).chain(of_address_space).min_by_key(|available| available.bytes)
}

/// Parses a line `name:  123 kB`, in bytes.
pub(super) fn kilobytes(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

/// A control group of this process, and the names of its files.
pub(super) struct Group {
    folder: PathBuf,
    names: &'static Names,
}

/// Names of a control group's files, and of lines in them.
struct Names {
    root: &'static str,
    limit: &'static str,
    usage: &'static str,
    /// Counts processes that were killed.
    events: &'static str,
    /// Page cache, which the system frees when memory is short.
    pages: [&'static str; 2],
}

const VERSION_2: Names = Names {
    root: "/sys/fs/cgroup",
    limit: "memory.max",
    usage: "memory.current",
    events: "memory.events",
    pages: ["inactive_file", "active_file"],
};

const VERSION_1: Names = Names {
    root: "/sys/fs/cgroup/memory",
    limit: "memory.limit_in_bytes",
    usage: "memory.usage_in_bytes",
    events: "memory.oom_control",
    pages: ["total_inactive_file", "total_active_file"],
};

impl Group {
    /// Returns the group of a line in `/proc/self/cgroup` and all its parents, whose limits also apply.
    pub(super) fn of_line(line: &str) -> Vec<Self> {
        let mut fields = line.splitn(3, ':');
        let (Some(number), Some(controllers), Some(path)) = (fields.next(), fields.next(), fields.next()) else {
            return Vec::new();
        };
        let names = match (number, controllers) {
            ("0", "") => &VERSION_2,
            (_, controllers) if controllers.split(',').any(|name| name == "memory") => &VERSION_1,
            _ => return Vec::new(),
        };
        // A path outside the mounted hierarchy has no files here.
        let inside = path.split('/').filter(|name| !name.is_empty()).take_while(|name| *name != "..");
        let mut folder = PathBuf::from(names.root);
        let mut groups = vec![Self { folder: folder.clone(), names }];
        for name in inside {
            folder.push(name);
            groups.push(Self { folder: folder.clone(), names });
        }
        groups
    }

    /// Returns the path of the file that counts the processes that were killed for lack of memory.
    pub(super) fn events(&self) -> PathBuf {
        self.folder.join(self.names.events)
    }

    /// Returns the memory left within its limit; `None` without a limit.
    fn available(&self, read: &impl Fn(&Path) -> Option<String>, free_swap: u64) -> Option<Available> {
        let number = |name: &str| read(&self.folder.join(name))?.trim().parse::<u64>().ok();
        let (limit, usage) = (number(self.names.limit)?, number(self.names.usage)?);
        let stat = read(&self.folder.join("memory.stat")).unwrap_or_default();
        let pages = stat.lines().filter_map(|line| {
            let (name, number) = line.split_once(' ')?;
            if self.names.pages.contains(&name) { number.trim().parse::<u64>().ok() } else { None }
        });
        let used = usage.saturating_sub(pages.fold(0, u64::saturating_add));
        // A missing file means that swap is not limited.
        let swap_limit = number("memory.swap.max").unwrap_or(u64::MAX);
        let swap = swap_limit.saturating_sub(number("memory.swap.current").unwrap_or(0)).min(free_swap);
        let file = self.folder.join(self.names.limit);
        Some(Available {
            bytes: limit.saturating_sub(used).saturating_add(swap),
            limit: format!("the limit of the control group is {} ({})", Size(limit), file.display()),
            is_of_requests: false,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MEMINFO: (&str, &str) =
        ("/proc/meminfo", "MemTotal:       8000000 kB\nMemAvailable:    6000000 kB\nSwapFree:        1000 kB\n");

    fn found(files: &[(&str, &str)], address_space: Option<u64>) -> Option<(u64, String)> {
        let read = |path: &Path| {
            let file = files.iter().find(|(name, _)| Path::new(name) == path);
            file.map(|(_, text)| (*text).to_owned())
        };
        smallest(read, address_space).map(|available| (available.bytes, available.limit))
    }

    #[test]
    fn a_machine_has_what_it_calls_available_and_its_free_swap() {
        let (bytes, limit) = found(&[MEMINFO], None).unwrap();
        assert_eq!(bytes, 6_001_000 * 1024);
        assert!(limit.contains("MemAvailable"), "{limit}");
    }

    #[test]
    fn where_nothing_is_known_nothing_is_said() {
        assert_eq!(found(&[], None), None);
        assert_eq!(found(&[("/proc/meminfo", "MemTotal: 1 kB\n")], None), None);
        assert_eq!(found(&[("/proc/meminfo", "MemAvailable: lots\n"), ("/proc/self/cgroup", "7\n::\n")], None), None);
    }

    #[test]
    fn a_control_group_of_version_2_leaves_its_limit_without_what_is_used_and_cannot_be_taken_back() {
        let files = [
            MEMINFO,
            ("/proc/self/cgroup", "0::/system/job:1\n"),
            ("/sys/fs/cgroup/system/job:1/memory.max", "4000000000\n"),
            ("/sys/fs/cgroup/system/job:1/memory.current", "1500000000\n"),
            ("/sys/fs/cgroup/system/job:1/memory.stat", "anon 500\ninactive_file 300000000\nactive_file 200000000\n"),
            ("/sys/fs/cgroup/system/job:1/memory.swap.max", "0\n"),
        ];
        let (bytes, limit) = found(&files, None).unwrap();
        assert_eq!(bytes, 3_000_000_000);
        let expected = "the limit of the control group is 4.0 GB (/sys/fs/cgroup/system/job:1/memory.max)";
        assert_eq!(limit, expected);
    }

    #[test]
    fn the_smallest_limit_on_the_way_up_counts_and_max_is_none() {
        let files = [
            MEMINFO,
            ("/proc/self/cgroup", "0::/a/b\n"),
            ("/sys/fs/cgroup/a/b/memory.max", "max\n"),
            ("/sys/fs/cgroup/a/b/memory.current", "10\n"),
            ("/sys/fs/cgroup/a/memory.max", "2000\n"),
            ("/sys/fs/cgroup/a/memory.current", "500\n"),
        ];
        // The machine's free swap is available to the group if swap is not limited.
        assert_eq!(found(&files, None).unwrap().0, 1500 + 1_024_000);
    }

    #[test]
    fn a_container_whose_groups_are_named_from_outside_has_the_limit_that_is_mounted() {
        let files = [
            MEMINFO,
            ("/proc/self/cgroup", "12:cpu,cpuacct:/docker/1\n5:memory,hugetlb:/docker/1\n0::/../x\n"),
            ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "700000000\n"),
            ("/sys/fs/cgroup/memory/memory.usage_in_bytes", "300000000\n"),
            ("/sys/fs/cgroup/memory/memory.stat", "inactive_file 9\ntotal_inactive_file 100000000\n"),
        ];
        assert_eq!(found(&files, None).unwrap().0, 500_000_000 + 1_024_000);
    }

    #[test]
    fn a_limit_of_the_address_space_counts_where_it_is_the_smallest() {
        let status = ("/proc/self/status", "VmSize:\t 9000 kB\nVmRSS:\t 1000 kB\n");
        let (bytes, limit) = found(&[MEMINFO, status], Some(500_000_000)).unwrap();
        assert_eq!((bytes, limit.contains("ulimit -v")), (500_000_000 - 9_216_000 - address_space::ASIDE, true));
        assert!(found(&[MEMINFO, status], Some(u64::MAX)).unwrap().1.contains("MemAvailable"));
    }
}
