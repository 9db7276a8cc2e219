//! Names of checkpoint directories, parts, and the files of parts.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use super::error::CheckpointError;

pub(super) const MANIFEST: &str = "manifest.json";
pub(super) const STATE: &str = "state.json";

const MARK: &str = ".unfinished";

/// Entries of `state.json` that the format defines, and names whose files would collide with those of the format.
const RESERVED: [&str; 4] = ["step", "parts", "manifest", "state"];

/// Returns the directory name of the checkpoint at `step`: `step-0000000100`, with ten or more digits.
pub fn dir_name(step: u64) -> String {
    format!("step-{step:010}")
}

/// Returns the step in a directory's name, if it is exactly the name of a checkpoint.
///
/// Only the name is examined: a damaged checkpoint has a step too.
pub fn step_of(path: &Path) -> Option<u64> {
    let name = path.file_name()?.to_str()?;
    let step = name.strip_prefix("step-")?.parse().ok()?;
    (dir_name(step) == name).then_some(step)
}

const REPLACED: &str = ".replaced-";

/// Returns the path of copy number `number` of the checkpoint at `path` after its replacement:
/// `step-0000000100.replaced-1`.
pub(super) fn replaced(path: &Path, number: u64) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!("{REPLACED}{number}"));
    name.into()
}

/// Returns step and number of a name that is exactly one of [`replaced`].
pub(super) fn number_of_replaced(path: &Path) -> Option<(u64, u64)> {
    let (name, number) = path.file_name()?.to_str()?.split_once(REPLACED)?;
    let (step, number) = (step_of(Path::new(name))?, number.parse().ok()?);
    (replaced(Path::new(name), number).file_name() == path.file_name()).then_some((step, number))
}

/// Returns the step in the name of a checkpoint or of a replaced one.
pub(super) fn step_of_any(path: &Path) -> Option<u64> {
    step_of(path).or_else(|| number_of_replaced(path).map(|(step, _)| step))
}

/// Returns a name beside the checkpoint of `step` that no other save in any process uses at this moment:
/// `.step-0000000100.tmp-<process>-<n>`. A directory with such a name is a save in progress or the remains of a killed
/// process.
pub(super) fn temporary_name(step: u64) -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    format!(".{}.tmp-{}-{}", dir_name(step), std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

const SHARE: &str = ".share-";

/// Returns the file beside the hidden directory at `temporary` in which process `rank` reports what it has written there:
/// `.step-0000000100.tmp-<process>-<n>.share-<rank>`.
pub(super) fn report_of_share(temporary: &Path, rank: usize) -> PathBuf {
    let mut name = temporary.as_os_str().to_owned();
    name.push(format!("{SHARE}{rank}"));
    name.into()
}

/// Whether a name is one of [`report_of_share`], finished or not.
pub(super) fn is_report_of_share(name: &str) -> bool {
    name.split_once(SHARE).is_some_and(|(temporary, _)| is_temporary(temporary))
}

/// Whether a name is exactly one that [`temporary_name`] creates.
pub(crate) fn is_temporary(name: &str) -> bool {
    let number = |text: &str| text.bytes().all(|b| b.is_ascii_digit()) && text.parse::<u64>().is_ok();
    let parts = name.strip_prefix('.').and_then(|name| name.split_once(".tmp-"));
    parts.is_some_and(|(step, made)| {
        let numbers = made.split_once('-').is_some_and(|(process, n)| number(process) && number(n));
        step_of(Path::new(step)).is_some() && numbers
    })
}

/// Whether a checkpoint can have a file of this name.
pub(super) fn is_file_of_checkpoint(file: &str) -> bool {
    file == MANIFEST || file == STATE || part_of(file).is_some()
}

/// Whether a file is one that a file manager, a network file system or a Mac archive leaves in folders.
pub(super) fn is_left_by_a_file_manager(name: &str) -> bool {
    let names = [".DS_Store", "Thumbs.db", "desktop.ini", ".directory"];
    names.contains(&name) || [".nfs", "._"].iter().any(|prefix| name.starts_with(prefix))
}

/// Returns the marker beside the checkpoint at `path` that protects it from pruning.
pub(super) fn pin_of(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".pin");
    name.into()
}

/// Returns the object beside the checkpoint at `path` that marks its creation or deletion:
/// `.step-0000000100.unfinished`.
pub(super) fn mark_of(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}{MARK}"))
}

/// Returns the step of a name that is exactly one of [`mark_of`].
pub(super) fn step_of_mark(name: &Path) -> Option<u64> {
    step_of(Path::new(name.to_str()?.strip_prefix('.')?.strip_suffix(MARK)?))
}

/// Returns the file name of a part's tensors.
pub(super) fn tensor_file(part: &str) -> String {
    format!("{part}.safetensors")
}

/// Returns the part whose tensors are in `file`, if it can be such a file.
pub(super) fn part_of(file: &str) -> Option<&str> {
    file.strip_suffix(".safetensors").filter(|part| check("part", part).is_ok())
}

/// Checks the name of a `part` or `field`. A part's name is words joined by dots, a field's a single word.
pub(super) fn check(kind: &'static str, name: &str) -> Result<(), CheckpointError> {
    let refuse = |reason| Err(CheckpointError::Name { kind, name: name.to_owned(), reason });
    let is_word_byte = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_' || b == b'-';
    if name.len() > 200 {
        refuse("it is longer than 200 bytes")
    } else if !name.bytes().all(|b| is_word_byte(b) || b == b'.') {
        refuse("only lower-case letters, digits, `_`, `-` and `.` are allowed")
    } else if name.split('.').any(str::is_empty) {
        refuse("dots must have a word on either side")
    } else if kind == "field" && name.contains('.') {
        refuse("only the names of parts have dots")
    } else if RESERVED.contains(&root(name)) {
        refuse("it is the format's own")
    } else {
        Ok(())
    }
}

/// Returns the first word of a name: its entry at the top of `state.json`.
pub(super) fn root(name: &str) -> &str {
    name.split('.').next().unwrap_or(name)
}

/// Whether two parts would collide in `state.json`, one within the other.
pub(super) fn parts_clash(a: &str, b: &str) -> bool {
    let (short, long) = if a.len() < b.len() { (a, b) } else { (b, a) };
    long.strip_prefix(short).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_exact_names_are_checkpoints() {
        assert_eq!(dir_name(100), "step-0000000100");
        for step in [0, 100, 9_999_999_999, 12_345_678_901, u64::MAX] {
            assert_eq!(step_of(Path::new(&dir_name(step))), Some(step));
        }
        let others = [
            "step-100",
            "step-00000000100",
            "step-0000000100.replaced-1",
            ".step-0000000100.tmp-7-0",
            "step-+000000100",
            "step-99999999999999999999",
            "Step-0000000100",
        ];
        for other in others {
            assert_eq!(step_of(Path::new(other)), None, "{other}");
        }
    }

    #[test]
    fn only_exact_names_are_temporary() {
        assert!(is_temporary(&temporary_name(7)) && is_temporary(".step-0000000100.tmp-7-0"));
        let others = [
            "step-0000000100.tmp-7-0",
            ".step-100.tmp-7-0",
            ".step-0000000100.tmp-7",
            ".step-0000000100.tmp-7-",
            ".step-0000000100.tmp-7-0.bak",
            ".step-0000000100.tmp--7-0",
            ".step-0000000100.replaced-1",
            ".config.toml.tmp",
        ];
        for other in others {
            assert!(!is_temporary(other), "{other}");
        }
    }

    #[test]
    fn a_replaced_checkpoint_knows_its_step_and_its_number() {
        assert_eq!(number_of_replaced(&replaced(Path::new("a/step-0000000100"), 12)), Some((100, 12)));
        let others =
            ["step-0000000100", "step-100.replaced-1", "step-0000000100.replaced-01", "step-0000000100.replaced-"];
        for other in others {
            assert_eq!(number_of_replaced(Path::new(other)), None, "{other}");
        }
    }

    #[test]
    fn a_mark_knows_its_step() {
        let mark = mark_of(Path::new("s3://bucket/run/checkpoints/step-0000000100"));
        assert_eq!(mark.to_str(), Some("s3://bucket/run/checkpoints/.step-0000000100.unfinished"));
        assert_eq!(step_of_mark(Path::new(mark.file_name().unwrap())), Some(100));
        for other in ["step-0000000100.unfinished", ".step-100.unfinished", ".step-0000000100", ".unfinished"] {
            assert_eq!(step_of_mark(Path::new(other)), None, "{other}");
        }
    }

    #[test]
    fn a_part_name_is_words_joined_by_dots() {
        for good in ["model", "schedulers.lr", "ema-2", "a.b.c", "_x"] {
            assert!(check("part", good).is_ok(), "{good}");
        }
        let bad =
            ["", ".", "..", ".a", "a.", "a..b", "a/b", "../a", "Model", "ü", "a b", "step", "state", "manifest.x"];
        for bad in bad {
            assert!(check("part", bad).is_err(), "{bad}");
        }
        assert!(check("part", &"x".repeat(201)).is_err());
        assert!(check("field", "schedulers.lr").is_err());
    }

    #[test]
    fn parts_clash_when_one_lies_within_the_other() {
        assert!(parts_clash("a", "a") && parts_clash("a.b", "a") && parts_clash("a", "a.b.c"));
        assert!(!parts_clash("a", "ab") && !parts_clash("a.b", "a.c") && !parts_clash("a.b", "a.bc"));
    }
}
