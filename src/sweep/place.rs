//! The place of a sweep, a directory or a URL: which process sweeps there, and its files, each of which is there whole or
//! not at all.
//!
//! An object cannot be appended to. What the processes of a trial at a URL print goes to a file on the local disk, which is
//! uploaded when such a process has ended.

use std::fs::{self, File, TryLockError};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::error::SweepError;
use crate::atomic_file::AtomicFile;
use crate::store::{self, Guarded, Store};
use crate::train::TrainError;
use crate::train::run_dir::lease::Lease;
use crate::train::run_dir::place::{refuse_one_slash, without_slash};
use crate::train::run_dir::scratch;

/// A place that no other process sweeps meanwhile.
#[derive(Debug)]
pub(super) struct Place {
    path: PathBuf,
    hold: Hold,
}

/// How this process holds a place, until it is dropped.
enum Hold {
    /// A locked file in the directory.
    Lock { _file: File },
    /// A lease of the URL, and the store, which writes nothing once the lease is lost.
    Lease { store: Arc<dyn Store>, scratch: Scratch, _lease: Lease },
}

/// A locked directory on the local disk, whose content can be lost at any moment.
struct Scratch {
    path: PathBuf,
    _lock: File,
}

impl Place {
    /// Holds the directory or URL at `path`; a directory must be there.
    pub fn hold(path: &Path) -> Result<Self, SweepError> {
        if let Some(store) = store_of(path)? {
            return Self::hold_url(store, without_slash(path));
        }
        match lock(path).map_err(SweepError::write(&path.join("lock"), "be locked"))? {
            Some(file) => Ok(Self { path: path.to_owned(), hold: Hold::Lock { _file: file } }),
            None => {
                let reason = "is swept by another process; wait for its end, or stop it".to_owned();
                Err(SweepError::Directory { path: path.to_owned(), reason })
            }
        }
    }

    fn hold_url(store: Arc<dyn Store>, path: PathBuf) -> Result<Self, SweepError> {
        let lease = Lease::take(&store, &path)?;
        let scratch = scratch::hold(&path, Scratch::at)?;
        let store = Arc::new(Guarded::new(store, Arc::new(lease.check())));
        Ok(Self { path, hold: Hold::Lease { store, scratch, _lease: lease } })
    }

    /// Returns the directory or URL.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes the file called `name`.
    pub fn put(&self, name: &str, text: &str) -> Result<(), SweepError> {
        let path = self.path.join(name);
        let written = match &self.hold {
            Hold::Lock { .. } => write_whole(&path, text),
            Hold::Lease { store, .. } => store.upload(&path, &mut text.as_bytes(), text.len() as u64),
        };
        written.map_err(SweepError::write(&path, "be written"))
    }

    /// Returns the local file that stands for the file called `name` while processes append to it.
    pub fn local(&self, name: &str) -> PathBuf {
        match &self.hold {
            Hold::Lock { .. } => self.path.join(name),
            // It is a folder without others.
            Hold::Lease { scratch, .. } => scratch.path.join(name.replace('/', "-")),
        }
    }

    /// Fills the local file with what earlier processes have appended to it.
    pub fn fetch(&self, name: &str) -> io::Result<()> {
        let (Hold::Lease { store, .. }, local) = (&self.hold, self.local(name)) else { return Ok(()) };
        if local.exists() {
            return Ok(());
        }
        let earlier = store.fetch(&self.path.join(name), u64::MAX)?;
        earlier.map_or(Ok(()), |(content, _)| fs::write(local, content))
    }

    /// Uploads the local file.
    pub fn keep(&self, name: &str) -> io::Result<()> {
        let Hold::Lease { store, .. } = &self.hold else { return Ok(()) };
        let mut file = File::open(self.local(name))?;
        let bytes = file.metadata()?.len();
        store.upload(&self.path.join(name), &mut file, bytes)
    }
}

impl std::fmt::Debug for Hold {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if matches!(self, Self::Lock { .. }) { "Lock" } else { "Lease" })
    }
}

impl Scratch {
    fn at(path: &Path) -> Result<Self, TrainError> {
        let locked = lock(path).map_err(TrainError::write(path, "lock the scratch directory"))?;
        let in_use = || TrainError::InUse { path: path.to_owned(), holder: "another process".to_owned() };
        Ok(Self { path: path.to_owned(), _lock: locked.ok_or_else(in_use)? })
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.path);
    }
}

/// Whether the directory or URL at `path` holds nothing but the beginning of a sweep.
pub(super) fn is_free(path: &Path) -> Result<bool, SweepError> {
    let Some(store) = store_of(path)? else {
        let is_empty = fs::read_dir(path).map_or(true, |mut entries| entries.next().is_none());
        return Ok(is_empty || path.join("configs").is_dir());
    };
    let url = without_slash(path);
    let found = store.list(&url).map_err(SweepError::write(&url, "be listed"))?;
    let is_ours = |object: &Path| object == url.join("lock") || object.starts_with(url.join("configs"));
    Ok(found.iter().all(|object| is_ours(&object.path)))
}

/// Reads a file of a sweep; `None` if it is not there.
pub(super) fn read(path: &Path) -> Result<Option<String>, SweepError> {
    match store::read_to_string(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        found => found.map(Some).map_err(SweepError::write(path, "be read")),
    }
}

fn store_of(path: &Path) -> Result<Option<Arc<dyn Store>>, TrainError> {
    if !path.exists() {
        refuse_one_slash(path)?;
    }
    store::at(path).map_err(|source| TrainError::Store { path: path.to_owned(), source })
}

/// Locks a directory; `None` if another process holds it.
fn lock(path: &Path) -> io::Result<Option<File>> {
    let file = File::options().create(true).truncate(false).write(true).open(path.join("lock"))?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

fn write_whole(path: &Path, text: &str) -> io::Result<()> {
    let mut file = AtomicFile::create(path)?;
    file.write_all(text.as_bytes())?;
    file.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Memory;

    #[test]
    fn what_processes_print_at_a_url_is_uploaded_and_found_by_the_next_sweep() {
        let store = Arc::new(Memory::new());
        store::register("mem://of-a-sweep", store.clone());
        let url = Path::new("mem://of-a-sweep/sweep/");
        assert!(is_free(url).unwrap());
        for (before, now) in [("", "one\n"), ("one\n", "two\n")] {
            let place = Place::hold(url).unwrap();
            place.fetch("trials/0000.txt").unwrap();
            let local = place.local("trials/0000.txt");
            assert_eq!(fs::read_to_string(&local).unwrap_or_default(), before);
            File::options().create(true).append(true).open(&local).unwrap().write_all(now.as_bytes()).unwrap();
            place.keep("trials/0000.txt").unwrap();
            place.put("configs/0000.toml", now).unwrap();
            drop(place);
            assert!(!local.exists());
        }
        let text = |name: &str| read(&Path::new("mem://of-a-sweep/sweep").join(name)).unwrap();
        assert_eq!(text("trials/0000.txt").as_deref(), Some("one\ntwo\n"));
        assert_eq!((text("configs/0000.toml").as_deref(), text("lock")), (Some("two\n"), None));
        assert!(!is_free(url).unwrap(), "it has the output of a trial");
        assert!(is_free(Path::new("mem://of-a-sweep/sweep/configs")).is_ok_and(|is_free| !is_free));
    }
}
