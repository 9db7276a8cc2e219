//! The disk of a run directory that this process holds.
//!
//! A run directory can be moved, removed or replaced at any moment, even during a save. Nothing is then created at its
//! old path, which another run may use.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::checkpoint::fs::{Disk, DiskFile};

/// A disk that refuses all operations once a directory is not the opened one any more.
pub(super) struct HeldDisk {
    disk: Arc<dyn Disk>,
    path: PathBuf,
    handle: Arc<File>,
}

impl HeldDisk {
    /// Wraps `disk` while the directory at `path` is the one that `handle` has open.
    pub(super) fn new(disk: Arc<dyn Disk>, path: &Path, handle: &Arc<File>) -> Self {
        Self { disk, path: path.to_owned(), handle: Arc::clone(handle) }
    }

    fn require_in_place(&self) -> io::Result<()> {
        let displaced = || io::Error::other("the run directory was moved, removed or replaced during a save");
        if is_in_place(&self.path, &self.handle)? { Ok(()) } else { Err(displaced()) }
    }
}

/// Whether the file or directory at `path` is the one that `handle` has open.
pub(super) fn is_in_place(path: &Path, handle: &File) -> io::Result<bool> {
    let identity = |metadata: fs::Metadata| (metadata.dev(), metadata.ino());
    match fs::metadata(path).map(identity) {
        Ok(found) => Ok(found == identity(handle.metadata()?)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

impl Disk for HeldDisk {
    fn create_dir(&self, path: &Path) -> io::Result<()> {
        self.require_in_place()?;
        self.disk.create_dir(path)
    }

    fn create_file(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        self.disk.create_file(path)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.disk.sync_dir(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.require_in_place()?;
        self.disk.rename(from, to)
    }

    fn exchange(&self, a: &Path, b: &Path) -> io::Result<()> {
        self.require_in_place()?;
        self.disk.exchange(a, b)
    }

    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        self.require_in_place()?;
        self.disk.remove_dir_all(path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::fs::LocalDisk;
    use crate::checkpoint::{Snapshot, WrittenBy, save};

    /// Moves a directory away before the operation with a number.
    struct Moving {
        left: std::sync::atomic::AtomicUsize,
        from: PathBuf,
        to: PathBuf,
    }

    impl Moving {
        fn before<T>(&self, operation: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
            if self.left.fetch_sub(1, std::sync::atomic::Ordering::Relaxed) == 0 {
                fs::rename(&self.from, &self.to)?;
            }
            operation()
        }
    }

    impl Disk for Moving {
        fn create_dir(&self, path: &Path) -> io::Result<()> {
            self.before(|| LocalDisk.create_dir(path))
        }

        fn create_file(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
            self.before(|| LocalDisk.create_file(path))
        }

        fn sync_dir(&self, path: &Path) -> io::Result<()> {
            self.before(|| LocalDisk.sync_dir(path))
        }

        fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
            self.before(|| LocalDisk.rename(from, to))
        }

        fn exchange(&self, a: &Path, b: &Path) -> io::Result<()> {
            self.before(|| LocalDisk.exchange(a, b))
        }

        fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
            self.before(|| LocalDisk.remove_dir_all(path))
        }
    }

    /// Before any operation of a save, and before the save begins.
    #[test]
    fn a_run_directory_that_is_moved_during_a_save_is_not_made_again() {
        for number in 0.. {
            let temporary = tempfile::tempdir().unwrap();
            let (run, moved) = (temporary.path().join("runs/one"), temporary.path().join("moved"));
            fs::create_dir_all(&run).unwrap();
            let handle = Arc::new(File::open(&run).unwrap());
            let disk = Arc::new(Moving { left: number.into(), from: run.clone(), to: moved.clone() });
            let held = HeldDisk::new(disk, &run, &handle);
            if number == 0 {
                fs::rename(&run, &moved).unwrap();
            }
            let saved = save::save(&held, &run.join("checkpoints"), &Snapshot::at(7), &WrittenBy::this_build("cpu"));
            if saved.is_ok() && run.exists() {
                assert!(number > 5, "a save has more operations than {number}");
                break;
            }
            assert!(!run.exists(), "made again, where it was moved before operation {number}");
        }
    }
}
