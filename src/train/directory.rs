//! The run directory: who may write in it, and what is where.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use super::TrainError;
use super::config::Config;

/// A run directory, held by this process until the value is dropped or the process ends, however it ends.
#[derive(Debug)]
pub struct RunDirectory {
    path: PathBuf,
    lock: File,
}

impl RunDirectory {
    /// Makes a directory for a new run, or takes an existing one that holds none.
    ///
    /// # Errors
    /// When the directory holds a run, another process trains there, or it cannot be written.
    pub fn create(path: &Path) -> Result<Self, TrainError> {
        fs::create_dir_all(path).map_err(TrainError::write(path, "make the run directory"))?;
        let directory = Self::hold(path)?;
        let held = [directory.config_file(), directory.log_file(), directory.checkpoints()];
        if held.iter().any(|path| path.exists()) {
            return Err(TrainError::HoldsARun { path: path.to_owned() });
        }
        directory.sign()
    }

    /// Takes the directory of an existing run.
    ///
    /// # Errors
    /// When another process trains there, or it cannot be written.
    pub fn open(path: &Path) -> Result<Self, TrainError> {
        Self::hold(path)?.sign()
    }

    /// The operating system holds the lock for the process, so a killed one leaves none behind, and it belongs to the
    /// file rather than to one of its names, so links to the directory share it.
    fn hold(path: &Path) -> Result<Self, TrainError> {
        let file = path.join("lock");
        let failed = |operation| TrainError::write(&file, operation);
        let options = OpenOptions::new().read(true).write(true).create(true).truncate(false).clone();
        let lock = options.open(&file).map_err(failed("open the lock file"))?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { path: path.to_owned(), lock }),
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                let read = lock.take(200).read_to_string(&mut holder);
                let known = read.is_ok() && !holder.trim().is_empty();
                let holder = if known { holder.trim() } else { "another process" }.to_owned();
                Err(TrainError::InUse { path: path.to_owned(), holder })
            }
            Err(TryLockError::Error(source)) => Err(failed("lock the run directory")(source)),
        }
    }

    /// Writes into the lock file who holds it, for the message that another process gets.
    fn sign(mut self) -> Result<Self, TrainError> {
        let file = self.path.join("lock");
        let mut sign = || {
            self.lock.set_len(0)?;
            self.lock.seek(SeekFrom::Start(0))?;
            writeln!(self.lock, "process {}", std::process::id())
        };
        sign().map_err(TrainError::write(&file, "write the lock file"))?;
        Ok(self)
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The folder of checkpoints.
    pub fn checkpoints(&self) -> PathBuf {
        self.path.join("checkpoints")
    }

    /// The log of steps.
    pub fn log_file(&self) -> PathBuf {
        self.path.join("log.jsonl")
    }

    /// The log of times.
    pub fn timing_file(&self) -> PathBuf {
        self.path.join("timing.jsonl")
    }

    /// The resolved configuration.
    pub fn config_file(&self) -> PathBuf {
        self.path.join("config.toml")
    }

    /// Writes the resolved configuration: a temporary file first, so that it is whole or not there.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write_config(&self, config: &Config) -> Result<(), TrainError> {
        let file = self.config_file();
        let failed = |operation| TrainError::write(&file, operation);
        let text = toml::to_string(&config.relative_to(&self.path))
            .map_err(|error| failed("write the configuration")(std::io::Error::other(error)))?;
        let temporary = self.path.join(".config.toml.tmp");
        let write = || {
            let mut out = File::create(&temporary)?;
            out.write_all(text.as_bytes())?;
            out.sync_all()?;
            fs::rename(&temporary, &file)?;
            File::open(&self.path)?.sync_all()
        };
        write().map_err(failed("write the configuration"))
    }
}

/// Closing the file would free the lock too, but not while a process that another thread is just starting still has a
/// copy of it.
impl Drop for RunDirectory {
    fn drop(&mut self) {
        let _ = self.lock.unlock();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_process_is_refused_and_told_of_the_first() {
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
