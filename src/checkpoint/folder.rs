//! A folder of checkpoints. No file points at the latest: the newest valid one is the latest.

use std::fmt;
use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::error::{CheckpointError, Damaged, During};
use super::files::is_dir;
use super::fs::{Disk, LocalDisk};
use super::name::{
    dir_name, is_file_of_checkpoint, is_left_by_a_file_manager, is_report_of_share, is_temporary, number_of_replaced,
    pin_of, replaced, step_of, temporary_name,
};
use super::objects::Objects;
use super::outline::Outline;
use super::read::Checkpoint;
use super::save::{self, Saved, again};
use super::snapshot::Snapshot;
use super::written_by::WrittenBy;
use crate::remedy;
use crate::store::MayWrite;

/// A folder for the checkpoints of a run, one directory each, on the local disk or at the URL of an [object
/// store](crate::store). It need not exist before the first save.
#[derive(Clone)]
pub struct Folder {
    path: PathBuf,
    /// Checked before each write to an object store.
    may_write: MayWrite,
}

/// The newest valid checkpoint of a folder, and the newer invalid ones.
#[derive(Debug)]
pub struct Newest<T = Checkpoint> {
    /// The checkpoint to continue from.
    pub checkpoint: T,
    /// The skipped ones, newest first. They are not changed; a program should report them to its user.
    pub damaged: Vec<Damaged>,
}

impl fmt::Debug for Folder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Folder").field("path", &self.path).finish_non_exhaustive()
    }
}

impl Folder {
    /// Creates the folder at `path`, without accessing it.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), may_write: Arc::new(|| Ok(())) }
    }

    /// Returns the folder with `may_write` checked before each write to an object store, where no operating system lock
    /// excludes others. If it refuses, the operation fails.
    pub fn guarded(self, may_write: impl Fn() -> io::Result<()> + Send + Sync + 'static) -> Self {
        Self { may_write: Arc::new(may_write), ..self }
    }

    /// Returns the folder in its store, if it is in one.
    fn objects(&self) -> Result<Option<Objects>, CheckpointError> {
        Objects::at(&self.path, &self.may_write)
    }

    /// Returns its path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Saves `snapshot` here, durably; the folder is created if it is missing.
    ///
    /// # Errors
    /// As [`save::save`], which is used on the local disk.
    pub fn save(&self, snapshot: &Snapshot, written_by: &WrittenBy) -> Result<Saved, CheckpointError> {
        self.save_on(&LocalDisk, snapshot, written_by)
    }

    /// Like [`Folder::save`], through `disk` if the folder is on one.
    pub(super) fn save_on(
        &self,
        disk: &dyn Disk,
        snapshot: &Snapshot,
        written_by: &WrittenBy,
    ) -> Result<Saved, CheckpointError> {
        match self.objects()? {
            Some(objects) => objects.save(snapshot, written_by),
            None => save::save(disk, &self.path, snapshot, written_by),
        }
    }

    /// Lists step and directory of every checkpoint by name only, oldest first; empty if the folder does not exist.
    ///
    /// # Errors
    /// The folder cannot be listed.
    pub fn list(&self) -> Result<Vec<(u64, PathBuf)>, CheckpointError> {
        if let Some(objects) = self.objects()? {
            return objects.list();
        }
        let mut found = Vec::new();
        for path in self.paths()? {
            if let Some(step) = step_of(&path)
                && is_dir(&path)?
            {
                found.push((step, path));
            }
        }
        found.sort();
        Ok(found)
    }

    /// Lists all entries of the folder, unordered; empty if the folder does not exist.
    fn paths(&self) -> Result<Vec<PathBuf>, CheckpointError> {
        match fs::read_dir(&self.path) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
            entries => {
                let entries = entries.during("list", &self.path)?;
                entries.map(|entry| Ok(entry.during("list", &self.path)?.path())).collect()
            }
        }
    }

    /// Lists the replaced copies of checkpoints: step, number and directory, in that order.
    ///
    /// # Errors
    /// The folder cannot be listed.
    pub(super) fn superseded(&self) -> Result<Vec<(u64, u64, PathBuf)>, CheckpointError> {
        if let Some(objects) = self.objects()? {
            return objects.superseded();
        }
        let mut found = Vec::new();
        for path in self.paths()? {
            let copy = number_of_replaced(&path).filter(|_| path.is_dir());
            found.extend(copy.map(|(step, number)| (step, number, path)));
        }
        found.sort();
        Ok(found)
    }

    /// Removes the remains of killed saves, and returns their paths.
    ///
    /// These are directories, not links, with exactly a name that a save creates, which contain only files with names
    /// of a checkpoint's files, and files of a file manager. Call it only while no other process saves here: a save in
    /// progress looks the same.
    ///
    /// # Errors
    /// The folder cannot be listed, or a directory cannot be removed.
    pub fn sweep(&self) -> Result<Vec<PathBuf>, CheckpointError> {
        if let Some(objects) = self.objects()? {
            return objects.sweep();
        }
        let mut swept = Vec::new();
        for path in self.paths()? {
            if is_left_over(&path) {
                fs::remove_dir_all(&path).during("remove", &path)?;
                swept.push(path);
            } else if path.file_name().and_then(|name| name.to_str()).is_some_and(is_report_of_share) && path.is_file()
            {
                fs::remove_file(&path).during("remove", &path)?;
            }
        }
        swept.sort();
        Ok(swept)
    }

    /// Protects the checkpoint of `step` from deletion by any [`Retention`](super::Retention), with an empty file
    /// beside it: `step-0000000100.pin`.
    ///
    /// # Errors
    /// There is no such checkpoint, or the file cannot be written.
    pub fn pin(&self, step: u64) -> Result<(), CheckpointError> {
        if let Some(objects) = self.objects()? {
            return objects.pin(step);
        }
        let path = self.path.join(dir_name(step));
        if !is_dir(&path)? {
            return Err(CheckpointError::NotADirectory { path });
        }
        let pin = pin_of(&path);
        fs::OpenOptions::new().write(true).create(true).truncate(false).open(&pin).during("write", &pin).map(drop)
    }

    /// Reverts [`Folder::pin`].
    ///
    /// # Errors
    /// The file exists and cannot be removed.
    pub fn unpin(&self, step: u64) -> Result<(), CheckpointError> {
        if let Some(objects) = self.objects()? {
            return objects.unpin(step);
        }
        let pin = pin_of(&self.path.join(dir_name(step)));
        match fs::remove_file(&pin) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            removed => removed.during("remove", pin),
        }
    }

    /// Whether the checkpoint of `step` is pinned.
    ///
    /// # Errors
    /// The folder or the store cannot be asked.
    pub fn is_pinned(&self, step: u64) -> Result<bool, CheckpointError> {
        match self.objects()? {
            Some(objects) => objects.is_pinned(step),
            None => {
                let pin = pin_of(&self.path.join(dir_name(step)));
                match pin.symlink_metadata() {
                    Err(error) if remedy::is_absence(&error) => Ok(false),
                    // In case of doubt, a checkpoint counts as pinned.
                    found => found.during("look at", pin).map(|_| true),
                }
            }
        }
    }

    /// Deletes the checkpoint of `step`, through `disk` if the folder is on one.
    pub(super) fn delete(&self, disk: &dyn Disk, step: u64) -> Result<(), CheckpointError> {
        if let Some(objects) = self.objects()? {
            return objects.delete(step);
        }
        self.delete_dir(disk, step, self.path.join(dir_name(step)))
    }

    /// Deletes a replaced copy of the checkpoint of `step`.
    pub(super) fn delete_superseded(&self, disk: &dyn Disk, step: u64, number: u64) -> Result<(), CheckpointError> {
        if let Some(objects) = self.objects()? {
            return objects.delete_superseded(step, number);
        }
        self.delete_dir(disk, step, replaced(&self.path.join(dir_name(step)), number))
    }

    fn delete_dir(&self, disk: &dyn Disk, step: u64, path: PathBuf) -> Result<(), CheckpointError> {
        let hidden = self.path.join(temporary_name(step));
        again(|| disk.rename(&path, &hidden)).during("rename for deletion", path)?;
        again(|| disk.sync_dir(&self.path)).during("flush", &self.path)?;
        again(|| disk.remove_dir_all(&hidden)).during("delete", hidden)
    }

    /// Returns the newest valid checkpoint; `None` if there are no checkpoints, as before the first save of a run.
    ///
    /// # Errors
    /// [`CheckpointError::OnlyDamaged`] if there are checkpoints and all are invalid: starting from the beginning would
    /// discard the run. [`CheckpointError::Unread`] if one cannot be read before a valid one is found, so that its
    /// state is unknown. Also if the folder cannot be listed.
    pub fn newest(&self) -> Result<Option<Newest>, CheckpointError> {
        self.newest_by(Checkpoint::read)
    }

    /// The same with `read` in place of a full read.
    fn newest_by<T>(
        &self,
        read: impl Fn(&Path) -> Result<T, CheckpointError>,
    ) -> Result<Option<Newest<T>>, CheckpointError> {
        let mut damaged = Vec::new();
        let mut newest_first = self.list()?.into_iter().rev();
        while let Some((step, path)) = newest_first.next() {
            match read(&path) {
                Ok(checkpoint) => return Ok(Some(Newest { checkpoint, damaged })),
                Err(error) if error.is_unread() => {
                    let older = newest_first.next().map(|(_, path)| path);
                    return Err(CheckpointError::Unread { error: Box::new(error), older });
                }
                // Deleted since the folder was listed.
                Err(CheckpointError::NotADirectory { .. }) => {}
                Err(error) => damaged.push(Damaged { step, path, error }),
            }
        }
        if damaged.is_empty() {
            Ok(None)
        } else {
            Err(CheckpointError::OnlyDamaged { folder: self.path.clone(), damaged })
        }
    }

    /// Returns the newest valid checkpoint of a folder that must have one.
    ///
    /// # Errors
    /// [`CheckpointError::Empty`] if there are none, and as [`Folder::newest`].
    pub fn require_newest(&self) -> Result<Newest, CheckpointError> {
        self.newest()?.ok_or_else(|| CheckpointError::Empty { folder: self.path.clone() })
    }

    /// Returns the newest checkpoint with a valid outline.
    ///
    /// # Errors
    /// As [`Folder::require_newest`].
    pub fn newest_outline(&self) -> Result<Newest<Outline>, CheckpointError> {
        self.newest_by(Outline::read)?.ok_or_else(|| CheckpointError::Empty { folder: self.path.clone() })
    }
}

/// Whether `path` is the remains of a killed save.
fn is_left_over(path: &Path) -> bool {
    let named = path.file_name().and_then(|name| name.to_str()).is_some_and(is_temporary);
    let is_directory = || path.symlink_metadata().is_ok_and(|metadata| metadata.is_dir());
    named
        && is_directory()
        && fs::read_dir(path).is_ok_and(|mut entries| entries.all(|entry| entry.is_ok_and(|entry| is_expected(&entry))))
}

/// Whether the entry is a file of a checkpoint or of a file manager.
fn is_expected(entry: &fs::DirEntry) -> bool {
    let known = |name: &str| is_file_of_checkpoint(name) || is_left_by_a_file_manager(name);
    entry.file_name().to_str().is_some_and(known)
}

/// Whether the directory at `path` contains a user's files, which are neither a checkpoint's nor a file manager's.
/// Object stores are not searched.
pub(super) fn holds_a_persons_files(path: &Path) -> bool {
    fs::read_dir(path).is_ok_and(|entries| entries.flatten().any(|entry| !is_expected(&entry)))
}

#[cfg(test)]
mod tests {
    use rustix::io::Errno;

    use super::*;

    fn folder_of(steps: &[u64]) -> (tempfile::TempDir, Folder) {
        let temporary = tempfile::tempdir().unwrap();
        let folder = Folder::new(temporary.path());
        for &step in steps {
            folder.save(&Snapshot::at(step), &WrittenBy::this_build("cpu")).unwrap();
        }
        (temporary, folder)
    }

    /// Returns the newest checkpoint, on a system that refuses to open files of the one of step 20.
    fn where_20_fails(folder: &Folder, errno: Errno) -> Result<Option<Newest>, CheckpointError> {
        folder.newest_by(|path| match step_of(path) {
            Some(20) => Err(io::Error::from(errno)).during("open", path.join("state.json")),
            _ => Checkpoint::read(path),
        })
    }

    #[test]
    fn a_checkpoint_that_cannot_be_opened_is_not_skipped() {
        let (_temporary, folder) = folder_of(&[10, 20]);
        for errno in [Errno::ACCESS, Errno::MFILE, Errno::NFILE, Errno::IO, Errno::STALE, Errno::NOMEM] {
            let error = where_20_fails(&folder, errno).unwrap_err();
            let (message, cause) = (error.to_string(), io::Error::from(errno).to_string());
            assert!(!error.is_damage() && !message.contains("damaged") && !message.contains("new run"), "{message}");
            for part in [&cause, "step-0000000020/state.json", "try again", "resume it by its path, such as "] {
                assert!(message.contains(part), "`{part}` is not in: {message}");
            }
            assert!(message.ends_with("step-0000000010"), "{message}");
        }
    }

    #[test]
    fn a_damaged_checkpoint_behind_which_one_cannot_be_opened_does_not_make_all_damaged() {
        let (temporary, folder) = folder_of(&[20, 30]);
        fs::remove_file(temporary.path().join("step-0000000030/state.json")).unwrap();
        let message = where_20_fails(&folder, Errno::IO).unwrap_err().to_string();
        assert!(message.contains("step-0000000020/state.json") && !message.contains("every checkpoint"), "{message}");
    }

    #[test]
    fn a_newer_version_is_not_damage() {
        let (temporary, folder) = folder_of(&[10, 20]);
        let manifest = temporary.path().join("step-0000000020/manifest.json");
        let text = fs::read_to_string(&manifest).unwrap();
        fs::write(&manifest, text.replace("\"version\": 1", "\"version\": 2")).unwrap();
        let message = folder.newest().unwrap_err().to_string();
        assert!(message.contains("update Rekindle") && message.contains("no older checkpoint is used"), "{message}");
    }

    #[test]
    fn a_name_that_cannot_be_looked_at_is_not_taken_for_no_checkpoint() {
        let (temporary, folder) = folder_of(&[10]);
        let link = temporary.path().join("step-0000000020");
        std::os::unix::fs::symlink(&link, &link).unwrap();
        let message = folder.newest().unwrap_err().to_string();
        assert!(message.contains("step-0000000020") && message.contains("leads to itself"), "{message}");
        // A dangling link is not a checkpoint.
        fs::remove_file(&link).unwrap();
        std::os::unix::fs::symlink("nowhere", &link).unwrap();
        assert_eq!(folder.newest().unwrap().unwrap().checkpoint.step(), 10);
    }

    #[test]
    fn what_a_killed_save_left_is_swept_although_a_file_manager_was_there() {
        let (temporary, folder) = folder_of(&[10]);
        let left = temporary.path().join(temporary_name(20));
        fs::create_dir(&left).unwrap();
        for name in ["state.json", ".DS_Store", "._state.json", ".nfs000000001"] {
            fs::write(left.join(name), "").unwrap();
        }
        assert_eq!(folder.sweep().unwrap(), std::slice::from_ref(&left));
        fs::create_dir(&left).unwrap();
        fs::write(left.join("notes.txt"), "a person's").unwrap();
        assert!(folder.sweep().unwrap().is_empty() && left.join("notes.txt").exists());
    }
}
