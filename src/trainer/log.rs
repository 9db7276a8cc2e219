//! `log.jsonl` of a [`Trainer`](super::Trainer), one line for each step.
//!
//! The log of a resumed run is that of an uninterrupted one: it is cut back to the checkpoint first, and has nothing
//! that depends on the clock.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::error::TrainerError;
use super::hooks::StepEnd;
use crate::{free_name, regular};

/// The log, open for appending.
pub(super) struct Log {
    path: PathBuf,
    file: File,
}

impl Log {
    /// Opens the log at `path`, cut back to the lines of the updates before number `steps`.
    ///
    /// # Errors
    /// It cannot be read or written.
    pub fn open(path: PathBuf, steps: u64) -> Result<Self, TrainerError> {
        let failed = |operation| TrainerError::io(operation, &path);
        regular::require_or_none(&path).map_err(failed("open"))?;
        let file = OpenOptions::new().read(true).append(true).create(true).open(&path).map_err(failed("open"))?;
        let found = Found::in_file(&file, steps).map_err(failed("read"))?;
        if found.is_damaged {
            let kept = keep(&path).map_err(failed("keep a copy of"))?;
            let (path, kept) = (path.display(), kept.display());
            tracing::warn!("{path} is damaged after step {}; a copy of all of it is kept in {kept}", found.next);
        }
        if found.next < steps {
            tracing::warn!("{} has no lines of steps {} to {}", path.display(), found.next, steps - 1);
        }
        file.set_len(found.bytes).map_err(failed("cut back"))?;
        Ok(Self { path, file })
    }

    /// Adds a line.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn write(&mut self, end: &StepEnd) -> Result<(), TrainerError> {
        let written = serde_json::to_vec(end).map_err(io::Error::from).and_then(|mut line| {
            line.push(b'\n');
            self.file.write_all(&line)
        });
        written.map_err(TrainerError::io("write to", &self.path))
    }

    /// Returns the file and its path, for a thread that flushes it to the disk.
    ///
    /// # Errors
    /// The process has too many open files.
    pub fn handle(&self) -> Result<(File, PathBuf), TrainerError> {
        let file = self.file.try_clone().map_err(TrainerError::io("open again", &self.path))?;
        Ok((file, self.path.clone()))
    }
}

/// The lines at the start of a log that are in order.
#[derive(Debug, Default, PartialEq, Eq)]
struct Found {
    /// Their length.
    bytes: u64,
    /// The step after the last of them.
    next: u64,
    /// Whether a whole line follows that is no line of a log.
    is_damaged: bool,
}

/// The part of a line that says where it belongs.
#[derive(Deserialize)]
struct Numbered {
    step: u64,
}

impl Found {
    fn in_file(file: &File, steps: u64) -> io::Result<Self> {
        /// Longer than any line of a log.
        const LIMIT: u64 = 1 << 20;
        let (mut found, mut reader, mut line) = (Self::default(), BufReader::new(file), Vec::new());
        loop {
            line.clear();
            let length = reader.by_ref().take(LIMIT).read_until(b'\n', &mut line)?;
            // The last line of a killed process may be torn.
            if !line.ends_with(b"\n") && length as u64 != LIMIT {
                return Ok(found);
            }
            match serde_json::from_slice::<Numbered>(&line) {
                Ok(Numbered { step }) if step >= steps => return Ok(found),
                Ok(Numbered { step }) if step >= found.next => found.next = step + 1,
                _ => return Ok(Self { is_damaged: true, ..found }),
            }
            found.bytes += length as u64;
        }
    }
}

/// Copies a damaged log, which may be the only record of its steps.
fn keep(path: &Path) -> io::Result<PathBuf> {
    let kept = free_name::of(&path.with_extension("damaged.jsonl"));
    fs::copy(path, &kept).map(|_| kept)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str, steps: u64) -> Found {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log.jsonl");
        fs::write(&path, text).unwrap();
        Found::in_file(&File::open(path).unwrap(), steps).unwrap()
    }

    #[test]
    fn a_log_is_cut_back_to_its_checkpoint_and_loses_its_torn_line() {
        let text = "{\"step\":0}\n{\"step\":1}\n{\"step\":2}\n{\"st";
        for (steps, next, bytes) in [(0, 0, 0), (2, 2, 22), (3, 3, 33), (9, 3, 33)] {
            assert_eq!(found(text, steps), Found { bytes, next, is_damaged: false }, "{steps}");
        }
    }

    #[test]
    fn a_damaged_log_is_kept_beside_the_lines_before_the_damage() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log.jsonl");
        let text = "{\"step\":0}\nnothing\n{\"step\":2}\n";
        fs::write(&path, text).unwrap();
        Log::open(path.clone(), 3).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "{\"step\":0}\n");
        assert_eq!(fs::read_to_string(folder.path().join("log.damaged.jsonl")).unwrap(), text);
        assert!(found("{\"step\":1}\n{\"step\":1}\n", 9).is_damaged, "a step twice");
        assert!(found(&"x".repeat(1 << 21), 9).is_damaged, "no line at all");
    }
}
