//! The processes that the system has killed for lack of memory: a kill leaves the process itself no time to say so.

use std::fmt;
use std::path::{Path, PathBuf};

use super::available::Group;

/// The number of such kills so far in the control group of this process, or, where that is not counted, on this machine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OomKills(Option<Counter>);

/// A counter of the system.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Counter {
    file: PathBuf,
    kills: u64,
}

/// The system has killed a process for lack of memory, probably the one that was started here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OomKilled {
    /// The file of the system that counts it.
    file: PathBuf,
}

impl fmt::Display for OomKilled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the system has killed a process for lack of memory (oom_kill in {})", self.file.display())
    }
}

impl OomKills {
    /// The remedies for a run that was killed so.
    pub const REMEDY: &str = "to need less on a resume: a smaller batch (`--set data.batch_size=…`) or more micro-batches \
                              (`--set train.accumulate=…`); or a larger limit; `train CONFIG --plan` lists the memory of a \
                              run";

    /// Returns the number now; there is none if the system does not report it.
    pub fn so_far() -> Self {
        if cfg!(target_os = "linux") { Self::read(|path| std::fs::read_to_string(path).ok()) } else { Self::default() }
    }

    /// Returns whether there was one after this moment.
    pub fn since(&self) -> Option<OomKilled> {
        self.until(&Self::so_far())
    }

    fn until(&self, later: &Self) -> Option<OomKilled> {
        let (Some(before), Some(after)) = (&self.0, &later.0) else { return None };
        let is_later = before.file == after.file && after.kills > before.kills;
        is_later.then(|| OomKilled { file: after.file.clone() })
    }

    /// Reads the counter of the innermost group, because those of its parents also count the kills of other groups.
    fn read(read: impl Fn(&Path) -> Option<String>) -> Self {
        let groups = read(Path::new("/proc/self/cgroup")).unwrap_or_default();
        let groups: Vec<Group> = groups.lines().flat_map(Group::of_line).collect();
        let mut files = groups.iter().rev().map(Group::events).chain([PathBuf::from("/proc/vmstat")]);
        let counter = |file: PathBuf| Some(Counter { kills: counted(&read(&file)?)?, file });
        Self(files.find_map(counter))
    }
}

/// Parses the line `oom_kill 3`.
fn counted(text: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix("oom_kill "))?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kills(files: &[(&str, String)]) -> OomKills {
        OomKills::read(|path| files.iter().find(|(name, _)| Path::new(name) == path).map(|(_, text)| text.clone()))
    }

    fn group(name: &str, kills: u32) -> (&str, String) {
        (name, format!("low 0\nhigh 0\nmax 12\noom 4\noom_kill {kills}\noom_group_kill 9\n"))
    }

    fn machine(kills: u32) -> (&'static str, String) {
        ("/proc/vmstat", format!("oom_kill_x 99\noom_kill {kills}\n"))
    }

    #[test]
    fn a_kill_in_the_control_group_of_this_process_is_told_and_one_elsewhere_is_not() {
        let inside = || ("/proc/self/cgroup", "0::/system/job\n".to_owned());
        let at = |own: u32, parent: u32, all: u32| {
            let (job, system) = ("/sys/fs/cgroup/system/job/memory.events", "/sys/fs/cgroup/system/memory.events");
            kills(&[inside(), group(job, own), group(system, parent), machine(all)])
        };
        let before = at(2, 5, 9);
        assert_eq!(before.until(&at(2, 6, 10)), None);
        let told = before.until(&at(3, 6, 10)).unwrap().to_string();
        assert!(told.contains("(oom_kill in /sys/fs/cgroup/system/job/memory.events)"), "{told}");
        assert_eq!(kills(&[inside()]).until(&at(3, 6, 10)), None, "nothing was known before");
    }

    #[test]
    fn without_a_control_group_the_machine_counts() {
        let told = kills(&[machine(0)]).until(&kills(&[machine(1)])).unwrap().to_string();
        assert!(told.contains("/proc/vmstat"), "{told}");
        let of_version_1 = [
            ("/proc/self/cgroup", "4:memory:/job\n".to_owned()),
            (
                "/sys/fs/cgroup/memory/job/memory.oom_control",
                "oom_kill_disable 0\nunder_oom 0\noom_kill 7\n".to_owned(),
            ),
        ];
        let expected = Counter { file: PathBuf::from(of_version_1[1].0), kills: 7 };
        assert_eq!(kills(&of_version_1), OomKills(Some(expected)));
        assert_eq!((kills(&[]), kills(&[("/proc/vmstat", "oom_kill x\n".to_owned())])), Default::default());
    }
}
