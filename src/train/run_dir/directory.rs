//! The run directory: its lock and its files.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use super::held_disk::{HeldDisk, is_in_place};
use super::lease::Lease;
use super::log::Log;
use super::mirror::Mirror;
use super::timing::Timing;
use super::{place, scratch};
use crate::atomic_file::AtomicFile;
use crate::checkpoint::Folder;
use crate::checkpoint::fs::Disk;
use crate::store::{self, Guarded, Store};
use crate::train::TrainError;
use crate::train::config::{Config, written_config};
use crate::{free_name, memory, regular};

/// A run directory, locked by this process until the value is dropped or the process ends in any way.
///
/// For a run in an object store it is a directory on the local disk, with the growing log, which can be lost at any
/// moment.
#[derive(Debug)]
pub struct RunDirectory {
    path: PathBuf,
    /// The open directory, independent of its name. It is not removed from the disk while it is open.
    handle: Arc<File>,
    lock: File,
    timing: Timing,
    remote: Option<Remote>,
}

/// The rest of a run directory in an object store. It is locked by a lease, which after a kill lasts until it expires.
///
/// All writes to the store use `store`, which checks the lease before each write.
struct Remote {
    url: PathBuf,
    store: Arc<dyn Store>,
    lease: Lease,
    mirror: Arc<Mutex<Mirror>>,
}

impl RunDirectory {
    /// Creates a directory for a new run, or uses an existing one without a run.
    ///
    /// # Errors
    /// The directory holds a run, another process trains there, or it cannot be written.
    pub fn create(path: &Path) -> Result<Self, TrainError> {
        place::refuse(path)?;
        if let Some(store) = store_of(path)? {
            let held = Self::hold_remote(store, path)?;
            return if held.holds_a_run()? { Err(TrainError::HoldsARun { path: path.to_owned() }) } else { Ok(held) };
        }
        if let Err(error) = place::refuse_occupied(path) {
            // If a process trains there, its name is more helpful than the fact that there is a run. No lock is created
            // for this.
            let in_use = path.join("lock").is_file().then(|| Self::hold(path)).and_then(Result::err);
            return Err(in_use.unwrap_or(error));
        }
        fs::create_dir_all(path).map_err(TrainError::write(path, "make the run directory"))?;
        let directory = Self::hold(path)?;
        place::refuse_occupied(path)?;
        directory.sign()
    }

    /// Locks the directory of an existing run.
    ///
    /// # Errors
    /// Another process trains there, or it cannot be written.
    pub fn open(path: &Path) -> Result<Self, TrainError> {
        match store_of(path)? {
            Some(store) => Self::hold_remote(store, path),
            None => Self::hold(path)?.sign(),
        }
    }

    /// Locks the run at `url`, with a local directory for its log.
    fn hold_remote(store: Arc<dyn Store>, url: &Path) -> Result<Self, TrainError> {
        let failed = |operation| TrainError::write(url, operation);
        let lease = Lease::take(&store, url)?;
        let store: Arc<dyn Store> = Arc::new(Guarded::new(store, Arc::new(lease.check())));
        let mut local = scratch::hold(url, Self::hold)?.sign()?;
        let mirror = Mirror::fetch(Arc::clone(&store), url, &local.log_file()).map_err(failed("fetch the log of"))?;
        let timing = store.fetch(&url.join("timing.jsonl"), u64::MAX).map_err(failed("fetch the times of"))?;
        let times = timing.map(|(content, _)| content).unwrap_or_default();
        fs::write(local.timing.path(), times).map_err(TrainError::write(&local.path, "write to"))?;
        let mirror = Arc::new(Mutex::new(mirror));
        local.remote = Some(Remote { url: url.to_owned(), store, lease, mirror });
        Ok(local)
    }

    /// Whether there are objects at the URL other than our lock.
    fn holds_a_run(&self) -> Result<bool, TrainError> {
        let Some(Remote { store, url, .. }) = &self.remote else { return Ok(false) };
        let objects = store.list(url).map_err(TrainError::write(url, "list"))?;
        Ok(objects.iter().any(|object| object.path != url.join("lock")))
    }

    /// The operating system holds the lock for the process, so a killed one leaves none behind. The lock belongs to the
    /// file, not to a name, so links to the directory share it.
    fn hold(path: &Path) -> Result<Self, TrainError> {
        let file = path.join("lock");
        let failed = |operation| TrainError::write(&file, operation);
        let options = OpenOptions::new().read(true).write(true).create(true).truncate(false).clone();
        regular::require_or_none(&file).map_err(failed("open the lock file"))?;
        let lock = options.open(&file).map_err(failed("open the lock file"))?;
        let handle = Arc::new(File::open(path).map_err(TrainError::write(path, "open the run directory"))?);
        match try_lock(&lock) {
            Ok(()) => {
                let timing = Timing::at(path.join("timing.jsonl"));
                Ok(Self { path: path.to_owned(), handle, lock, timing, remote: None })
            }
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                let _ = lock.take(200).read_to_string(&mut holder);
                Err(TrainError::InUse { path: path.to_owned(), holder: named(&holder) })
            }
            Err(TryLockError::Error(source)) => Err(failed("lock the run directory")(source)),
        }
    }

    /// Whether a process trains in the run directory at `path`. Nothing is written; a shared lock is held for a moment.
    pub(crate) fn is_held(path: &Path) -> bool {
        let lock = File::open(path.join("lock"));
        lock.is_ok_and(|lock| matches!(lock.try_lock_shared(), Err(TryLockError::WouldBlock)))
    }

    /// Returns the process that trains in the run directory at `path`, in words; `None` if there is none, or if it is a
    /// URL. Nothing is written.
    #[doc(hidden)]
    pub fn holder(path: &Path) -> Option<String> {
        let signature = || fs::read_to_string(path.join("lock")).unwrap_or_default();
        Self::is_held(path).then(|| named(&signature()))
    }

    /// Writes the holder into the lock file, for the messages of other processes.
    fn sign(mut self) -> Result<Self, TrainError> {
        self.write_signature().map(|()| self)
    }

    fn write_signature(&mut self) -> Result<(), TrainError> {
        let file = self.path.join("lock");
        let mut sign = || {
            self.lock.set_len(0)?;
            self.lock.seek(SeekFrom::Start(0))?;
            writeln!(self.lock, "process {}", std::process::id())
        };
        sign().map_err(TrainError::write(&file, "write the lock file"))
    }

    /// Returns the directory, or the URL of a run in an object store.
    pub fn path(&self) -> &Path {
        self.remote.as_ref().map_or(&self.path, |remote| &remote.url)
    }

    /// Returns the folder of checkpoints.
    pub fn checkpoints(&self) -> PathBuf {
        self.path().join("checkpoints")
    }

    /// Returns the same folder, which refuses to save once this process no longer holds the lock.
    pub(crate) fn folder(&self) -> Folder {
        let folder = Folder::new(self.checkpoints());
        match &self.remote {
            Some(remote) => folder.guarded(remote.lease.check()),
            None => folder,
        }
    }

    /// Refuses to save if the directory is no longer the one that this process holds: missing, or replaced by a new one
    /// of the same name, which another run may use. If only the lock is missing, it is created again with a message,
    /// unless another process holds a new one.
    pub(crate) fn require_in_place(&mut self) -> Result<Option<String>, TrainError> {
        if self.remote.is_some() {
            return Ok(None);
        }
        let is_there = |path: &Path, handle: &File| {
            is_in_place(path, handle).map_err(|error| TrainError::write(path, "save in the run directory")(error))
        };
        if !is_there(&self.path, &self.handle)? {
            return Err(TrainError::Displaced { path: self.path.clone() });
        }
        let file = self.path.join("lock");
        if is_there(&file, &self.lock)? {
            return Ok(None);
        }
        self.lock_again(&file)?;
        Ok(Some(format!("{} was removed during the run, and is created again", file.display())))
    }

    /// Creates a removed lock again. If there is a new one, another process holds it, or has trained here.
    fn lock_again(&mut self, file: &Path) -> Result<(), TrainError> {
        let failed = |operation| TrainError::write(file, operation);
        match OpenOptions::new().read(true).write(true).create_new(true).open(file) {
            Ok(lock) => {
                lock.try_lock().map_err(|error| failed("lock the run directory")(error.into()))?;
                self.lock = lock;
                self.write_signature()
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                let holder = fs::read_to_string(file).unwrap_or_default();
                Err(TrainError::LockLost { path: self.path.clone(), holder: named(&holder) })
            }
            Err(error) => Err(failed("make the lock file again")(error)),
        }
    }

    /// Wraps `disk` for the saves of this run: it refuses all operations once the directory is not in its place.
    pub(crate) fn held(&self, disk: Arc<dyn Disk>) -> Arc<dyn Disk> {
        if self.remote.is_some() { disk } else { Arc::new(HeldDisk::new(disk, &self.path, &self.handle)) }
    }

    /// Refuses to continue with a run that another process has taken over.
    pub(crate) fn require_held(&self) -> Result<(), TrainError> {
        let lost = self.remote.as_ref().and_then(|remote| Some((&remote.url, remote.lease.lost_to()?)));
        lost.map_or(Ok(()), |(url, holder)| Err(TrainError::TakenOver { path: url.clone(), holder }))
    }

    /// Opens the log, truncated to the lines of the updates in `steps`.
    pub(crate) fn open_log(&self, steps: Range<u64>) -> Result<Log, TrainError> {
        let mirror = self.remote.as_ref().map(|remote| Arc::clone(&remote.mirror));
        Log::open(&self.log_file(), steps, mirror)
    }

    /// Appends an event with its step and duration to the log of times.
    pub(crate) fn record_time(&self, event: &str, step: u64, seconds: f64) {
        self.timing.record(event, step, seconds, None);
    }

    /// Appends the time at which `done` updates are made, `seconds` after the process began, and its memory.
    pub(crate) fn record_step(&self, done: u64, seconds: f64) {
        self.timing.record("step", done, seconds, memory::resident());
    }

    /// Uploads the log of times. Nothing depends on it, so a failure does not fail the run.
    pub(crate) fn put_times(&self) {
        let Some(Remote { mirror, url, .. }) = &self.remote else { return };
        let mirror = mirror.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(error) = self.timing.with(|file| mirror.put(file, "timing.jsonl")) {
            tracing::warn!("{}: cannot write the times: {error}", url.display());
        }
    }

    /// Whether the directory and its lock are still the ones that this process holds.
    pub(super) fn is_ours(&self) -> bool {
        self.remote.is_some()
            || is_in_place(&self.path, &self.handle).unwrap_or(false)
                && is_in_place(&self.path.join("lock"), &self.lock).unwrap_or(false)
    }

    /// Removes a file of the run.
    pub(super) fn remove(&self, name: &str) -> io::Result<()> {
        let file = self.path().join(name);
        match &self.remote {
            Some(Remote { store, .. }) => store.remove(&file),
            None => fs::remove_file(&file),
        }
    }

    /// Returns the log of steps, on the local disk.
    pub fn log_file(&self) -> PathBuf {
        self.path.join("log.jsonl")
    }

    /// Returns the log of times, on the local disk.
    pub fn timing_file(&self) -> PathBuf {
        self.timing.path().to_owned()
    }

    /// Returns the resolved configuration.
    pub fn config_file(&self) -> PathBuf {
        self.path().join("config.toml")
    }

    /// Writes the resolved configuration atomically: as a temporary file first, or as an object. A file that a user has
    /// edited is not changed.
    ///
    /// # Errors
    /// They cannot be written.
    pub fn write_config(&self, config: &Config) -> Result<(), TrainError> {
        let file = self.config_file();
        let failed = |operation| TrainError::write(&file, operation);
        let text = written_config::encode(&config.relative_to(self.path()))
            .map_err(|error| failed("write the configuration")(std::io::Error::other(error)))?;
        match written_config::read(&file)? {
            Some(there) if there == text || !written_config::is_as_written(&there) => return Ok(()),
            _ => {}
        }
        self.put("config.toml", &text).map_err(failed("write the configuration"))
    }

    /// Writes a file of the run atomically: as a temporary file first, or as an object.
    pub(super) fn put(&self, name: &str, text: &str) -> io::Result<()> {
        if let Some(Remote { store, url, .. }) = &self.remote {
            return store.upload(&url.join(name), &mut text.as_bytes(), text.len() as u64);
        }
        let mut out = AtomicFile::create_as(self.path.join(format!(".{name}.tmp")), self.path.join(name))?;
        out.write_all(text.as_bytes())?;
        out.finish()?;
        File::open(&self.path)?.sync_all()
    }

    /// Renames a configuration that a user has edited and that must change, and returns its new name.
    ///
    /// # Errors
    /// It cannot be renamed.
    pub(crate) fn keep_edited_config(&self) -> Result<Option<String>, TrainError> {
        let file = self.config_file();
        let failed = |operation| TrainError::write(&file, operation);
        let Some(text) = written_config::read(&file)?.filter(|text| !written_config::is_as_written(text)) else {
            return Ok(None);
        };
        let kept = free_name::numbered(&self.path().join("config.toml.kept"), store::is_file)
            .map_err(failed("look for earlier copies of"))?;
        let moved = match &self.remote {
            Some(Remote { store, .. }) => {
                let written = store.upload(&kept, &mut text.as_bytes(), text.len() as u64);
                written.and_then(|()| store.remove(&file))
            }
            None => fs::rename(&file, &kept),
        };
        moved.map_err(failed("rename the edited configuration"))?;
        Ok(Some(format!("{} was edited, and is kept as {}", file.display(), kept.display())))
    }
}

/// Returns the holder that the text of a lock file names.
fn named(signature: &str) -> String {
    match signature.trim() {
        "" => "another process".to_owned(),
        holder => holder.to_owned(),
    }
}

/// Locks a file. A listing of runs holds the lock for a moment to see whether it is free, so a taken lock is tried
/// again a few times.
fn try_lock(lock: &File) -> Result<(), TryLockError> {
    const TRIES: u32 = 5;
    for _ in 1..TRIES {
        match lock.try_lock() {
            Err(TryLockError::WouldBlock) => std::thread::sleep(std::time::Duration::from_millis(10)),
            locked => return locked,
        }
    }
    lock.try_lock()
}

/// Returns the store of a run at a URL.
fn store_of(path: &Path) -> Result<Option<Arc<dyn Store>>, TrainError> {
    store::at(path).map_err(|source| TrainError::Store { path: path.to_owned(), source })
}

impl std::fmt::Debug for Remote {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Remote").field("url", &self.url).finish_non_exhaustive()
    }
}

/// Closing the file would release the lock too, but not while a process that another thread is starting still has a
/// copy of it.
impl Drop for RunDirectory {
    fn drop(&mut self) {
        if self.remote.is_some() {
            // All important data is in the store.
            let _ = fs::remove_dir_all(&self.path);
        }
        let _ = self.lock.unlock();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_process_is_refused_with_the_name_of_the_first() {
        let folder = tempfile::tempdir().unwrap();
        let first = RunDirectory::create(&folder.path().join("run")).unwrap();
        let message = RunDirectory::open(first.path()).unwrap_err().to_string();
        assert!(message.contains(&format!("is in use by process {}", std::process::id())), "{message}");
        drop(first);
        RunDirectory::open(&folder.path().join("run")).unwrap();
    }

    #[cfg(unix)]
    #[test]
    fn another_name_for_the_directory_is_the_same_directory() {
        let folder = tempfile::tempdir().unwrap();
        let _first = RunDirectory::create(&folder.path().join("run")).unwrap();
        std::os::unix::fs::symlink(folder.path().join("run"), folder.path().join("link")).unwrap();
        assert!(matches!(RunDirectory::open(&folder.path().join("link")), Err(TrainError::InUse { .. })));
    }
}
