//! `timing.jsonl`: durations with their steps. Nothing depends on it, so a failure does not fail the run.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::json;

use crate::regular;

/// The file, opened at the first event.
#[derive(Debug)]
pub(super) struct Timing {
    path: PathBuf,
    file: Mutex<Option<File>>,
}

impl Timing {
    /// Creates it for the file at `path`, without accessing the file.
    pub(super) fn at(path: PathBuf) -> Self {
        Self { path, file: Mutex::new(None) }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Appends a line, with the memory of the process in bytes if it is given.
    pub(super) fn record(&self, event: &str, step: u64, seconds: f64, memory: Option<u64>) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
        let mut line = json!({"event": event, "step": step, "seconds": seconds, "unix_time": now});
        if let Some(bytes) = memory {
            line["memory"] = bytes.into();
        }
        // In one write; a formatted one makes one of each word.
        if let Err(error) = self.with(|mut file| file.write_all(format!("{line}\n").as_bytes())) {
            tracing::warn!("{}: cannot write the times: {error}", self.path.display());
        }
    }

    /// Applies `work` to the open file.
    pub(super) fn with<T>(&self, work: impl FnOnce(&File) -> io::Result<T>) -> io::Result<T> {
        let mut open = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let file = match open.take() {
            Some(file) => file,
            None => {
                regular::require_or_none(&self.path)?;
                OpenOptions::new().read(true).append(true).create(true).open(&self.path)?
            }
        };
        work(open.insert(file))
    }
}
