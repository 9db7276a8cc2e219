//! The traces of a run's processes, for a program that starts them again; and its record of the restarts.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;

use serde::Serialize;
use serde_json::Value;

use super::outcome::RunEnd;
use super::place::is_run;
use crate::checkpoint::Folder;
use crate::{regular, store};

/// Files that are written before a branch has its first checkpoint.
const BEFORE_A_BRANCH: [&str; 2] = ["log.jsonl", "timing.jsonl"];

/// The traces of a run's processes in its directory, or at its URL.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Traces {
    /// Whether a run is there, which can be resumed.
    pub is_run: bool,
    /// The step of the newest checkpoint.
    pub saved: Option<u64>,
    /// Number of updates in the log; 0 for a run at a URL.
    pub logged: u64,
    /// How the last process ended, unless it was killed.
    pub end: Option<RunEnd>,
}

impl Traces {
    /// Looks at the run at `run`. What cannot be read counts as missing.
    pub fn of(run: &Path) -> Self {
        let checkpoints = Folder::new(run.join("checkpoints")).list().unwrap_or_default();
        Self {
            is_run: is_run(run).unwrap_or(false),
            saved: checkpoints.last().map(|(step, _)| *step),
            logged: if store::is_url(run) { 0 } else { logged(&run.join("log.jsonl")).unwrap_or(0) },
            end: RunEnd::read(run),
        }
    }

    /// Returns the number of updates that the run had reached, saved or not.
    pub fn step(&self) -> u64 {
        let end = self.end.as_ref().map_or(0, |end| end.step);
        self.saved.unwrap_or(0).max(self.logged).max(end)
    }

    /// Whether nothing in the directory `run` would be in the way of a new run.
    pub fn is_free(run: &Path) -> bool {
        ["checkpoints"].iter().chain(&BEFORE_A_BRANCH).all(|name| run.join(name).symlink_metadata().is_err())
    }

    /// Removes what a process has left in `run` that was killed before its branch of another run was complete. The
    /// directory must have been free before.
    ///
    /// # Errors
    /// They cannot be removed.
    pub fn clear_unbegun(run: &Path) -> io::Result<()> {
        let checkpoints = run.join("checkpoints");
        Folder::new(&checkpoints).sweep().map_err(io::Error::other)?;
        let files = BEFORE_A_BRANCH.map(|name| fs::remove_file(run.join(name)));
        // A folder with anything else in it stays.
        let _ = fs::remove_dir(checkpoints);
        files
            .into_iter()
            .filter(|result| !result.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::NotFound))
            .collect()
    }

    /// Appends a line to `restarts.jsonl` of the run at `run`.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn record_restart(run: &Path, line: &impl Serialize) -> io::Result<()> {
        /// Many thousands of restarts.
        const LIMIT: u64 = 16 << 20;
        let file = run.join("restarts.jsonl");
        let line = serde_json::to_string(line)? + "\n";
        if let Some(store) = store::at(&file)? {
            let mut all = store.fetch(&file, LIMIT)?.map(|(content, _)| content).unwrap_or_default();
            all.extend(line.as_bytes());
            return store.upload(&file, &mut &all[..], all.len() as u64);
        }
        regular::require_or_none(&file)?;
        OpenOptions::new().append(true).create(true).open(file)?.write_all(line.as_bytes())
    }
}

/// Returns the number of updates in a log, by its last complete line.
fn logged(log: &Path) -> io::Result<u64> {
    /// Longer than any line.
    const TAIL: u64 = 1 << 20;
    let mut file: File = regular::open(log)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(TAIL)))?;
    let mut tail = Vec::new();
    file.take(TAIL).read_to_end(&mut tail)?;
    let step = |line: &[u8]| serde_json::from_slice::<Value>(line).ok()?.get("step")?.as_u64();
    Ok(tail.split(|&byte| byte == b'\n').rev().find_map(step).map_or(0, |step| step + 1))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_torn_line_of_the_log_is_not_counted() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log.jsonl");
        assert_eq!(Traces::of(folder.path()), Traces::default());
        fs::write(&log, "{\"step\":0}\n{\"step\":1}\n{\"step\":2,\"lo").unwrap();
        assert_eq!(Traces::of(folder.path()).step(), 2);
    }

    #[test]
    fn restarts_are_added_to_those_before_them() {
        let folder = tempfile::tempdir().unwrap();
        for attempt in [1, 2] {
            Traces::record_restart(folder.path(), &json!({"attempt": attempt})).unwrap();
        }
        let text = fs::read_to_string(folder.path().join("restarts.jsonl")).unwrap();
        assert_eq!(text, "{\"attempt\":1}\n{\"attempt\":2}\n");
    }
}
