//! A run as it is on the disk now. Everything is only read.

use std::collections::{BTreeMap, VecDeque};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use serde_json::Value;
use signal_hook::low_level::signal_name;

use super::facts::{Facts, Save, State};
use super::series::Series;
use crate::checkpoint::Folder;
use crate::data::Epochs;
use crate::report::{Change, Follower, LogLine};
use crate::store;
use crate::train::{Ending, RunDirectory, RunEnd};

/// How often everything but the log is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// The time over which the speed is measured: validations and saves are in it.
const WINDOW: Duration = Duration::from_secs(300);

/// Maximal number of names of numbers: those of a hostile log would take all memory.
const NAMES: usize = 200;

/// A run that is watched.
pub struct WatchedRun {
    path: PathBuf,
    follower: Follower,
    /// The numbers of the log, by name.
    pub series: BTreeMap<String, Series>,
    /// The run, as far as it is known.
    pub facts: Facts,
    /// When the log grew, and the number of updates then.
    growth: VecDeque<(Instant, u64)>,
    looked: Option<Instant>,
    /// The newest checkpoint whose fields are read.
    outlined: Option<PathBuf>,
}

impl WatchedRun {
    /// Watches the run in the directory `path`. Nothing is read yet.
    pub fn new(path: &Path) -> Self {
        let name = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        let name = name.file_name().map_or_else(|| path.to_string_lossy(), |name| name.to_string_lossy()).into_owned();
        Self {
            path: path.to_owned(),
            follower: Follower::new(path.join("log.jsonl")),
            series: BTreeMap::new(),
            // A control character would move the cursor.
            facts: Facts { name: name.replace(char::is_control, "?"), ..Facts::default() },
            growth: VecDeque::new(),
            looked: None,
            outlined: None,
        }
    }

    /// Reads what is new. Returns whether the log has more to read.
    pub fn look(&mut self) -> bool {
        let has_more = match self.follower.poll() {
            Ok(changes) => {
                let gone = || format!("{} is no longer there", self.path.display());
                self.facts.trouble = (!self.path.exists()).then(gone);
                let has_changed = !changes.is_empty();
                let before = self.facts.done;
                changes.into_iter().for_each(|change| self.apply(change));
                if self.facts.done > before {
                    self.note_growth();
                }
                has_changed
            }
            Err(error) => {
                let log = self.follower.path().display();
                self.facts.trouble = Some(format!("{log} cannot be read: {error}"));
                false
            }
        };
        self.facts.is_reading = has_more;
        if !has_more && self.looked.is_none_or(|looked| looked.elapsed() >= LOOK_EVERY) {
            self.look_around();
            self.looked = Some(Instant::now());
        }
        has_more
    }

    fn apply(&mut self, change: Change) {
        match change {
            Change::Cut(step) => {
                self.series.values_mut().for_each(|series| series.cut(step));
                self.facts.cut(step);
                self.growth.clear();
            }
            Change::Lines(lines) => lines.iter().for_each(|line| self.take_line(line)),
        }
    }

    /// Adds a line of the log.
    pub fn take_line(&mut self, line: &LogLine) {
        for (name, value) in &line.values {
            if let Some(series) = self.series.get_mut(name) {
                series.push(line.step, *value);
            } else if self.series.len() < NAMES {
                let mut series = Series::default();
                series.push(line.step, *value);
                self.series.insert(name.clone(), series);
            }
        }
        self.facts.take(line);
    }

    fn note_growth(&mut self) {
        // The first lines are those of before this program began.
        if self.looked.is_none() {
            return;
        }
        self.growth.push_back((Instant::now(), self.facts.done));
        while self.growth.len() > 2 && self.growth.front().is_some_and(|(at, _)| at.elapsed() > WINDOW) {
            self.growth.pop_front();
        }
    }

    /// Looks at the checkpoints, the lock and the end of the run.
    fn look_around(&mut self) {
        let folder = Folder::new(self.path.join("checkpoints"));
        let newest = folder.list().ok().and_then(|mut all| all.pop());
        self.facts.save = newest.as_ref().map(|(step, path)| Save { step: *step, path: path.clone(), age: age(path) });
        let newest = newest.map(|(_, path)| path);
        if newest.is_some() && newest != self.outlined {
            self.read_lengths(&folder);
            self.facts.earlier_speed = earlier_speed(&self.path);
            self.outlined = newest;
        }
        let is_growing = self.growth.back().is_some_and(|(at, _)| at.elapsed() < 2 * LOOK_EVERY);
        // A process that begins removes the word about the end of the one before. The lock comes last: to look at a free
        // one it has to be held for a moment.
        self.facts.state = match RunEnd::read(&self.path) {
            Some(end) => State::Ended(said(&end)),
            None if is_growing || RunDirectory::is_held(&self.path) => State::Running(RunDirectory::holder(&self.path)),
            None if self.facts.done == 0 && self.facts.save.is_none() => State::NotBegun,
            None => State::Interrupted,
        };
        self.facts.speed = self.speed().or(self.facts.earlier_speed);
    }

    fn read_lengths(&mut self, folder: &Folder) {
        let Ok(newest) = folder.newest_outline() else { return };
        self.facts.total = newest.checkpoint.field("total_steps").and_then(Value::as_u64);
        self.facts.epochs = Epochs::of_checkpoint(|name| newest.checkpoint.field(name));
        self.facts.saved_done = newest.checkpoint.step();
    }

    /// Returns the steps per second by the growth of the log.
    fn speed(&self) -> Option<f64> {
        let ((began, first), (ended, last)) = (self.growth.front()?, self.growth.back()?);
        let seconds = ended.duration_since(*began).as_secs_f64();
        (last > first && seconds > 1.0).then(|| (last - first) as f64 / seconds)
    }
}

/// Returns the steps per second between the last two saves.
fn earlier_speed(run: &Path) -> Option<f64> {
    let text = store::read_to_string(&run.join("timing.jsonl")).ok()?;
    let events = text.lines().rev().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let mut saves = events
        .filter(|event| event["event"] == "copied")
        .filter_map(|event| Some((event["step"].as_u64()?, event["unix_time"].as_f64()?)));
    let ((last, ended), (first, began)) = (saves.next()?, saves.next()?);
    (last > first && ended > began).then(|| (last - first) as f64 / (ended - began))
}

/// Returns the age of a file in seconds.
fn age(path: &Path) -> Option<u64> {
    let written = fs::metadata(path).and_then(|found| found.modified()).ok()?;
    Some(SystemTime::now().duration_since(written).unwrap_or_default().as_secs())
}

fn said(end: &RunEnd) -> String {
    let text = match (end.outcome, &end.error) {
        (Ending::Finished, _) => end.reason.clone().unwrap_or_else(|| "finished".to_owned()),
        (Ending::Stopped, _) if end.signal.is_none() => {
            format!("stopped: {}", end.reason.as_deref().unwrap_or("the reason is not known"))
        }
        (Ending::Stopped, _) => {
            let signal = end.signal.and_then(|signal| i32::try_from(signal).ok()).unwrap_or_default();
            format!("stopped by {}", signal_name(signal).map_or_else(|| format!("signal {signal}"), str::to_owned))
        }
        (Ending::Failed, Some(error)) => format!("failed: {error}"),
        (Ending::Failed, None) => "failed".to_owned(),
    };
    text.replace(char::is_control, " ")
}

#[cfg(test)]
mod tests {
    use std::fs::OpenOptions;
    use std::io::Write;

    use super::*;

    fn line(step: u64, more: &str) -> String {
        format!("{{\"step\":{step},\"epoch\":1,\"lr\":[0.1,0.2],\"loss\":{step}.5{more}}}\n")
    }

    #[test]
    fn a_run_is_followed_from_before_its_beginning_to_its_end() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log.jsonl");
        let append = |text: &str| {
            OpenOptions::new().append(true).create(true).open(&log).unwrap().write_all(text.as_bytes()).unwrap();
        };
        let mut run = WatchedRun::new(folder.path());
        let look = |run: &mut WatchedRun| {
            while run.look() {}
            run.look_around();
        };
        look(&mut run);
        assert_eq!(run.facts.state, State::NotBegun);
        append(&(line(0, "") + &line(1, ",\"val_loss\":3.0,\"val_accuracy\":0.5") + "{\"step\":2,\"lo"));
        look(&mut run);
        assert_eq!((run.facts.done, run.facts.loss, run.facts.rates.clone()), (2, Some(1.5), vec![0.1, 0.2]));
        assert_eq!(run.facts.best, Some((2, 3.0)));
        assert_eq!(
            run.series.keys().map(String::as_str).collect::<Vec<_>>(),
            ["loss", "lr.0", "lr.1", "val_accuracy", "val_loss"]
        );
        // Somebody has just written.
        assert_eq!(run.facts.state, State::Running(None));
        run.growth.clear();
        look(&mut run);
        // A killed run leaves no word about its end.
        assert_eq!(run.facts.state, State::Interrupted);
        OpenOptions::new().write(true).open(&log).unwrap().set_len(line(0, "").len() as u64).unwrap();
        look(&mut run);
        assert_eq!((run.facts.done, run.facts.best), (1, None));
        let end = r#"{"outcome":"failed","step":1,"error":"a\u001b[2J","exit_code":1,"unix_time":0.0}"#;
        fs::write(folder.path().join("outcome.json"), end).unwrap();
        look(&mut run);
        assert_eq!(run.facts.state, State::Ended("failed: a [2J".to_owned()));
    }

    #[test]
    fn a_run_that_is_deleted_is_said_and_can_come_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run");
        fs::create_dir(&path).unwrap();
        fs::write(path.join("log.jsonl"), line(0, "")).unwrap();
        let mut run = WatchedRun::new(&path);
        while run.look() {}
        assert_eq!((run.facts.done, &run.facts.trouble), (1, &None));
        fs::remove_dir_all(&path).unwrap();
        while run.look() {}
        assert!(run.facts.trouble.as_ref().unwrap().ends_with("run is no longer there"));
        assert_eq!(run.facts.done, 0);
        run.look_around();
        assert_eq!(run.facts.state, State::NotBegun);
        fs::create_dir(&path).unwrap();
        while run.look() {}
        assert_eq!(run.facts.trouble, None);
    }

    #[test]
    fn a_log_that_cannot_be_read_is_said_and_does_not_end_the_program() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("log.jsonl")).unwrap();
        let mut run = WatchedRun::new(folder.path());
        assert!(!run.look());
        assert!(run.facts.trouble.unwrap().contains("log.jsonl cannot be read"));
    }
}
