//! `inspect verify`: verifies every byte of one checkpoint, or of all in a run.

use std::fs;
use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use clap::Args;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use rekindle::checkpoint::{CheckpointError, Manifest, foreign_files, step_of, verify_all};
use rekindle::figures::counted;
use rekindle::memory::Size;
use rekindle::train::{LogOrder, resume};
use serde::Serialize;

use crate::{Answer, peer, print};

/// Arguments of `inspect verify`.
#[derive(Args)]
pub struct Verify {
    /// A run directory, a folder of checkpoints, one checkpoint, or another trainer's file or folder
    path: PathBuf,
    /// Print JSON, for programs
    #[arg(long)]
    json: bool,
}

/// The result of verifying a checkpoint, for programs.
#[derive(Serialize)]
struct Found {
    path: PathBuf,
    state: State,
    files: Option<usize>,
    bytes: Option<u64>,
    error: Option<String>,
    /// Files in its directory that do not belong to it.
    foreign: Vec<PathBuf>,
}

#[derive(Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum State {
    Valid,
    Bad,
    /// It could not be read, so its state is unknown.
    Unread,
}

/// Result of verifying all checkpoints, for programs.
#[derive(Serialize)]
struct Summary {
    checkpoints: Vec<Found>,
    valid: usize,
    bad: usize,
    unread: usize,
    bytes: u64,
    seconds: f64,
    /// The fault in the log.
    log_fault: Option<String>,
    /// Ranges of steps without a line in the log. They are not a fault of a run that began elsewhere.
    log_gaps: Vec<String>,
}

/// Verifies all checkpoints, several at a time, and prints a line for each, oldest first; for several, a summary
/// follows.
pub fn verify(arguments: &Verify) -> Result<Answer> {
    if let Some(answer) = peer::verify(&arguments.path, arguments.json)? {
        return Ok(answer);
    }
    let (paths, began) = (resume::all_at(&arguments.path)?, Instant::now());
    let bar = bar(paths.iter().map(|path| size(path)).sum());
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let (mut checkpoints, mut printed) = (Vec::new(), Ok(()));
    verify_all(&paths, threads, |path, found| {
        let found = Found::new(path, found);
        if printed.is_ok() && !arguments.json {
            printed = bar.suspend(|| print(found.lines().as_bytes()));
        }
        checkpoints.push(found);
        bar.inc(size(path));
    });
    bar.finish_and_clear();
    printed?;
    // The newest checkpoint may be from before the validation of its last step, which then has no line.
    let steps = paths.last().and_then(|path| step_of(path)).unwrap_or_default().saturating_sub(1);
    let log = resume::log_order_at(&arguments.path, steps)?;
    let summary = Summary::of(checkpoints, began.elapsed(), log);
    print(summary.text(arguments.json)?.as_bytes())?;
    let is_good = summary.bad == 0 && summary.log_fault.is_none();
    if is_good && summary.unread > 0 {
        let (unread, all) = (summary.unread, paths.len());
        bail!("{unread} of {all} checkpoints could not be read, so their state is unknown");
    }
    Ok(Answer { text: String::new(), is_good })
}

impl Found {
    fn new(path: &Path, found: Result<Manifest, CheckpointError>) -> Self {
        let (path, foreign) = (path.to_owned(), Vec::new());
        match found {
            Ok(manifest) => {
                let foreign = foreign_files(&path, &manifest).unwrap_or_default();
                let bytes = manifest.files.iter().map(|file| file.bytes).sum();
                let files = Some(manifest.files.len());
                Self { path, state: State::Valid, files, bytes: Some(bytes), error: None, foreign }
            }
            Err(error) => {
                let state = if error.is_damage() { State::Bad } else { State::Unread };
                Self { path, state, files: None, bytes: None, error: Some(error.to_string()), foreign }
            }
        }
    }

    fn lines(&self) -> String {
        let (path, error) = (self.path.display(), self.error.as_deref().unwrap_or_default());
        let line = match self.state {
            State::Valid => {
                let (files, bytes) = (self.files.unwrap_or(0), self.bytes.unwrap_or(0));
                format!("{path}: ok, {}, {bytes} bytes\n", counted(files, "file"))
            }
            State::Bad => format!("{path}: BAD: {error}\n"),
            State::Unread => format!("{path}: NOT READ: {error}\n"),
        };
        let beside = self.foreign.iter().map(|path| format!("warning: {}\n", resume::not_a_part(path)));
        std::iter::once(line).chain(beside).collect()
    }
}

impl Summary {
    fn of(checkpoints: Vec<Found>, time: Duration, log: Option<(PathBuf, LogOrder)>) -> Self {
        let count = |state| checkpoints.iter().filter(|found| found.state == state).count();
        let (valid, bad, unread) = (count(State::Valid), count(State::Bad), count(State::Unread));
        let bytes = checkpoints.iter().filter_map(|found| found.bytes).sum();
        let (path, LogOrder { fault, gaps }) = log.unwrap_or_default();
        let path = path.display();
        let log_fault = fault.map(|fault| format!("{path}: BAD: {fault}; a resume repairs it if possible"));
        let gap = |(first, last)| format!("{path} has no lines of steps {first} to {last}");
        let log_gaps = gaps.into_iter().map(gap).collect();
        Self { valid, bad, unread, bytes, seconds: time.as_secs_f64(), checkpoints, log_fault, log_gaps }
    }

    /// Returns the last line.
    fn text(&self, json: bool) -> Result<String> {
        if json {
            return Ok(serde_json::to_string_pretty(self)? + "\n");
        }
        let gaps = self.log_gaps.iter().map(|gap| format!("warning: {gap}\n"));
        let log: String = self.log_fault.iter().map(|fault| format!("{fault}\n")).chain(gaps).collect();
        let count = self.checkpoints.len();
        if count == 1 {
            return Ok(log);
        }
        let verdict = match (self.bad, self.unread) {
            (0, 0) => "all valid".to_owned(),
            (bad, 0) => format!("{bad} BAD"),
            (0, unread) => format!("{unread} NOT READ"),
            (bad, unread) => format!("{bad} BAD, {unread} NOT READ"),
        };
        Ok(format!("{log}{count} checkpoints, {verdict}, {} in {:.1} s\n", Size(self.bytes), self.seconds))
    }
}

/// Returns the bytes of the files in a directory; files that cannot be read are reported by the verification.
fn size(checkpoint: &Path) -> u64 {
    let entries = fs::read_dir(checkpoint).into_iter().flatten().flatten();
    entries.filter_map(|entry| Some(entry.metadata().ok()?.len())).sum()
}

/// Creates a progress bar over a number of bytes, if stderr is a terminal.
fn bar(bytes: u64) -> ProgressBar {
    if !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let template = "verifying {bar:24} {bytes}/{total_bytes} | {bytes_per_sec} | {eta_precise} left";
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    let bar = ProgressBar::with_draw_target(Some(bytes), ProgressDrawTarget::stderr_with_hz(10)).with_style(style);
    bar.enable_steady_tick(Duration::from_millis(500));
    bar
}
