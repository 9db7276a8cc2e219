//! Files of a checkpoint in a local directory or an object store.

use std::fs::{self, File};
use std::io::Read;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Dir, Mode, OFlags, openat};
use rustix::io::Errno;

use super::error::{CheckpointError, During};
use super::name;
use crate::remedy;

/// A file that was opened, and its size in bytes.
pub(super) type Opened = (Box<dyn Read + Send>, u64);

/// The files of a checkpoint. Nothing they contain is trusted.
pub(super) trait Files {
    /// Returns the path of the checkpoint, as it was given.
    fn path(&self) -> &Path;
    /// Returns the step in its name.
    fn step(&self) -> u64;
    /// Lists its files.
    fn names(&self) -> Result<Vec<String>, CheckpointError>;
    /// Returns the size of a file; `None` if it does not exist.
    fn bytes(&self, name: &str) -> Result<Option<u64>, CheckpointError>;
    /// Opens a file to be read to its end; `None` if it does not exist.
    fn open(&self, name: &str) -> Result<Option<Opened>, CheckpointError>;
    /// Opens a file to read only its beginning.
    fn peek(&self, name: &str) -> Result<Option<Opened>, CheckpointError>;

    /// Returns the path of a file.
    fn file(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }
}

/// Whether there is a directory at `path`. An error of the system is returned, because the directory may exist.
pub(super) fn is_dir(path: &Path) -> Result<bool, CheckpointError> {
    match fs::metadata(path) {
        Err(error) if remedy::is_absence(&error) => Ok(false),
        found => found.during("look at", path).map(|found| found.is_dir()),
    }
}

/// An open directory of a checkpoint: all reads use this directory, even if its name is reused meanwhile.
pub(super) struct Directory {
    path: PathBuf,
    handle: OwnedFd,
    step: u64,
}

impl Directory {
    pub fn open(path: &Path) -> Result<Self, CheckpointError> {
        if !is_dir(path)? {
            return Err(CheckpointError::NotADirectory { path: path.to_owned() });
        }
        let real = fs::canonicalize(path).during("open", path)?;
        let step = name::step_of_any(&real).ok_or_else(|| CheckpointError::NotNamed { path: path.to_owned() })?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let handle = openat(CWD, &real, flags, Mode::empty()).during("open", path)?;
        Ok(Self { path: path.to_owned(), handle, step })
    }

    /// Opens one of its files and returns its size. Links are not followed, and pipes do not block.
    fn open_file(&self, name: &str) -> Result<Option<(File, u64)>, CheckpointError> {
        let path = self.file(name);
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = match openat(&self.handle, name, flags, Mode::empty()) {
            Ok(handle) => File::from(handle),
            Err(Errno::NOENT) => return Ok(None),
            Err(Errno::LOOP | Errno::NXIO) => return Err(CheckpointError::NotAFile { path }),
            Err(error) => return Err(error).during("open", path),
        };
        let metadata = file.metadata().during("open", &path)?;
        if metadata.is_file() { Ok(Some((file, metadata.len()))) } else { Err(CheckpointError::NotAFile { path }) }
    }
}

impl Files for Directory {
    fn path(&self) -> &Path {
        &self.path
    }

    fn step(&self) -> u64 {
        self.step
    }

    fn names(&self) -> Result<Vec<String>, CheckpointError> {
        let mut names = Vec::new();
        for entry in Dir::read_from(&self.handle).during("list", &self.path)? {
            let name = entry.during("list", &self.path)?.file_name().to_string_lossy().into_owned();
            names.extend(Some(name).filter(|name| name != "." && name != ".."));
        }
        Ok(names)
    }

    fn bytes(&self, name: &str) -> Result<Option<u64>, CheckpointError> {
        Ok(self.open_file(name)?.map(|(_, bytes)| bytes))
    }

    fn open(&self, name: &str) -> Result<Option<Opened>, CheckpointError> {
        let Some((file, bytes)) = self.open_file(name)? else { return Ok(None) };
        // A hint to read ahead; ignoring it does no harm.
        #[cfg(target_os = "linux")]
        let _ = rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::Sequential);
        Ok(Some((Box::new(file), bytes)))
    }

    fn peek(&self, name: &str) -> Result<Option<Opened>, CheckpointError> {
        Ok(self.open_file(name)?.map(|(file, bytes)| (Box::new(file) as Box<dyn Read + Send>, bytes)))
    }
}
