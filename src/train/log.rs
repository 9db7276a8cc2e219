//! `log.jsonl`, one line for each step.
//!
//! The log of a resumed run is that of an uninterrupted one: it is cut back to the checkpoint first, and holds
//! nothing that depends on the clock.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::held_disk::is_in_place;
use super::metrics::Evaluation;
use super::mirror::Mirror;
use super::{TrainError, log_order};
use crate::checkpoint::CheckpointError;
use crate::optim::Rates;
use crate::{regular, remedy, store};

/// One line of `log.jsonl`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Line {
    /// Number of the update, from 0.
    pub step: u64,
    /// Number of the epoch it belongs to, from 1.
    pub epoch: u64,
    /// The rate it used, of each group.
    pub lr: Vec<f64>,
    /// The momentum it used, of each group, where a schedule drives it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub momentum: Option<Vec<f64>>,
    /// The weight decay it used, of each group, where a schedule drives it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight_decay: Option<Vec<f64>>,
    /// The loss of its batch, before the update.
    pub loss: f64,
    /// The global norm of its gradients, before clipping.
    pub grad_norm: f64,
    /// What a validation after it found.
    #[serde(flatten)]
    pub validation: Option<Evaluation>,
}

impl Line {
    /// The rates that the update used in each group.
    pub fn rates(&self) -> Vec<Rates> {
        let at =
            |values: &Option<Vec<f64>>, group: usize| values.as_ref().and_then(|values| values.get(group).copied());
        let group = |(group, &lr)| Rates {
            lr,
            momentum: at(&self.momentum, group),
            weight_decay: at(&self.weight_decay, group),
        };
        self.lr.iter().enumerate().map(group).collect()
    }
}

/// The log, open for appending.
#[derive(Debug)]
pub(super) struct Log {
    path: PathBuf,
    file: File,
    /// What is not yet written: new lines, and older ones while the disk takes no more.
    pending: Vec<u8>,
    flushed: Instant,
    /// The same log in an object store, where the run is in one.
    mirror: Option<Arc<Mutex<Mirror>>>,
}

/// How long a line waits in memory where the disk takes it. Only what a checkpoint needs is flushed to disk.
const FLUSH_EVERY: Duration = Duration::from_millis(500);

impl Log {
    /// Opens the log at `path` and cuts it back to the lines of the first `steps` updates, also in the object store of
    /// its `mirror`.
    pub fn open(path: &Path, steps: u64, mirror: Option<Arc<Mutex<Mirror>>>) -> Result<Self, TrainError> {
        let failed = |operation| TrainError::write(path, operation);
        let mut options = OpenOptions::new();
        regular::require_or_none(path).map_err(failed("open the log"))?;
        let file = options.read(true).append(true).create(true).open(path).map_err(failed("open the log"))?;
        let mut found = Found::in_file(&file, steps).map_err(failed("read the log"))?;
        let log = Self { path: path.to_owned(), file, pending: Vec::new(), flushed: Instant::now(), mirror };
        if found.is_disordered {
            log.put_in_order(&mut found, steps)?;
        }
        log.tell_losses(&found, steps)?;
        log.file.set_len(found.bytes).map_err(failed("cut the log back"))?;
        log.settle()?;
        Ok(log)
    }

    /// Puts lines in order that were doubled or swapped, and says so. The log as it was is kept.
    fn put_in_order(&self, found: &mut Found, steps: u64) -> Result<(), TrainError> {
        let failed = |operation| TrainError::write(&self.path, operation);
        let shown = self.with_mirror(|mirror| mirror.path()).unwrap_or_else(|| self.path.clone());
        let Some(ordered) = found.put_in_order(&self.file, steps).map_err(failed("read the log"))? else {
            if found.next >= steps {
                tracing::warn!("{} had lines twice at its end, which are cut off", shown.display());
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
            "{} had lines twice or out of order; it is put in order, and as it was it is kept in {}",
            shown.display(),
            kept.display()
        );
        *found = Found::in_file(&self.file, steps).map_err(failed("read the log"))?;
        Ok(())
    }

    /// Says what is missing. What stands behind the lines that were found may be all there is of it, so it is kept.
    ///
    /// A gap further up was told when it came about: what counts is whether the lines go up to the checkpoint.
    fn tell_losses(&self, found: &Found, steps: u64) -> Result<(), TrainError> {
        let &Found { next, .. } = found;
        if next >= steps {
            return Ok(());
        }
        let shown = self.with_mirror(|mirror| mirror.path()).unwrap_or_else(|| self.path.clone());
        let (log, last) = (shown.display(), steps - 1);
        let length = self.file.metadata().map_err(TrainError::write(&self.path, "read the log"))?.len();
        if found.bytes < length {
            let kept = self.keep_damaged()?;
            let kept = kept.display();
            tracing::warn!("{log} is damaged where step {next} should be; all of it is kept in {kept}");
        }
        tracing::warn!("{log} has no lines of steps {next} to {last}");
        Ok(())
    }

    fn keep_damaged(&self) -> Result<PathBuf, TrainError> {
        const OPERATION: &str = "keep a copy of the damaged log";
        if let Some(kept) = self.with_mirror(|mirror| mirror.keep_damaged()) {
            return kept.map_err(TrainError::write(&self.path, OPERATION));
        }
        let kept = free_name(damaged_copy_of(&self.path));
        std::fs::copy(&self.path, &kept).map_err(TrainError::write(&kept, OPERATION))?;
        Ok(kept)
    }

    /// What `work` makes of the log in the object store, where there is one.
    fn with_mirror<T>(&self, work: impl FnOnce(&mut Mirror) -> T) -> Option<T> {
        self.mirror.as_ref().map(|mirror| work(&mut mirror.lock().unwrap_or_else(PoisonError::into_inner)))
    }

    /// Makes the log in an object store, where there is one, a single object that holds all lines.
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

    /// Appends a line. A disk that does not take it now is no error yet: only a checkpoint needs it there.
    pub fn write(&mut self, line: &Line) {
        // A line holds nothing that cannot be written as JSON.
        self.pending.extend(serde_json::to_vec(line).unwrap_or_default());
        self.pending.push(b'\n');
        if self.flushed.elapsed() >= FLUSH_EVERY {
            drop(self.flush());
            self.flushed = Instant::now();
        }
    }

    /// Writes what is pending, as far as the disk takes it; a line may be cut then, and is completed later.
    fn flush(&mut self) -> io::Result<()> {
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

    /// Writes the log again where somebody has removed it, from the file that is still open, and says so. Where another
    /// file is in its place, that is kept under another name.
    pub fn restore(&mut self) -> Option<String> {
        if self.mirror.is_some() || is_in_place(&self.path, &self.file).unwrap_or(true) {
            return None;
        }
        let log = self.path.display();
        let restore = || {
            let kept = self.path.symlink_metadata().is_ok().then(|| free_name(damaged_copy_of(&self.path)));
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
                let kept = kept.map(|kept| format!("; what was in its place is kept as {}", kept.display()));
                format!("{log} was removed while the run was trained, and is written again{}", kept.unwrap_or_default())
            }
            Err(error) => format!("{log} was removed while the run was trained, and cannot be written again: {error}"),
        })
    }

    /// Writes all lines so far. A checkpoint must not be newer than its log, so they are to be brought to the disk
    /// before it is there.
    pub fn written(&mut self) -> Result<Written, TrainError> {
        let written = self.flush().and_then(|()| Ok((self.file.try_clone()?, self.file.metadata()?.len())));
        let (file, length) = written.map_err(TrainError::write(&self.path, "write the log"))?;
        Ok(Written { path: self.path.clone(), file, length, mirror: self.mirror.clone() })
    }
}

/// Lines of a log that are written, and may not be on the disk yet.
pub(super) struct Written {
    path: PathBuf,
    file: File,
    length: u64,
    mirror: Option<Arc<Mutex<Mirror>>>,
}

impl Written {
    /// Brings the lines to the disk, or to the object store in which the run is.
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

impl Drop for Log {
    fn drop(&mut self) {
        // Whoever needed the lines on disk has called `written` and knows.
        drop(self.flush());
    }
}

/// Where a log goes whole that is cut back in its middle.
fn damaged_copy_of(path: &Path) -> PathBuf {
    path.with_extension("jsonl.damaged")
}

/// `path`, or where that is taken, it with a number: an earlier copy may hold what no later one does.
fn free_name(path: PathBuf) -> PathBuf {
    let numbered = (2..).map(|number: u32| path.with_extension(format!("damaged-{number}")));
    std::iter::once(path.clone()).chain(numbered).find(|path| !path.exists()).unwrap_or(path)
}

/// The lines of a log before a step.
#[derive(Debug, PartialEq)]
struct Found {
    /// Their bytes.
    bytes: u64,
    /// The step after the last of them.
    next: u64,
    /// Whether the line behind them is of another step than should follow.
    is_disordered: bool,
}

impl Found {
    /// The lines of updates before number `steps`. A line that is torn, none of ours, of a later update, or of one that
    /// was there already ends them.
    fn in_file(mut file: &File, steps: u64) -> io::Result<Self> {
        file.rewind()?;
        let (mut reader, mut line) = (BufReader::new(file), Vec::new());
        let mut found = Self { bytes: 0, next: 0, is_disordered: false };
        loop {
            line.clear();
            let bytes = reader.read_until(b'\n', &mut line)?;
            if bytes == 0 {
                return Ok(found);
            }
            match log_order::step_of(&line) {
                Some(step) if (found.next..steps).contains(&step) => {
                    found = Self { bytes: found.bytes + bytes as u64, next: step + 1, ..found };
                }
                Some(step) => {
                    return Ok(Self { is_disordered: step < found.next || found.next < steps, ..found });
                }
                None => return Ok(found),
            }
        }
    }
}

impl Found {
    /// The lines before number `steps` in their order, where some more are in the log, out of place.
    fn put_in_order(&self, mut file: &File, steps: u64) -> io::Result<Option<Vec<u8>>> {
        if !self.is_disordered {
            return Ok(None);
        }
        let mut content = Vec::new();
        file.rewind()?;
        file.read_to_end(&mut content)?;
        Ok(Some(log_order::in_order(&content, steps)).filter(|ordered| ordered.len() as u64 > self.bytes))
    }
}

/// The log of the run at `run`, a directory or a URL; `None` where there is none.
pub(crate) fn read(run: &Path) -> io::Result<Option<Box<dyn io::Read>>> {
    if let Some(store) = store::at(run)? {
        return Mirror::stream(store, run);
    }
    match regular::open(&run.join("log.jsonl")) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        file => Ok(Some(Box::new(file?))),
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
pub(super) fn copy_before(origin: &Path, to: &Path, steps: u64) -> Result<(), TrainError> {
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
mod tests {
    use super::*;

    fn record(step: u64) -> Line {
        let (momentum, weight_decay, validation) = (None, None, None);
        Line { step, epoch: 1, lr: vec![0.1], momentum, weight_decay, loss: 0.25, grad_norm: 1.5, validation }
    }

    fn line(step: u64) -> String {
        serde_json::to_string(&record(step)).unwrap() + "\n"
    }

    fn cut(content: &str, steps: u64) -> String {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log.jsonl");
        std::fs::write(&path, content).unwrap();
        drop(Log::open(&path, steps, None).unwrap());
        std::fs::read_to_string(&path).unwrap()
    }

    #[test]
    fn a_line_says_what_an_update_did() {
        assert_eq!(line(3), "{\"step\":3,\"epoch\":1,\"lr\":[0.1],\"loss\":0.25,\"grad_norm\":1.5}\n");
    }

    /// Steps that a resumed run repeats must not stand in its log twice.
    #[test]
    fn the_log_is_cut_back_to_the_checkpoint() {
        let all: String = (0..5).map(line).collect();
        assert_eq!(cut(&all, 3), (0..3).map(line).collect::<String>());
        assert_eq!(cut(&all, 9), all);
        assert_eq!(cut(&all, 0), "");
    }

    #[test]
    fn a_torn_line_is_cut_off() {
        let (two, third) = ((0..2).map(line).collect::<String>(), line(2));
        for end in 1..third.len() {
            assert_eq!(cut(&format!("{two}{}", &third[..end]), 3), two);
        }
        assert_eq!(cut(&format!("{two}\u{fffd}garbage\n"), 3), two);
    }

    /// A damaged line in the middle must not take the steps behind it away.
    #[test]
    fn a_damaged_log_is_kept_before_it_is_cut() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log.jsonl");
        let damaged = (0..5).map(line).collect::<String>().replacen("step", "stop", 1);
        std::fs::write(&path, &damaged).unwrap();
        drop(Log::open(&path, 5, None).unwrap());
        let kept = folder.path().join("log.jsonl.damaged");
        assert_eq!(std::fs::read_to_string(&kept).unwrap(), damaged);
        // Nor must a second one take the place of the first.
        std::fs::write(&path, damaged.replace("0.25", "0.75")).unwrap();
        drop(Log::open(&path, 5, None).unwrap());
        assert_eq!(std::fs::read_to_string(&kept).unwrap(), damaged);
        assert!(folder.path().join("log.jsonl.damaged-2").exists());
    }

    /// A run that went on behind a gap has fewer lines than steps ever after, and that is no new damage.
    #[test]
    fn an_earlier_cut_is_not_taken_for_a_new_damage() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log.jsonl");
        let damaged = (0..5).map(line).collect::<String>().replacen("\"step\":3", "\"stop\":3", 1);
        std::fs::write(&path, &damaged).unwrap();
        drop(Log::open(&path, 5, None).unwrap());
        // It trains on from step 5, and is killed after the checkpoint at step 7, in the next line or a later one.
        let (third, torn) = ((0..3).map(line).collect::<String>(), &line(9)[..10]);
        for last in [9, 7] {
            std::fs::write(&path, format!("{third}{}{torn}", (5..last).map(line).collect::<String>())).unwrap();
            drop(Log::open(&path, 7, None).unwrap());
            assert_eq!(std::fs::read_to_string(&path).unwrap(), third.clone() + &line(5) + &line(6));
        }
        let names: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names.len(), 2, "{names:?}");
        // A new damage is one.
        std::fs::write(&path, third + &line(5) + "{}\n").unwrap();
        drop(Log::open(&path, 7, None).unwrap());
        assert!(folder.path().join("log.jsonl.damaged-2").exists());
    }

    #[test]
    fn doubled_and_swapped_lines_are_put_in_order_and_the_log_as_it_was_is_kept() {
        for order in [&[0, 1, 1, 2, 3, 4][..], &[0, 2, 1, 3, 4], &[0, 1, 2, 4, 3], &[0, 1, 0, 1, 2, 3, 4]] {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("log.jsonl");
            let disordered: String = order.iter().map(|&step| line(step)).collect();
            std::fs::write(&path, &disordered).unwrap();
            drop(Log::open(&path, 5, None).unwrap());
            assert_eq!(std::fs::read_to_string(&path).unwrap(), (0..5).map(line).collect::<String>());
            assert_eq!(std::fs::read_to_string(folder.path().join("log.jsonl.damaged")).unwrap(), disordered);
        }
        assert_eq!(cut(&[0, 1, 2, 3, 4, 4].map(line).concat(), 5), (0..5).map(line).collect::<String>());
    }

    #[test]
    fn a_log_that_is_removed_meanwhile_is_written_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log.jsonl");
        let mut log = Log::open(&path, 0, None).unwrap();
        log.write(&record(0));
        log.written().unwrap().sync().unwrap();
        assert_eq!(log.restore(), None);
        std::fs::remove_file(&path).unwrap();
        log.write(&record(1));
        assert!(log.restore().unwrap().contains("log.jsonl was removed while the run was trained"));
        log.write(&record(2));
        log.written().unwrap().sync().unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), (0..3).map(line).collect::<String>());
        // What an editor has put in its place is kept.
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&path, "an editor's").unwrap();
        log.restore().unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), (0..3).map(line).collect::<String>());
        assert_eq!(std::fs::read_to_string(folder.path().join("log.jsonl.damaged")).unwrap(), "an editor's");
    }

    #[test]
    fn appending_goes_on_where_the_log_was_cut() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log.jsonl");
        std::fs::write(&path, (0..5).map(line).collect::<String>()).unwrap();
        let mut log = Log::open(&path, 2, None).unwrap();
        log.write(&record(2));
        log.written().unwrap().sync().unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), (0..3).map(line).collect::<String>());
    }
}
