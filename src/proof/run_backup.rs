//! Backup of a run before a process continues it, to be restored if the process ends before it is killed.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::checkpoint::step_of;

/// A copy of a run directory. Checkpoint files, which are never modified, are shared with the original.
pub(super) struct RunBackup {
    run: PathBuf,
    copy: PathBuf,
}

impl RunBackup {
    /// Copies `run`, which need not exist yet, to `copy`.
    pub fn take(run: &Path, copy: &Path) -> io::Result<Self> {
        remove(copy)?;
        if run.exists() {
            copy_folder(run, copy, false)?;
        }
        Ok(Self { run: run.to_owned(), copy: copy.to_owned() })
    }

    /// Replaces the run by the copy.
    pub fn restore(self) -> io::Result<()> {
        remove(&self.run)?;
        if self.copy.exists() { fs::rename(&self.copy, &self.run) } else { Ok(()) }
    }
}

/// Removes a directory if it exists.
pub(super) fn remove(folder: &Path) -> io::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn copy_folder(from: &Path, to: &Path, shared: bool) -> io::Result<()> {
    fs::create_dir(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        let kind = entry.file_type()?;
        if kind.is_dir() {
            copy_folder(&source, &target, shared || step_of(&source).is_some())?;
        } else if kind.is_symlink() {
            std::os::unix::fs::symlink(fs::read_link(&source)?, &target)?;
        } else if !(shared && fs::hard_link(&source, &target).is_ok()) {
            fs::copy(&source, &target)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_comes_back_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let (run, copy) = (folder.path().join("run"), folder.path().join("copy"));
        let checkpoint = run.join("checkpoints/step-0000000003");
        fs::create_dir_all(&checkpoint).unwrap();
        fs::write(checkpoint.join("state.json"), "three").unwrap();
        fs::write(run.join("log.jsonl"), "one\n").unwrap();
        let before = RunBackup::take(&run, &copy).unwrap();
        fs::remove_dir_all(&checkpoint).unwrap();
        fs::write(run.join("log.jsonl"), "one\ntwo\n").unwrap();
        fs::write(run.join("new"), "").unwrap();
        before.restore().unwrap();
        assert_eq!(fs::read_to_string(run.join("log.jsonl")).unwrap(), "one\n");
        assert_eq!(fs::read_to_string(checkpoint.join("state.json")).unwrap(), "three");
        assert!(!run.join("new").exists() && !copy.exists());
    }

    #[test]
    fn a_run_that_was_not_there_is_gone_again() {
        let folder = tempfile::tempdir().unwrap();
        let (run, copy) = (folder.path().join("run"), folder.path().join("copy"));
        let before = RunBackup::take(&run, &copy).unwrap();
        fs::create_dir(&run).unwrap();
        before.restore().unwrap();
        assert!(!run.exists() && !copy.exists());
    }
}
