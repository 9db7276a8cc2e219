//! `log.jsonl`, one line per step.
//!
//! The log of a resumed run is that of an uninterrupted one: it is truncated to the checkpoint first, and contains
//! nothing that depends on the clock.

mod examination;
mod found;
mod lines;
mod parts;
mod place;

use std::fs::{File, OpenOptions};
use std::io::{self, Seek, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use self::examination::Examination;
use self::found::Found;
use self::parts::PART;
use super::held_disk::is_in_place;
use super::mirror::Mirror;
use crate::checkpoint::CheckpointError;
use crate::read_ahead::ReadAhead;
use crate::train::TrainError;
use crate::train::record::StepRecord;
use crate::train::sink::Sink;
use crate::{free_name, regular, remedy, store};

/// The log, open for appending.
#[derive(Debug)]
pub(crate) struct Log {
    path: PathBuf,
    file: File,
    /// Lines not yet written: new ones, and older ones if the disk is full.
    pending: Vec<u8>,
    /// When lines were last written; the first line is written at once.
    flushed: Option<Instant>,
    /// The same log in an object store, if the run is in one.
    mirror: Option<Arc<Mutex<Mirror>>>,
    /// That of the lines of earlier processes, if it has not ended.
    examination: Option<Examination>,
}

/// Maximal time that a line stays in memory. Lines are flushed to disk only before a checkpoint.
const FLUSH_EVERY: Duration = Duration::from_millis(500);

impl Log {
    /// Opens the log at `path` and truncates it to the lines of the updates in `steps`, also in the object store of its
    /// `mirror`. They begin later than at 0 if another trainer made the first updates of the run.
    ///
    /// Of a long log on the local disk only the end is looked at. The rest is examined from the first record on: see
    /// [`Log::attend`].
    pub fn open(path: &Path, steps: Range<u64>, mirror: Option<Arc<Mutex<Mirror>>>) -> Result<Self, TrainError> {
        Self::open_in_parts(path, steps, mirror, PART)
    }

    /// The same, if a log of two parts of this size or more is a long one.
    fn open_in_parts(
        path: &Path,
        steps: Range<u64>,
        mirror: Option<Arc<Mutex<Mirror>>>,
        part: u64,
    ) -> Result<Self, TrainError> {
        let failed = |operation| TrainError::write(path, operation);
        let mut options = OpenOptions::new();
        regular::require_or_none(path).map_err(failed("open the log"))?;
        let file = options.read(true).append(true).create(true).open(path).map_err(failed("open the log"))?;
        let (pending, flushed) = (Vec::new(), None);
        let mut log = Self { path: path.to_owned(), file, pending, flushed, mirror, examination: None };
        if let Some(bytes) = log.end_of_long(steps.end, part).map_err(failed("read the log"))? {
            log.file.set_len(bytes).map_err(failed("cut the log back"))?;
            let examination = Examination::of(&log.file, bytes, steps.end, part);
            log.examination = Some(examination.map_err(failed("read the log"))?);
            return Ok(log);
        }
        let mut found = Found::in_file(&log.file, steps.end).map_err(failed("read the log"))?;
        if found.is_disordered {
            log.put_in_order(&mut found, steps.end)?;
        }
        log.tell_losses(&found, steps)?;
        log.file.set_len(found.bytes).map_err(failed("cut the log back"))?;
        log.settle()?;
        Ok(log)
    }

    /// Returns where the lines before number `steps` end, if the log is a long one on the local disk and its end is in
    /// order. In an object store all of it has just been read anyway.
    fn end_of_long(&self, steps: u64, part: u64) -> io::Result<Option<u64>> {
        if self.mirror.is_some() || self.file.metadata()?.len() < 2 * part {
            return Ok(None);
        }
        place::end_of_lines_before(&self.file, steps)
    }

    /// Sorts lines that were duplicated or swapped, with a warning. The old log is kept.
    fn put_in_order(&self, found: &mut Found, steps: u64) -> Result<(), TrainError> {
        let failed = |operation| TrainError::write(&self.path, operation);
        let shown = self.with_mirror(|mirror| mirror.path()).unwrap_or_else(|| self.path.clone());
        let Some(ordered) = found.put_in_order(&self.file, steps).map_err(failed("read the log"))? else {
            if found.next >= steps {
                tracing::warn!("{} had duplicate lines at its end, which are removed", shown.display());
            }
            return Ok(());
        };
        let kept = self.keep_damaged()?;
        let rewrite = || {
            self.file.set_len(0)?;
            (&self.file).write_all(&ordered)?;
            self.file.sync_data()
        };
        rewrite().map_err(failed("put the log in order"))?;
        tracing::warn!(
            "{} had duplicate or swapped lines; it is sorted, and the old log is kept in {}",
            shown.display(),
            kept.display()
        );
        *found = Found::in_file(&self.file, steps).map_err(failed("read the log"))?;
        Ok(())
    }

    /// Warns about missing lines. Data after the found lines may be the only record of them, so it is kept.
    fn tell_losses(&self, found: &Found, Range { start, end: steps }: Range<u64>) -> Result<(), TrainError> {
        let next = found.next.max(start);
        let shown = self.with_mirror(|mirror| mirror.path()).unwrap_or_else(|| self.path.clone());
        let log = shown.display();
        self.gaps(found).iter().for_each(|gap| tracing::warn!("{gap}"));
        if next >= steps {
            return Ok(());
        }
        let last = steps - 1;
        if found.bytes == 0 && self.length()? == 0 {
            tracing::warn!(
                "{log} begins with step {steps}: the lines of earlier steps are missing and cannot be copied"
            );
            return Ok(());
        }
        if found.bytes < self.length()? {
            let kept = self.keep_damaged()?;
            let kept = kept.display();
            tracing::warn!("{log} is damaged at step {next}; a copy of all of it is kept in {kept}");
        }
        tracing::warn!("{log} has no lines of steps {next} to {last}");
        Ok(())
    }

    /// Returns a message for each range of steps without lines.
    fn gaps(&self, found: &Found) -> Vec<String> {
        let shown = self.with_mirror(|mirror| mirror.path()).unwrap_or_else(|| self.path.clone());
        let told = |(first, last): &(u64, u64)| format!("{} has no lines of steps {first} to {last}", shown.display());
        found.gaps.iter().map(told).collect()
    }

    fn length(&self) -> Result<u64, TrainError> {
        Ok(self.file.metadata().map_err(TrainError::write(&self.path, "read the log"))?.len())
    }

    fn keep_damaged(&self) -> Result<PathBuf, TrainError> {
        const OPERATION: &str = "keep a copy of the damaged log";
        if let Some(kept) = self.with_mirror(|mirror| mirror.keep_damaged()) {
            return kept.map_err(TrainError::write(&self.path, OPERATION));
        }
        let kept = free_name::of(&damaged_copy_of(&self.path));
        std::fs::copy(&self.path, &kept).map_err(TrainError::write(&kept, OPERATION))?;
        Ok(kept)
    }

    /// Applies `work` to the log in the object store, if there is one.
    fn with_mirror<T>(&self, work: impl FnOnce(&mut Mirror) -> T) -> Option<T> {
        self.mirror.as_ref().map(|mirror| work(&mut mirror.lock().unwrap_or_else(PoisonError::into_inner)))
    }

    /// Makes the log in an object store, if there is one, a single object with all lines.
    pub fn conclude(&mut self) -> Result<(), TrainError> {
        self.written()?;
        self.settle()
    }

    fn settle(&self) -> Result<(), TrainError> {
        let settle = |mirror: &mut Mirror| {
            let settled = self.file.metadata().and_then(|metadata| mirror.settle(metadata.len()));
            settled.map_err(TrainError::write(&mirror.path(), "write the log"))
        };
        self.with_mirror(settle).unwrap_or(Ok(()))
    }

    /// Writes pending lines, as far as the disk takes them; a partial line is completed later.
    fn write_out(&mut self) -> io::Result<()> {
        while !self.pending.is_empty() {
            match self.file.write(&self.pending) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => drop(self.pending.drain(..written)),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Writes the log again if it was removed, from the file that is still open, with a message. Another file in its
    /// place is kept under another name.
    pub fn restore(&mut self) -> Option<String> {
        if self.mirror.is_some() || is_in_place(&self.path, &self.file).unwrap_or(true) {
            return None;
        }
        let log = self.path.display();
        let restore = || {
            let kept = self.path.symlink_metadata().is_ok().then(|| free_name::of(&damaged_copy_of(&self.path)));
            if let Some(kept) = &kept {
                std::fs::rename(&self.path, kept)?;
            }
            let mut new = File::options().read(true).append(true).create_new(true).open(&self.path)?;
            (&self.file).rewind()?;
            io::copy(&mut &self.file, &mut new)?;
            Ok::<_, io::Error>((new, kept))
        };
        Some(match restore() {
            Ok((new, kept)) => {
                self.file = new;
                let kept = kept.map(|kept| format!("; the file in its place is kept as {}", kept.display()));
                format!("{log} was removed during the run, and is written again{}", kept.unwrap_or_default())
            }
            Err(error) => format!("{log} was removed during the run, and cannot be written again: {error}"),
        })
    }

    /// Writes all lines so far. A checkpoint must not be newer than its log, so the caller flushes them to the disk
    /// before the checkpoint.
    pub fn written(&mut self) -> Result<Written, TrainError> {
        let written = self.write_out().and_then(|()| Ok((self.file.try_clone()?, self.file.metadata()?.len())));
        let (file, length) = written.map_err(TrainError::write(&self.path, "write the log"))?;
        Ok(Written { path: self.path.clone(), file, length, mirror: self.mirror.clone() })
    }
}

/// Lines of a log that are written, and may not be on the disk yet.
pub(crate) struct Written {
    path: PathBuf,
    file: File,
    length: u64,
    mirror: Option<Arc<Mutex<Mirror>>>,
}

impl Written {
    /// Flushes the lines to the disk, or uploads them to the run's object store.
    pub fn sync(self) -> Result<(), CheckpointError> {
        let Self { path, file, length, mirror } = self;
        let failed = |path, operation| move |error| CheckpointError::Io { operation, path, error };
        match mirror {
            Some(mirror) => {
                let mut mirror = mirror.lock().unwrap_or_else(PoisonError::into_inner);
                mirror.push(length).map_err(failed(mirror.path(), "write"))
            }
            None => file.sync_data().map_err(failed(path, "flush")),
        }
    }
}

impl Sink for Log {
    /// Appends a line. A full disk is not an error yet: only a checkpoint needs the line on disk.
    fn record(&mut self, record: &StepRecord) {
        self.begin_examination();
        // Numbers and lists of them can always be written to memory.
        let _ = serde_json::to_writer(&mut self.pending, record);
        self.pending.push(b'\n');
        if self.flushed.is_none_or(|flushed| flushed.elapsed() >= FLUSH_EVERY) {
            drop(self.write_out());
            self.flushed = Some(Instant::now());
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.write_out()
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        // A caller that needs the lines on disk has called `written` and has seen the error.
        drop(self.write_out());
    }
}

/// Returns the path for a copy of a log that is truncated in its middle.
fn damaged_copy_of(path: &Path) -> PathBuf {
    path.with_extension("jsonl.damaged")
}

/// Opens the log of the run at `run`, a directory or a URL; `None` if there is none.
pub(crate) fn read(run: &Path) -> io::Result<Option<Box<dyn io::Read + Send>>> {
    if let Some(store) = store::at(run)? {
        return Mirror::stream(store, run);
    }
    match regular::open(&run.join("log.jsonl")) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        file => Ok(Some(Box::new(ReadAhead::new(file?)))),
    }
}

fn cut_back(log: &Path, steps: u64) -> io::Result<()> {
    let file = File::options().read(true).write(true).open(log)?;
    let found = Found::in_file(&file, steps)?;
    match found.put_in_order(&file, steps)? {
        Some(ordered) => std::fs::write(log, ordered),
        None => file.set_len(found.bytes),
    }
}

/// Copies the lines of the first `steps` updates from the log of the run at `origin`, for a run that branches off.
pub(crate) fn copy_before(origin: &Path, to: &Path, steps: u64) -> Result<(), TrainError> {
    let failed = |error| TrainError::write(to, "copy the log")(error);
    if let Some(store) = store::at(origin).map_err(failed)? {
        Mirror::fetch(store, origin, to).map_err(failed)?;
        return cut_back(to, steps).map_err(failed);
    }
    let from = origin.join("log.jsonl");
    let source = match regular::open(&from) {
        Err(error) if remedy::is_absence(&error) => return Ok(()),
        opened => opened.map_err(|source| TrainError::Unopened { path: from.clone(), source })?,
    };
    let copy = || {
        let found = Found::in_file(&source, steps)?;
        let (ordered, bytes) = (found.put_in_order(&source, steps)?, found.bytes);
        let mut target = File::create(to)?;
        if let Some(ordered) = ordered {
            target.write_all(&ordered)?;
            return target.sync_all();
        }
        (&source).rewind()?;
        io::copy(&mut io::Read::take(&source, bytes), &mut target)?;
        target.sync_all()
    };
    copy().map_err(failed)
}

#[cfg(test)]
mod tests;
