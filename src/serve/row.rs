//! A run as a row of the list: its state, how far it is, its last numbers, its last save.

use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::Serialize;
use serde_json::Value;

use super::log_end::{LogEnd, value};
use super::runs::Run;
use crate::checkpoint::{Folder, Outline};
use crate::train::{Ending, RunDirectory, RunEnd};

/// A row.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Row {
    /// The identifier of the run.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its state.
    pub state: State,
    /// Number of updates made.
    pub step: u64,
    /// Number of updates in the whole run.
    pub total: Option<u64>,
    /// The epoch of the last update, counted from 1.
    pub epoch: Option<u64>,
    /// The loss of the last update.
    pub loss: Option<f64>,
    /// The loss of the last validation.
    pub val_loss: Option<f64>,
    /// Another number of that validation, and its name: the accuracy, if there is one.
    pub metric: Option<(String, f64)>,
    /// The step of the newest checkpoint.
    pub saved_step: Option<u64>,
    /// When it was written, in seconds since 1970.
    pub saved_at: Option<u64>,
    /// When the log or a checkpoint was last written.
    pub written_at: Option<u64>,
    /// Why it failed, or why it is not shown.
    pub problem: Option<String>,
}

/// The state of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// A process trains it.
    Running,
    /// All updates are made.
    Finished,
    /// A signal has stopped it.
    Stopped,
    /// An error has ended it.
    Failed,
    /// Its process has ended without a word, and it can be resumed.
    Killed,
    /// It has made no update.
    #[default]
    New,
}

/// A run that is looked at again and again, with what need not be read again.
#[derive(Debug)]
pub struct Watched {
    run: Run,
    log: LogEnd,
    saved: Option<Saved>,
}

/// The contents of the newest checkpoint.
#[derive(Debug)]
struct Saved {
    path: PathBuf,
    step: u64,
    at: Option<u64>,
    total: Option<u64>,
}

impl Watched {
    /// Begins to look at `run`.
    pub fn new(run: Run) -> Self {
        Self { run, log: LogEnd::default(), saved: None }
    }

    /// Looks at the run.
    pub fn row(&mut self) -> Row {
        let path = &self.run.path;
        let gone = (!path.is_dir()).then(|| "its directory is no longer there".to_owned());
        let log = self.log.refresh(&path.join("log.jsonl"));
        let mut problem = gone.or(log.err().map(|error| format!("log.jsonl: {error}")));
        self.saved = newest(path, self.saved.take());
        let (last, validated) = (&self.log.last, &self.log.validated);
        let whole = |name| value(last, name).filter(|number| *number >= 0.0).map(|number| number as u64);
        let logged = whole("step").map_or(0, |step| step + 1);
        let (saved_step, total) = self.saved.as_ref().map_or((None, None), |saved| (Some(saved.step), saved.total));
        let step = logged.max(saved_step.unwrap_or(0));
        let end = RunEnd::read(path);
        let state = state(RunDirectory::is_held(path), end.as_ref(), step, total);
        problem = problem.or(end.filter(|_| state == State::Failed).and_then(|end| end.error));
        let saved_at = self.saved.as_ref().and_then(|saved| saved.at);
        Row {
            id: self.run.id.clone(),
            name: self.run.name.clone(),
            state,
            step,
            total,
            epoch: whole("epoch"),
            loss: value(last, "loss"),
            val_loss: value(validated, "val_loss"),
            metric: metric(validated),
            saved_step,
            saved_at,
            written_at: saved_at.max(self.log.modified.and_then(seconds)),
            problem,
        }
    }
}

impl Row {
    /// The row of a run that is not looked at, and why.
    pub fn closed(run: &Run, problem: String) -> Self {
        Self { id: run.id.clone(), name: run.name.clone(), problem: Some(problem), ..Self::default() }
    }
}

fn state(is_held: bool, end: Option<&RunEnd>, step: u64, total: Option<u64>) -> State {
    match end.map(|end| end.outcome) {
        _ if is_held => State::Running,
        Some(Ending::Finished) => State::Finished,
        Some(Ending::Stopped) => State::Stopped,
        Some(Ending::Failed) => State::Failed,
        // An earlier version leaves no file about the end.
        None if total.is_some_and(|total| step >= total) => State::Finished,
        None if step > 0 => State::Killed,
        None => State::New,
    }
}

/// Returns what the newest checkpoint says; `before` is read again only if there is a newer one.
fn newest(run: &Path, before: Option<Saved>) -> Option<Saved> {
    let (step, path) = Folder::new(run.join("checkpoints")).list().ok()?.pop()?;
    let at = path.metadata().and_then(|found| found.modified()).ok().and_then(seconds);
    if let Some(before) = before.filter(|before| before.path == path && before.at == at) {
        return Some(before);
    }
    let total = Outline::read(&path).ok().and_then(|outline| outline.field("total_steps").and_then(Value::as_u64));
    Some(Saved { path, step, at, total })
}

/// Returns the number of a validation that says most besides its loss.
fn metric(line: &[(String, f64)]) -> Option<(String, f64)> {
    let named = |wanted: &str| line.iter().find(|(name, _)| name == wanted);
    named("val_accuracy").or_else(|| line.iter().find(|(name, _)| name.starts_with("validation_"))).cloned()
}

fn seconds(time: SystemTime) -> Option<u64> {
    time.duration_since(UNIX_EPOCH).ok().map(|since| since.as_secs())
}
