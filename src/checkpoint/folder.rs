//! A folder of checkpoints. Nothing in it points at the latest: the newest valid one is the latest.

use std::fmt;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::error::{CheckpointError, During};
use super::fs::LocalDisk;
use super::name::step_of;
use super::read::Checkpoint;
use super::save::{self, Saved};
use super::snapshot::Snapshot;
use super::written_by::WrittenBy;

/// A folder in which a run keeps its checkpoints, a directory each. It need not exist before the first save.
#[derive(Clone, Debug)]
pub struct Folder {
    path: PathBuf,
}

/// The newest checkpoint of a folder that is valid, and the newer ones that are not.
#[derive(Debug)]
pub struct Newest {
    /// The one to continue from.
    pub checkpoint: Checkpoint,
    /// Those passed over, newest first. They are left as they are; a program should name them to its user.
    pub damaged: Vec<Damaged>,
}

/// A checkpoint that cannot be used.
#[derive(Debug)]
pub struct Damaged {
    /// The step in its name.
    pub step: u64,
    /// Its directory.
    pub path: PathBuf,
    /// What is wrong with it.
    pub error: CheckpointError,
}

impl fmt::Display for Damaged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl Folder {
    /// The folder at `path`. Nothing is touched.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Saves `snapshot` here, durably; the folder is created when it is missing.
    ///
    /// # Errors
    /// As [`save::save`], which this is on the local disk.
    pub fn save(&self, snapshot: &Snapshot, written_by: &WrittenBy) -> Result<Saved, CheckpointError> {
        save::save(&LocalDisk, &self.path, snapshot, written_by)
    }

    /// Step and directory of every checkpoint by its name alone, oldest first; none where there is no folder.
    ///
    /// # Errors
    /// When the folder cannot be listed.
    pub fn list(&self) -> Result<Vec<(u64, PathBuf)>, CheckpointError> {
        let entries = match fs::read_dir(&self.path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.during("list", &self.path)?,
        };
        let mut found = Vec::new();
        for entry in entries {
            let path = entry.during("list", &self.path)?.path();
            found.extend(step_of(&path).filter(|_| path.is_dir()).map(|step| (step, path)));
        }
        found.sort();
        Ok(found)
    }

    /// The newest valid checkpoint; `None` where there are none at all, as before the first save of a run.
    ///
    /// # Errors
    /// [`CheckpointError::OnlyDamaged`] where there are checkpoints and none is valid: to start afresh there would
    /// throw a run away. Also when the folder cannot be listed.
    pub fn newest(&self) -> Result<Option<Newest>, CheckpointError> {
        let mut damaged = Vec::new();
        for (step, path) in self.list()?.into_iter().rev() {
            match Checkpoint::read(&path) {
                Ok(checkpoint) => return Ok(Some(Newest { checkpoint, damaged })),
                Err(error) => damaged.push(Damaged { step, path, error }),
            }
        }
        if damaged.is_empty() {
            Ok(None)
        } else {
            Err(CheckpointError::OnlyDamaged { folder: self.path.clone(), damaged })
        }
    }

    /// The newest valid checkpoint of a folder that must have one.
    ///
    /// # Errors
    /// [`CheckpointError::Empty`] where there are none, and as [`Folder::newest`].
    pub fn require_newest(&self) -> Result<Newest, CheckpointError> {
        self.newest()?.ok_or_else(|| CheckpointError::Empty { folder: self.path.clone() })
    }
}
