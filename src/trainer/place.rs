//! The directory of a run, which one process holds.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};

use super::error::TrainerError;
use crate::{regular, store};

/// A directory, locked by this process until the value is dropped or the process ends in any way.
pub(super) struct Place {
    path: PathBuf,
    /// The operating system holds the lock for the process, so a killed one leaves none behind.
    _lock: File,
}

impl Place {
    /// Creates the directory at `path` if it is missing, and locks it.
    ///
    /// # Errors
    /// Another process trains there, it has a run of the program `train`, or it cannot be written.
    pub fn hold(path: &Path) -> Result<Self, TrainerError> {
        let refused = |reason| Err(TrainerError::Place { path: path.to_owned(), reason });
        if store::is_url(path) {
            return refused(
                "is a URL; a `Trainer` works on a disk: save in a `checkpoint::Folder` at the URL yourself",
            );
        }
        if path.join("config.toml").exists() {
            return refused("has a run of `train`, which `train --resume` continues; choose another directory");
        }
        fs::create_dir_all(path).map_err(TrainerError::io("make the directory", path))?;
        let file = path.join("lock");
        let failed = |operation| TrainerError::io(operation, &file);
        regular::require_or_none(&file).map_err(failed("open"))?;
        let options = OpenOptions::new().read(true).write(true).create(true).truncate(false).clone();
        let mut lock = options.open(&file).map_err(failed("open"))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                let _ = lock.take(200).read_to_string(&mut holder);
                let holder = if holder.trim().is_empty() { "another process" } else { holder.trim() };
                return Err(TrainerError::InUse { path: path.to_owned(), holder: holder.to_owned() });
            }
            Err(TryLockError::Error(source)) => return Err(failed("lock")(source)),
        }
        let sign = lock.set_len(0).and_then(|()| lock.rewind());
        let sign = sign.and_then(|()| writeln!(lock, "process {}", std::process::id()));
        sign.map_err(failed("write"))?;
        Ok(Self { path: path.to_owned(), _lock: lock })
    }

    /// Returns the folder of checkpoints.
    pub fn checkpoints(&self) -> PathBuf {
        self.path.join("checkpoints")
    }

    /// Returns the file with one line for each step.
    pub fn log_file(&self) -> PathBuf {
        self.path.join("log.jsonl")
    }
}
