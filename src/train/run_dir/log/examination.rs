//! The lines of a long log that a resume keeps are examined while the run trains: its first step does not wait for them.
//! A log that is damaged is then treated as one that is found damaged at once.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::Log;
use super::found::Found;
use super::parts::Parts;
use crate::atomic_file::AtomicFile;
use crate::threads::Task;
use crate::train::TrainError;

/// The examination of a log's lines before a place, in the background.
pub(super) struct Examination {
    /// The log, until it begins.
    log: Option<File>,
    task: Option<Task<io::Result<Found>>>,
    stop: Arc<AtomicBool>,
    part: u64,
    /// The size of these lines in bytes.
    pub bytes: u64,
    /// The number of the update after them.
    pub steps: u64,
}

impl Examination {
    /// Creates it for the first `bytes` of a log, which end with the line of update number `steps` - 1.
    pub fn of(log: &File, bytes: u64, steps: u64, part: u64) -> io::Result<Self> {
        let (log, stop) = (Some(log.try_clone()?), Arc::new(AtomicBool::new(false)));
        Ok(Self { log, task: None, stop, part, bytes, steps })
    }

    /// Begins, unless it has begun.
    pub fn begin(&mut self) {
        let Some(log) = self.log.take() else { return };
        let (bytes, steps, stop) = (self.bytes, self.steps, Arc::clone(&self.stop));
        let parts = Parts { bytes: self.part, in_parallel: false };
        self.task = Some(Task::begin_aside("log", move || {
            // A log that was just copied is not on the disk yet, and the first checkpoint would wait for all of it. That
            // flushes it too, and reports an error.
            drop(log.sync_data());
            Found::in_part(&log, bytes, steps, parts, Some(&stop))
        }));
    }

    #[cfg(test)]
    pub fn has_begun(&self) -> bool {
        self.log.is_none()
    }

    /// One that ends without a result once `held` is closed.
    #[cfg(test)]
    pub fn hanging_until(held: std::sync::mpsc::Receiver<()>) -> Self {
        let task = Task::begin("log", move || Err(io::Error::other(format!("{:?}", held.recv()))));
        Self { log: None, task: Some(task), stop: Arc::default(), part: 0, bytes: 0, steps: 0 }
    }

    /// Returns what was found, once; `None` if it takes longer than `patience`, or cannot be read.
    pub fn result(&mut self, patience: Duration) -> Option<Found> {
        self.begin();
        let began = Instant::now();
        while !self.task.as_ref()?.is_finished() {
            if began.elapsed() >= patience {
                return None;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        self.task.take()?.wait()?.ok()
    }
}

impl std::fmt::Debug for Examination {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Examination").field("bytes", &self.bytes).finish_non_exhaustive()
    }
}

impl Drop for Examination {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

impl Log {
    /// Has the earlier lines of a long log examined from now on.
    pub(super) fn begin_examination(&mut self) {
        if let Some(examination) = &mut self.examination {
            examination.begin();
        }
    }

    /// Leaves the examination to the next resume, which begins with it again.
    pub fn leave_examination(&mut self) {
        self.examination = None;
    }

    /// Returns messages about the lines that were examined, once that has ended; it may take as long as `patience` more.
    /// If they are damaged, the log is written again without what is damaged, and a copy of all of it is kept.
    ///
    /// # Errors
    /// The log cannot be written again. It stays as it is; the next resume examines it too.
    pub fn attend(&mut self, patience: Duration) -> Result<Vec<String>, TrainError> {
        let Some(examination) = &mut self.examination else { return Ok(Vec::new()) };
        let Some(found) = examination.result(patience) else { return Ok(Vec::new()) };
        let (bytes, steps) = (examination.bytes, examination.steps);
        self.examination = None;
        if !found.is_disordered && found.bytes == bytes {
            return Ok(self.gaps(&found));
        }
        self.write_out().map_err(TrainError::write(&self.path, "write the log"))?;
        self.mended(&found, bytes, steps)
    }

    /// Writes the log again: of its first `examined` bytes only `found`, in order, and then all lines after them.
    fn mended(&mut self, found: &Found, examined: u64, steps: u64) -> Result<Vec<String>, TrainError> {
        let failed = |operation| TrainError::write(&self.path, operation);
        let ordered = found.put_in_order_within(&self.file, examined, steps).map_err(failed("read the log"))?;
        let kept = self.keep_damaged()?;
        self.file = written_again(&self.path, &self.file, ordered.as_deref(), found.bytes, examined)
            .map_err(failed("write the damaged log again"))?;
        let (log, kept) = (self.path.display(), kept.display());
        let mut messages = Vec::new();
        let good = if ordered.is_some() {
            messages
                .push(format!("{log} had duplicate or swapped lines; it is sorted, and the old log is kept in {kept}"));
            &Found::in_file(&self.file, steps).map_err(failed("read the log"))?
        } else {
            messages.push(format!("{log} is damaged at step {}; a copy of all of it is kept in {kept}", found.next));
            found
        };
        messages.extend(self.gaps(good));
        if good.next < steps {
            messages.push(format!("{log} has no lines of steps {} to {}", good.next, steps - 1));
        }
        Ok(messages)
    }
}

/// Puts a new log in the place of `log`, and opens it: `ordered` or else the first `good` bytes, and then all from the
/// byte `rest` on.
fn written_again(path: &Path, mut log: &File, ordered: Option<&[u8]>, good: u64, rest: u64) -> io::Result<File> {
    let mut new = AtomicFile::create_as(path.with_file_name(".log.jsonl.tmp"), path.to_owned())?;
    match ordered {
        Some(ordered) => new.write_all(ordered)?,
        None => {
            log.rewind()?;
            io::copy(&mut log.take(good), &mut new)?;
        }
    }
    log.seek(SeekFrom::Start(rest))?;
    io::copy(&mut log, &mut new)?;
    new.finish()?;
    File::options().read(true).append(true).open(path)
}
