//! The content of a page about one run.

use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use serde::Serialize;
use serde_json::Value;

use super::curves::Curves;
use super::outcome::{self, Predictions};
use super::rates;
use super::settings::{self, Setting};
use super::thin::Curve;
use super::times::{self, Event};
use super::weights::{self, Weights};
use crate::checkpoint::{CheckpointError, Folder, Outline};
use crate::data::Epochs;
use crate::report::log::LogError;
use crate::report::plot::{Times, names};
use crate::report::{RunState, RunStatus, Runs};
use crate::train::RunDirectory;

/// Buckets of four points for all curves of a page: some 2 MB.
const BUCKETS: usize = 16_384;

/// The curves of a run whose number of points matters: loss, norm of the gradients, rates, and one more.
const CURVES: usize = 4;

/// Options of a page.
#[derive(Clone, Copy, Debug)]
pub struct PageOptions {
    /// Most buckets of a curve, each with up to four points.
    pub buckets: usize,
    /// Whether the tensors of the newest checkpoint are read.
    pub tensors: bool,
    /// Whether rows are predicted with it.
    pub predictions: bool,
}

impl PageOptions {
    /// Returns the options of a page about this number of runs.
    pub fn for_runs(runs: usize) -> Self {
        let share = BUCKETS / (CURVES * runs.max(1));
        // A power of two, because thinning halves the number of buckets.
        let buckets = if share.is_power_of_two() { share } else { share.next_power_of_two() / 2 };
        Self { buckets: buckets.max(256), tensors: true, predictions: true }
    }
}

/// A run on a page.
#[derive(Clone, Debug, Serialize)]
pub struct RunPage {
    /// Its name: that of its directory.
    pub name: String,
    /// Its path, as it was given.
    #[serde(serialize_with = "crate::report::path_text::path_text")]
    pub path: PathBuf,
    /// Its state; `None` if only a log was given.
    pub state: Option<RunState>,
    /// The fault of its newest checkpoint.
    pub problem: Option<String>,
    /// Number of updates in its log.
    pub step: u64,
    /// Number of updates in the whole run.
    pub total_steps: Option<u64>,
    /// Number of updates in an epoch.
    pub steps_per_epoch: Option<u64>,
    /// Numbers of updates, and the epochs that they make; epochs advance evenly between them. There is more than one after
    /// a change of the batch size.
    pub epochs: Vec<(u64, f64)>,
    /// When the log was last written, in seconds since 1970.
    pub written: Option<u64>,
    /// The numbers of its log, its speed and its memory.
    pub curves: Vec<Curve>,
    /// The rates of each group from the newest checkpoint to the end.
    pub ahead: Vec<Curve>,
    /// Numbers of updates, and the time in seconds since the beginning at which they were reached.
    pub times: Vec<(u64, f64)>,
    /// Its events, by their steps.
    pub events: Vec<Event>,
    /// A few words about the model, the data, the optimizer and the machine.
    pub facts: Vec<Setting>,
    /// Its configuration.
    pub config: Vec<Setting>,
    /// The tensors of its newest checkpoint.
    pub weights: Option<Weights>,
    /// Predictions of its newest checkpoint.
    pub predictions: Option<Predictions>,
}

impl RunPage {
    /// Reads the run at `run`: a directory, a URL or a log. Nothing is written there. What is missing is left out.
    ///
    /// # Errors
    /// There is no log, or it cannot be read.
    pub fn read(run: &Path, name: String, options: &PageOptions) -> Result<Self, LogError> {
        Ok(Self::with_curves(run, name, &Curves::of_run(run, options.buckets)?, options))
    }

    /// [`RunPage::read`] for a run whose log is read already.
    pub fn with_curves(run: &Path, name: String, curves: &Curves, options: &PageOptions) -> Self {
        let mut page = Self {
            name,
            path: run.to_owned(),
            state: None,
            problem: None,
            step: curves.steps(),
            total_steps: None,
            steps_per_epoch: curves.steps_per_epoch(),
            epochs: vec![(0, 0.0)],
            written: written(run),
            curves: curves.curves(),
            ahead: Vec::new(),
            times: Vec::new(),
            events: Vec::new(),
            facts: Vec::new(),
            config: Vec::new(),
            weights: None,
            predictions: None,
        };
        if !run.is_file() {
            page.look_around(run, options);
        }
        page
    }

    /// Adds everything but the log.
    fn look_around(&mut self, run: &Path, options: &PageOptions) {
        let folder = Folder::new(run.join("checkpoints"));
        let is_alive = RunDirectory::is_held(run);
        let mut history = Vec::new();
        match folder.newest_outline() {
            Ok(newest) => {
                self.problem = newest.damaged.first().map(ToString::to_string);
                history = newest.checkpoint.field("history").and_then(Value::as_array).cloned().unwrap_or_default();
                self.take_checkpoint(run, &newest.checkpoint, options);
            }
            Err(CheckpointError::Empty { .. }) => self.state = Some(RunState::NoCheckpoint),
            Err(error) => self.problem = Some(error.to_string()),
        }
        if self.problem.is_some() {
            self.state = Some(RunState::Damaged);
        }
        if is_alive {
            self.state = Some(RunState::Running);
        }
        let timed = times::read(run);
        let saved: Vec<u64> = folder.list().unwrap_or_default().into_iter().map(|(step, _)| step).collect();
        self.events = times::events(run, &timed, &saved, &history, is_alive);
        self.curves.extend(times::curves(&timed, options.buckets));
        self.times = times::thinned(Times::of(run).map(|times| times.0).unwrap_or_default());
    }

    fn take_checkpoint(&mut self, run: &Path, checkpoint: &Outline, options: &PageOptions) {
        self.total_steps = checkpoint.field("total_steps").and_then(Value::as_u64);
        if let Some(epochs) = Epochs::of_checkpoint(|name| checkpoint.field(name)) {
            self.steps_per_epoch = Some(epochs.steps_per_epoch());
            self.epochs = epochs.points().iter().map(|point| (point.0, point.1)).collect();
        }
        let is_finished = self.total_steps.is_some_and(|total| checkpoint.step() >= total);
        self.state = Some(if is_finished { RunState::Finished } else { RunState::Stopped });
        let status = RunStatus::of_outline(checkpoint);
        self.config = settings::of_config(&status.config);
        self.facts = facts(&status);
        self.ahead = rates::ahead(checkpoint, self.total_steps, options.buckets);
        self.weights = options.tensors.then(|| weights::of_run(run, checkpoint));
        self.predictions = options.predictions.then(|| outcome::of_run(run));
    }
}

/// Reads runs: directories, URLs or logs; a folder of runs stands for all in it. `options` has the options for this number
/// of runs.
///
/// # Errors
/// One has no log, or it cannot be read.
pub fn read_runs(paths: &[PathBuf], options: impl Fn(usize) -> PageOptions) -> Result<Vec<RunPage>, LogError> {
    let all = Runs::paths_at(paths);
    let options = options(all.len());
    all.iter().zip(names(&all)).map(|(run, name)| RunPage::read(run, name, &options)).collect()
}

/// Returns a few words about a run.
fn facts(status: &RunStatus) -> Vec<Setting> {
    let numbers = status.layers.iter().fold(0, |sum: u64, layer| sum.saturating_add(layer.numbers));
    let word = |value: &Value| value.as_str().map(str::to_owned);
    let by = &status.written_by;
    let facts = [
        ("model", word(&status.config["model"]["kind"])),
        ("parameters", Some(crate::memory::grouped(numbers))),
        ("data", word(&status.config["data"]["path"]).as_deref().map(last_name)),
        ("optimizer", status.optimizer.clone()),
        ("schedule", status.schedule.clone()),
        ("device", word(&status.config["device"])),
        ("precision", word(&status.config["precision"])),
        ("seed", status.seed.map(|seed| seed.to_string())),
        ("rekindle", Some(by.rekindle.clone())),
    ];
    let fact = |(key, value): (&str, Option<String>)| Some(Setting { key: key.to_owned(), value: value? });
    facts.into_iter().filter_map(fact).collect()
}

/// Returns the time when the log was last written.
fn written(run: &Path) -> Option<u64> {
    let log = if run.is_file() { run.to_owned() } else { run.join("log.jsonl") };
    let modified = std::fs::metadata(log).ok()?.modified().ok()?;
    Some(modified.duration_since(UNIX_EPOCH).ok()?.as_secs())
}

/// Returns the last name of a path.
fn last_name(path: &str) -> String {
    Path::new(path).file_name().map_or_else(|| path.to_owned(), |name| name.to_string_lossy().into_owned())
}
