//! Runs in a folder, one line each.

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::Serialize;
use serde_json::Value;

use super::measured::Measured;
use crate::aligned::aligned;
use crate::checkpoint::{CheckpointError, Folder, step_of};
use crate::data::Epochs;
use crate::figures::loss;
use crate::store;
use crate::train::RunDirectory;

/// The runs in a folder, by name.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Runs {
    /// The folder.
    #[serde(serialize_with = "crate::report::path_text::path_text")]
    pub path: PathBuf,
    /// The runs.
    pub runs: Vec<RunSummary>,
}

/// Summary of a run in one line.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RunSummary {
    /// The name of its directory.
    pub name: String,
    /// Its state.
    pub state: RunState,
    /// Number of updates made: by the newest checkpoint, and for a running run by its log.
    pub step: Option<u64>,
    /// Number of updates in the whole run.
    pub total_steps: Option<u64>,
    /// The epoch of the last update, counted from 1.
    pub epoch: Option<u64>,
    /// The metrics in its log.
    #[serde(flatten)]
    pub measured: Measured,
    /// Time of the last write, in seconds since 1970.
    pub written: Option<u64>,
    /// The fault of the run, if there is one.
    pub problem: Option<String>,
}

/// The state of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum RunState {
    /// All its updates are made.
    Finished,
    /// A process holds its lock.
    Running,
    /// It can be resumed.
    Stopped,
    /// Its newest checkpoint is damaged, or cannot be read.
    Damaged,
    /// It has no checkpoint.
    NoCheckpoint,
}

impl fmt::Display for RunState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Finished => "finished",
            Self::Running => "running",
            Self::Stopped => "stopped",
            Self::Damaged => "damaged",
            Self::NoCheckpoint => "no checkpoint",
        })
    }
}

impl Runs {
    /// Returns the runs in the folder at `path`; `None` if the path is itself a run, a checkpoint or a folder of
    /// checkpoints, or is a URL, or holds no run.
    pub fn in_folder(path: &Path) -> Option<Self> {
        let runs = Self::paths_in(path)?.iter().map(|path| RunSummary::of(path)).collect();
        Some(Self { path: path.to_owned(), runs })
    }

    /// Returns the paths of the runs at `paths`, each once: a folder of runs stands for all in it.
    pub(super) fn paths_at(paths: &[PathBuf]) -> Vec<PathBuf> {
        let inside = |path: &PathBuf| Self::paths_in(path).unwrap_or_else(|| vec![path.clone()]);
        let mut all: Vec<PathBuf> = paths.iter().flat_map(inside).collect();
        let mut seen = BTreeSet::new();
        all.retain(|path| seen.insert(path.clone()));
        all
    }

    /// Returns the paths of the runs in a folder, in order; `None` as for [`Runs::in_folder`].
    fn paths_in(path: &Path) -> Option<Vec<PathBuf>> {
        let is_other = store::is_url(path)
            || step_of(path).is_some()
            || ["config.toml", "manifest.json"].iter().any(|name| path.join(name).exists())
            || Folder::new(path).list().map_or(true, |found| !found.is_empty());
        if is_other {
            return None;
        }
        let entries = fs::read_dir(path).ok()?.flatten().map(|entry| entry.path());
        let mut found: Vec<PathBuf> = entries.filter(|path| is_run(path)).collect();
        found.sort();
        (!found.is_empty()).then_some(found)
    }
}

/// Whether a directory contains a run: a configuration alone may be a file of the user.
fn is_run(path: &Path) -> bool {
    path.join("config.toml").is_file() && ["checkpoints", "log.jsonl"].iter().any(|name| path.join(name).exists())
}

impl RunSummary {
    /// Summarizes the run in the directory `run`. Nothing is written there.
    fn of(run: &Path) -> Self {
        let name = run.file_name().unwrap_or(run.as_os_str()).to_string_lossy().into_owned();
        let is_held = RunDirectory::is_held(run);
        // The progress of a running run is in its log; a stopped one continues at its newest checkpoint.
        let measured = |saved| Measured::of_run(run, if is_held { u64::MAX } else { saved });
        let folder = Folder::new(run.join("checkpoints"));
        let mut summary = Self {
            name,
            state: RunState::NoCheckpoint,
            step: None,
            total_steps: None,
            epoch: None,
            measured: Measured::default(),
            written: written(run),
            problem: None,
        };
        match folder.newest_outline() {
            Ok(newest) => {
                let number = |name| newest.checkpoint.field(name).and_then(Value::as_u64);
                let saved = newest.checkpoint.step();
                summary.measured = measured(saved);
                let step = if is_held { saved.max(summary.measured.steps) } else { saved };
                let is_finished = number("total_steps").is_some_and(|total| saved >= total);
                summary.state = if is_finished { RunState::Finished } else { RunState::Stopped };
                summary.step = Some(step);
                summary.total_steps = number("total_steps");
                let epochs = Epochs::of_checkpoint(|name| newest.checkpoint.field(name));
                summary.epoch = epochs.map(|epochs| epochs.begun(step));
                summary.problem = newest.damaged.first().map(ToString::to_string);
            }
            Err(CheckpointError::Empty { .. }) => summary.measured = measured(0),
            Err(error) => summary.problem = Some(error.to_string()),
        }
        if summary.problem.is_some() {
            summary.state = RunState::Damaged;
        }
        if is_held {
            summary.state = RunState::Running;
        }
        summary
    }
}

/// Returns the time when the log, or a checkpoint, was last written.
fn written(run: &Path) -> Option<u64> {
    let folder = run.join("checkpoints");
    let times = [run.join("log.jsonl"), folder].into_iter().filter_map(|path| fs::metadata(path).ok()?.modified().ok());
    Some(times.max()?.duration_since(UNIX_EPOCH).ok()?.as_secs())
}

/// Formats an age for people.
fn ago(then: u64, now: u64) -> String {
    let seconds = now.saturating_sub(then);
    match seconds {
        0..60 => format!("{seconds} s ago"),
        60..3600 => format!("{} min ago", seconds / 60),
        3600..172_800 => format!("{} h ago", seconds / 3600),
        _ => format!("{} days ago", seconds / 86_400),
    }
}

impl fmt::Display for Runs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let header = ["run", "state", "step", "loss", "val_loss", "best val_loss", "written"];
        let rows: Vec<[String; 7]> =
            std::iter::once(header.map(str::to_owned)).chain(self.runs.iter().map(|run| run.row(now))).collect();
        for line in aligned(&rows, |column| (2..6).contains(&column)) {
            writeln!(f, "{line}")?;
        }
        for run in &self.runs {
            if let Some(problem) = &run.problem {
                writeln!(f, "{}: {problem}", run.name)?;
            }
        }
        Ok(())
    }
}

impl RunSummary {
    fn row(&self, now: u64) -> [String; 7] {
        let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
        let step = self.step.map(|step| match self.total_steps {
            Some(total) => format!("{step} of {total}"),
            None => step.to_string(),
        });
        let best =
            self.measured.best_validation.as_ref().map(|best| format!("{} at step {}", loss(best.loss), best.step));
        [
            // A line break in a name would break the table.
            self.name.replace(char::is_control, "?"),
            self.state.to_string(),
            or_dash(step),
            or_dash(self.measured.loss.map(loss)),
            or_dash(self.measured.validation.as_ref().map(|last| loss(last.loss))),
            or_dash(best),
            or_dash(self.written.map(|then| ago(then, now))),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_reported_in_the_unit_that_fits() {
        let told = [3, 59, 60, 3599, 3600, 100_000, 172_800].map(|seconds| ago(1000, 1000 + seconds));
        assert_eq!(told, ["3 s ago", "59 s ago", "1 min ago", "59 min ago", "1 h ago", "27 h ago", "2 days ago"]);
        // A clock that runs behind.
        assert_eq!(ago(1000, 900), "0 s ago");
    }
}
