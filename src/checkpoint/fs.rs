//! The few operations of the file system that a save consists of, behind one trait.
//!
//! A save does nothing to a disk but through [`Disk`], so a test can record what is done, fail any of it, or stop
//! in the middle. Reading needs no such seam: it changes nothing.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

/// What a save asks of a disk. Paths are as the caller gave them; every error is the operating system's.
pub trait Disk: Send + Sync {
    /// Creates a directory, which must not exist.
    fn create_dir(&self, path: &Path) -> io::Result<()>;
    /// Creates a file, which must not exist, with the permissions that the process gives to new files.
    fn create_file(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;
    /// Makes the entries of a directory durable: what was created in it, renamed into or out of it.
    fn sync_dir(&self, path: &Path) -> io::Result<()>;
    /// Renames a directory within its parent, to a name that is free.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Exchanges two entries of one directory in a single step: at no moment is either name without its content.
    /// `Unsupported` where the file system cannot.
    fn exchange(&self, a: &Path, b: &Path) -> io::Result<()>;
    /// Removes a directory and all in it.
    fn remove_dir_all(&self, path: &Path) -> io::Result<()>;
}

/// A file that is being written.
pub trait DiskFile: Write {
    /// Makes what was written durable.
    fn sync(&mut self) -> io::Result<()>;
}

/// The disk of this machine.
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
