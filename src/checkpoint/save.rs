//! Writing a checkpoint so that it is there whole or not at all, whatever happens on the way.

use std::borrow::Cow;
use std::fs;
use std::io::{self, BufWriter, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use super::error::{CheckpointError, During};
use super::fs::Disk;
use super::manifest::{FileEntry, Manifest};
use super::name::{self, dir_name};
use super::read::Checkpoint;
use super::snapshot::{Encoded, Snapshot};
use super::written_by::WrittenBy;

/// A checkpoint that is durable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Saved {
    /// Its directory.
    pub path: PathBuf,
    /// The size of its files in bytes, the manifest aside.
    pub bytes: u64,
    /// What the save found there.
    pub outcome: Outcome,
}

/// What a save found in its place, and what it did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing was there.
    New,
    /// The same checkpoint was there, whole; nothing was written.
    Unchanged,
    /// Something else was there, another checkpoint or a damaged one; it is kept under another name.
    Replaced {
        /// Where it is now. Nothing reads it there, and nothing deletes it.
        aside: PathBuf,
    },
}

/// Saves `snapshot` as a directory in `folder`, which is created when it is missing.
///
/// The order of the operations is what makes it safe; [`super`] argues each of them.
///
/// # Errors
/// When the snapshot cannot be encoded, or an operation of `disk` fails. Older checkpoints are then as they were,
/// and nothing half-written is left. One failure is different: when only the last flush of `folder` fails, the
/// checkpoint is there and whole, but might not survive a power cut.
pub fn save(
    disk: &dyn Disk,
    folder: &Path,
    snapshot: &Snapshot,
    written_by: &WrittenBy,
) -> Result<Saved, CheckpointError> {
    let files = snapshot.files()?;
    let entries: Vec<FileEntry> = files.iter().map(Encoded::entry).collect();
    let bytes = entries.iter().map(|entry| entry.bytes).sum();
    let path = folder.join(dir_name(snapshot.step()));
    let occupied = path.symlink_metadata().is_ok();
    let outcome = if occupied && holds(&path, &entries) {
        Outcome::Unchanged
    } else {
        create_folder(disk, folder)?;
        let staged = Staged::create(disk, folder, snapshot.step())?;
        staged.write_all(&files, &manifest(snapshot.step(), entries, written_by)?)?;
        if occupied {
            Outcome::Replaced { aside: staged.replace(&path)? }
        } else {
            staged.rename(&path)?;
            Outcome::New
        }
    };
    disk.sync_dir(here_if_empty(folder)).during("flush", folder)?;
    Ok(Saved { path, bytes, outcome })
}

/// Whether `path` is a valid checkpoint of just these files.
fn holds(path: &Path, entries: &[FileEntry]) -> bool {
    Checkpoint::verify(path).is_ok_and(|manifest| manifest.files == entries)
}

fn manifest(step: u64, files: Vec<FileEntry>, written_by: &WrittenBy) -> Result<Vec<u8>, CheckpointError> {
    let manifest = Manifest::new(step, files, written_by.clone());
    manifest
        .to_bytes()
        .map_err(|error| CheckpointError::Unreadable { file: name::MANIFEST.to_owned(), reason: error.to_string() })
}

/// Creates `folder` and what is missing above it, each durable in its parent before anything is put into it.
fn create_folder(disk: &dyn Disk, folder: &Path) -> Result<(), CheckpointError> {
    let folder = here_if_empty(folder);
    match fs::metadata(folder) {
        Ok(found) if found.is_dir() => return Ok(()),
        Ok(_) => return Err(io::Error::from(ErrorKind::NotADirectory)).during("save to", folder),
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error).during("save to", folder),
        Err(_) => {}
    }
    let parent = here_if_empty(folder.parent().unwrap_or(folder));
    create_folder(disk, parent)?;
    disk.create_dir(folder).during("create", folder)?;
    disk.sync_dir(parent).during("flush", parent)
}

/// The parent of a bare name is the empty path, by which the working directory cannot be opened.
fn here_if_empty(path: &Path) -> &Path {
    if path.as_os_str().is_empty() { Path::new(".") } else { path }
}

/// A checkpoint in the making, in a hidden directory beside its place. Dropped before it is put there, it vanishes.
struct Staged<'a> {
    disk: &'a dyn Disk,
    path: PathBuf,
    moved: bool,
}

impl<'a> Staged<'a> {
    /// Takes the first name that is free. One that is not was left by a process that had our id and was killed.
    fn create(disk: &'a dyn Disk, folder: &Path, step: u64) -> Result<Self, CheckpointError> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        const ATTEMPTS: usize = 1000;
        let (process, mut attempts) = (std::process::id(), 0);
        loop {
            let number = NEXT.fetch_add(1, Ordering::Relaxed);
            let path = folder.join(format!(".{}.tmp-{process}-{number}", dir_name(step)));
            attempts += 1;
            match disk.create_dir(&path) {
                Err(error) if error.kind() == ErrorKind::AlreadyExists && attempts < ATTEMPTS => {}
                created => return created.during("create", &path).map(|()| Self { disk, path, moved: false }),
            }
        }
    }

    /// Writes all files, the manifest last, and makes them and their names durable.
    fn write_all(&self, files: &[Encoded], manifest: &[u8]) -> Result<(), CheckpointError> {
        for file in files {
            self.write(&file.name, &file.pieces)?;
        }
        self.write(name::MANIFEST, &[Cow::Borrowed(manifest)])?;
        self.disk.sync_dir(&self.path).during("flush", &self.path)
    }

    fn write(&self, name: &str, pieces: &[Cow<[u8]>]) -> Result<(), CheckpointError> {
        let path = self.path.join(name);
        let mut file = BufWriter::new(self.disk.create_file(&path).during("create", &path)?);
        pieces.iter().try_for_each(|piece| file.write_all(piece)).during("write", &path)?;
        let mut file = file.into_inner().map_err(io::IntoInnerError::into_error).during("write", &path)?;
        file.sync().during("flush", &path)
    }

    /// Puts it where nothing is.
    fn rename(mut self, place: &Path) -> Result<(), CheckpointError> {
        self.disk.rename(&self.path, place).during("rename a new checkpoint to", place)?;
        self.moved = true;
        Ok(())
    }

    /// Puts it where something is, and says where that went.
    ///
    /// It first takes the name that the old one is to have, and then the two exchange names. So there is always a
    /// whole checkpoint in place, and wherever this is cut off, the old one is under a name that nobody sweeps.
    /// For the same reason nothing is cleaned up once the exchange was tried: should it report an error and yet
    /// have happened, the old one would be lost.
    fn replace(mut self, place: &Path) -> Result<PathBuf, CheckpointError> {
        let aside = free_name(place);
        self.disk.rename(&self.path, &aside).during("rename a new checkpoint to", &aside)?;
        self.moved = true;
        match self.disk.exchange(&aside, place) {
            Err(error) if error.kind() == ErrorKind::Unsupported => self.replace_in_two_steps(&aside, place),
            exchanged => exchanged.during("replace", place).map(|()| aside),
        }
    }

    /// Where names cannot be exchanged, the old one leaves first, and comes back if the new one cannot follow.
    fn replace_in_two_steps(&self, new: &Path, place: &Path) -> Result<PathBuf, CheckpointError> {
        let aside = free_name(place);
        self.disk.rename(place, &aside).during("move aside", place)?;
        match self.disk.rename(new, place) {
            Ok(()) => Ok(aside),
            Err(error) => {
                self.disk.rename(&aside, place).during("move back", place)?;
                Err(error).during("replace", place)
            }
        }
    }
}

impl Drop for Staged<'_> {
    fn drop(&mut self) {
        if !self.moved {
            // The error that brought us here says what is wrong with the disk; a second one adds nothing.
            let _ = self.disk.remove_dir_all(&self.path);
        }
    }
}

/// The first free name of the form `step-0000000100.replaced-1`.
fn free_name(place: &Path) -> PathBuf {
    let mut number = 1;
    loop {
        let mut name = place.as_os_str().to_owned();
        name.push(format!(".replaced-{number}"));
        let path = PathBuf::from(name);
        if path.symlink_metadata().is_err() {
            return path;
        }
        number += 1;
    }
}
