//! The file system operations of a save, behind one trait.
//!
//! A save uses the disk only through [`Disk`], so a test can record the operations, fail any of them, or stop in the
//! middle. Reading needs no such trait, because it changes nothing.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

/// Operations of a save on a disk. Paths are used as given; errors are the operating system's.
pub trait Disk: Send + Sync {
    /// Creates a directory, which must not exist.
    fn create_dir(&self, path: &Path) -> io::Result<()>;
    /// Creates a file, which must not exist, with the process's usual permissions for new files.
    fn create_file(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;
    /// Makes the entries of a directory durable: creations in it, and renames into or out of it.
    fn sync_dir(&self, path: &Path) -> io::Result<()>;
    /// Renames a directory within its parent, to a free name.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Exchanges two entries of one directory atomically: both names always have content. `Unsupported` if the file
    /// system cannot do this.
    fn exchange(&self, a: &Path, b: &Path) -> io::Result<()>;
    /// Removes a directory and its content.
    fn remove_dir_all(&self, path: &Path) -> io::Result<()>;
}

/// A file that is being written.
pub trait DiskFile: Write {
    /// Makes the written data durable.
    fn sync(&mut self) -> io::Result<()>;
}

/// The local disk.
#[derive(Clone, Copy, Debug, Default)]
pub struct LocalDisk;

impl Disk for LocalDisk {
    fn create_dir(&self, path: &Path) -> io::Result<()> {
        fs::create_dir(path)
    }

    fn create_file(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(File::create_new(path)?))
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        File::open(path)?.sync_all()
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    #[cfg(any(target_os = "linux", target_os = "android", target_vendor = "apple"))]
    fn exchange(&self, a: &Path, b: &Path) -> io::Result<()> {
        use rustix::fs::{CWD, RenameFlags, renameat_with};
        use rustix::io::Errno;
        renameat_with(CWD, a, CWD, b, RenameFlags::EXCHANGE).map_err(|errno| match errno {
            Errno::INVAL | Errno::NOSYS | Errno::NOTSUP => io::ErrorKind::Unsupported.into(),
            other => other.into(),
        })
    }

    #[cfg(not(any(target_os = "linux", target_os = "android", target_vendor = "apple")))]
    fn exchange(&self, _: &Path, _: &Path) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        fs::remove_dir_all(path)
    }
}

impl DiskFile for File {
    fn sync(&mut self) -> io::Result<()> {
        self.sync_all()
    }
}
