//! Writes a checkpoint atomically: it appears complete or not at all, even after a crash.

use std::borrow::Cow;
use std::convert::Infallible;
use std::fs;
use std::io::{self, BufWriter, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::thread;

use super::error::{CheckpointError, During};
use super::fs::Disk;
use super::manifest::{FileEntry, Manifest};
use super::name::{self, dir_name, temporary_name};
use super::read::Checkpoint;
use super::shared::Staging;
use super::snapshot::{Encoded, Snapshot};
use super::written_by::WrittenBy;
use crate::{free_name, threads};

/// A checkpoint that is durable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Saved {
    /// Its directory.
    pub path: PathBuf,
    /// The size of its files in bytes, without the manifest.
    pub bytes: u64,
    /// The outcome of the save.
    pub outcome: Outcome,
}

/// Previous content of a save's place, and the action taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// There was nothing.
    New,
    /// There was the same checkpoint, valid; nothing was written.
    Unchanged,
    /// There was another or a damaged checkpoint; it is kept under another name.
    Replaced {
        /// Its new path. A resume does not use it; it is deleted according to [`Retention`](super::Retention).
        aside: PathBuf,
    },
}

/// Saves `snapshot` as a directory in `folder`, which is created if it is missing.
///
/// Its safety depends on the order of the operations; [`super`] explains each of them.
///
/// # Errors
/// The snapshot cannot be encoded, or an operation of `disk` fails. Older checkpoints are then unchanged, and nothing
/// incomplete is left. One failure is different: if only the last flush of `folder` fails, the checkpoint is complete,
/// but might not survive a power cut.
pub fn save(
    disk: &dyn Disk,
    folder: &Path,
    snapshot: &Snapshot,
    written_by: &WrittenBy,
) -> Result<Saved, CheckpointError> {
    save_with(disk, folder, snapshot, written_by, None)
}

/// [`save()`], perhaps together with other processes, which write shares of the files to `staging`.
pub(super) fn save_with(
    disk: &dyn Disk,
    folder: &Path,
    snapshot: &Snapshot,
    written_by: &WrittenBy,
    staging: Option<Staging>,
) -> Result<Saved, CheckpointError> {
    let files = snapshot.files()?;
    let bytes = files.iter().map(Encoded::bytes).sum();
    let path = folder.join(dir_name(snapshot.step()));
    let occupied = path.symlink_metadata().is_ok();
    let outcome = if occupied && holds(&path, &files) {
        Outcome::Unchanged
    } else {
        create_folder(disk, folder)?;
        let (staged, entries) = staged(disk, folder, snapshot.step(), &files, staging)?;
        staged.finish(manifest(snapshot.step(), entries, written_by)?)?;
        if occupied {
            Outcome::Replaced { aside: staged.replace(&path)? }
        } else {
            staged.rename(&path)?;
            Outcome::New
        }
    };
    again(|| disk.sync_dir(here_if_empty(folder))).during("flush", folder)?;
    Ok(Saved { path, bytes, outcome })
}

/// Writes all files to a hidden directory, and returns their entries in the manifest.
fn staged<'a>(
    disk: &'a dyn Disk,
    folder: &Path,
    step: u64,
    files: &[Encoded<'_>],
    staging: Option<Staging>,
) -> Result<(Staged<'a>, Vec<FileEntry>), CheckpointError> {
    let Some(mut staging) = staging else {
        let staged = Staged::create(disk, folder, step)?;
        let entries = files.iter().map(|file| staged.write(file)).collect::<Result<_, _>>()?;
        return Ok((staged, entries));
    };
    let mut staged = Staged { disk, path: staging.take(), moved: false, reports: None };
    let shared = staged.reports.insert(staging).write(files)?;
    let entries = files.iter().zip(shared).map(|(file, shared)| shared.map_or_else(|| staged.write(file), Ok));
    let entries = entries.collect::<Result<_, _>>()?;
    Ok((staged, entries))
}

/// Repeats a system call that a signal interrupted.
pub(super) fn again<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            done => return done,
        }
    }
}

/// Whether `path` is a valid checkpoint of exactly these files.
pub(super) fn holds(path: &Path, files: &[Encoded]) -> bool {
    Checkpoint::verify(path)
        .is_ok_and(|manifest| manifest.files.into_iter().map(Some).eq(files.iter().map(|file| file.entry().ok())))
}

pub(super) fn manifest(step: u64, files: Vec<FileEntry>, written_by: &WrittenBy) -> Result<Vec<u8>, CheckpointError> {
    let manifest = Manifest::new(step, files, written_by.clone());
    manifest
        .to_bytes()
        .map_err(|error| CheckpointError::Unreadable { file: name::MANIFEST.to_owned(), reason: error.to_string() })
}

/// Returns the manifest's entry of a file that `write` writes to `path`. A large file is hashed at the same time.
pub(super) fn hashed_meanwhile(
    encoded: &Encoded,
    path: &Path,
    write: impl FnOnce() -> Result<(), CheckpointError>,
) -> Result<FileEntry, CheckpointError> {
    const LARGE: u64 = 1 << 20;
    if encoded.bytes() < LARGE {
        write()?;
        return encoded.entry().during("hash", path);
    }
    thread::scope(|scope| {
        let hashing = threads::builder("hash").spawn_scoped(scope, || encoded.entry());
        write()?;
        // If the system refuses a thread, it is hashed afterwards.
        let Ok(hashing) = hashing else { return encoded.entry().during("hash", path) };
        let died = || io::Error::other("the thread that hashes it has failed; please report this");
        hashing.join().unwrap_or_else(|_| Err(died())).during("hash", path)
    })
}

/// Creates `folder` and its missing parents, each durable in its parent before it is filled.
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
    again(|| disk.create_dir(folder)).during("create", folder)?;
    again(|| disk.sync_dir(parent)).during("flush", parent)
}

/// The parent of a bare name is the empty path, which cannot be opened; it means the working directory.
fn here_if_empty(path: &Path) -> &Path {
    if path.as_os_str().is_empty() { Path::new(".") } else { path }
}

/// A checkpoint being written, in a hidden directory beside its place. It is removed on drop unless it was put in
/// place.
struct Staged<'a> {
    disk: &'a dyn Disk,
    path: PathBuf,
    moved: bool,
    /// Removes the reports of other processes on drop, when the directory has left its path: a process that is late looks
    /// for it there after its report.
    reports: Option<Staging>,
}

impl<'a> Staged<'a> {
    /// Uses the first free name. A taken one was left by a killed process with the same id.
    fn create(disk: &'a dyn Disk, folder: &Path, step: u64) -> Result<Self, CheckpointError> {
        const ATTEMPTS: usize = 1000;
        let mut attempts = 0;
        loop {
            let path = folder.join(temporary_name(step));
            attempts += 1;
            match disk.create_dir(&path) {
                Err(error) if error.kind() == ErrorKind::AlreadyExists && attempts < ATTEMPTS => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                created => {
                    return created.during("create", &path).map(|()| Self { disk, path, moved: false, reports: None });
                }
            }
        }
    }

    /// Writes the manifest, after all files, and makes their names durable.
    fn finish(&self, manifest: Vec<u8>) -> Result<(), CheckpointError> {
        self.write(&Encoded::of(name::MANIFEST.to_owned(), vec![Cow::Owned(manifest)]))?;
        again(|| self.disk.sync_dir(&self.path)).during("flush", &self.path)
    }

    /// Writes a file and makes its content durable.
    fn write(&self, encoded: &Encoded) -> Result<FileEntry, CheckpointError> {
        hashed_meanwhile(encoded, &self.path.join(&encoded.name), || self.write_content(encoded))
    }

    fn write_content(&self, encoded: &Encoded) -> Result<(), CheckpointError> {
        let path = self.path.join(&encoded.name);
        let pieces = encoded.pieces().during("write", &path)?;
        let mut file = again(|| self.disk.create_file(&path)).during("create", &path)?;
        // Short pieces are buffered, because each write is a system call.
        let mut writer = BufWriter::new(&mut file);
        pieces.into_iter().try_for_each(|piece| writer.write_all(piece)).during("write", &path)?;
        writer.flush().during("write", &path)?;
        drop(writer);
        again(|| file.sync()).during("flush", &path)
    }

    /// Puts it in a free place.
    fn rename(mut self, place: &Path) -> Result<(), CheckpointError> {
        again(|| self.disk.rename(&self.path, place)).during("rename a new checkpoint to", place)?;
        self.moved = true;
        Ok(())
    }

    /// Puts it in an occupied place, and returns the new path of the previous content.
    ///
    /// It first takes the future name of the old one, and then the two exchange names. So there is always a complete
    /// checkpoint in place, and wherever this is interrupted, the old one has a name that is never cleaned up. For the
    /// same reason nothing is cleaned up once the exchange was attempted: if it reports an error although it has
    /// happened, the old one would be lost.
    fn replace(mut self, place: &Path) -> Result<PathBuf, CheckpointError> {
        let aside = aside(place);
        again(|| self.disk.rename(&self.path, &aside)).during("rename a new checkpoint to", &aside)?;
        self.moved = true;
        match again(|| self.disk.exchange(&aside, place)) {
            Err(error) if error.kind() == ErrorKind::Unsupported => self.replace_in_two_steps(&aside, place),
            exchanged => exchanged.during("replace", place).map(|()| aside),
        }
    }

    /// If names cannot be exchanged, the old one is moved first, and moved back if the new one cannot follow.
    fn replace_in_two_steps(&self, new: &Path, place: &Path) -> Result<PathBuf, CheckpointError> {
        let aside = aside(place);
        again(|| self.disk.rename(place, &aside)).during("move aside", place)?;
        match again(|| self.disk.rename(new, place)) {
            Ok(()) => Ok(aside),
            Err(error) => {
                again(|| self.disk.rename(&aside, place)).during("move back", place)?;
                Err(error).during("replace", place)
            }
        }
    }
}

impl Drop for Staged<'_> {
    fn drop(&mut self) {
        if !self.moved {
            // The original error describes the disk's fault; a second one adds nothing.
            let _ = self.disk.remove_dir_all(&self.path);
        }
    }
}

/// Returns the first free name of the form `step-0000000100.replaced-1`.
fn aside(place: &Path) -> PathBuf {
    let is_taken = |path: &Path| Ok::<_, Infallible>(path.symlink_metadata().is_ok());
    let Ok((_, path)) = free_name::first(|number| name::replaced(place, number), is_taken);
    path
}
