//! `train supervise`: starts a run, and starts it again when it is killed or fails.

pub mod history;
pub mod process;
mod request;
pub mod verdict;

use std::ffi::OsString;
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};
use clap::Args;
use rekindle::duration::duration;
use rekindle::memory::OomKills;
use rekindle::train::{Console, RunDirectory, Sink, Traces, TrainError};
use rekindle::{shell, store};

use self::history::{History, Next};
use self::process::{Process, Signals, name};
use self::request::Request;
use self::verdict::{Failure, Verdict};
use crate::stopped_by;

/// Arguments of `train supervise`.
#[derive(Args)]
#[command(after_help = RULES, override_usage = "train supervise [OPTIONS] -- COMMAND…")]
pub struct Supervise {
    /// Maximal number of restarts; by default as many as are needed, as long as the run gets further.
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    restarts: Option<u32>,
    /// Pause before a restart; it doubles, up to 5 minutes, while the run makes no steps.
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = duration)]
    pause: Duration,
    /// The command with all its words: `train CONFIG`, `train --resume RUN`, or a launcher before them.
    #[arg(trailing_var_arg = true, required = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

const RULES: &str = "\
Examples:
  train supervise -- train config.toml
  train supervise -- train --resume runs/a
  train supervise --restarts 10 -- mpirun -n 4 train config.toml --out runs/a

If the command is killed, or if the run fails, it is started again: once there is a run in the run directory, with \
`--resume`. It is not started again when the run is finished, when a signal has stopped it, and when the request is \
wrong (code 2). It also ends when the run fails twice at the same step, or ends twice in a row without getting \
further. A line in restarts.jsonl of the run directory tells of each restart. Signals are passed on: the run saves and stops.

Exit codes: those of the command; 1 if the run failed and is not started again; 128 and the number of a signal: \
stopped by it, after saving.";

/// Starts the command, and starts it again as long as that may help. `settled` are the variables that this process has
/// added to the environment for itself.
pub fn run(arguments: &Supervise, settled: &[&str], console: &mut Console) -> Result<ExitCode> {
    let request = Request::read(&arguments.command)?;
    let mut signals = Signals::listen()?;
    let mut before = Traces::of(&request.run);
    if before.is_run && request.is_new() {
        return Err(TrainError::HoldsARun { path: request.run }.into());
    }
    let is_free = Traces::is_free(&request.run);
    let mut history = History::new(arguments.pause, arguments.restarts, &before);
    let mut words = request.words.clone();
    loop {
        let (began, kills) = (Instant::now(), OomKills::so_far());
        let status = Process::start(&words, settled)?.wait(&mut signals)?;
        wait_for_others(&request, &mut signals, console);
        let after = Traces::of(&request.run);
        let end = after.end.as_ref().filter(|end| before.end.as_ref() != Some(end));
        let failure = match verdict::of(status, end, signals.asked(), request.is_direct()) {
            Verdict::Over(code) => return Ok(ExitCode::from(code)),
            Verdict::Failed(failure) => failure.with(kills.since()),
        };
        let pause = match history.after(&failure, &after, began.elapsed()) {
            Next::Restart { pause } => pause,
            Next::End { why } => return Ok(give_up(&request, &failure, &after, &why, console)),
        };
        if before.is_run && !after.is_run {
            let why = "the run directory has gone";
            return Ok(give_up(&request, &failure, &after, why, console));
        }
        if is_free && !after.is_run && !store::is_url(&request.run) {
            let failed = |error| anyhow!("{}: cannot be emptied: {error}", request.run.display());
            Traces::clear_unbegun(&request.run).map_err(failed)?;
        }
        words = request.again(after.is_run);
        tell(&history, &failure, (&request, &after, &words), pause, console);
        if let Some(signal) = signals.wait_for(pause) {
            console.message(&format!("supervise: {}: the run is not started again", name(signal)));
            return Ok(stopped_by(signal.unsigned_abs() as usize));
        }
        before = after;
    }
}

/// Waits until no process trains in the run directory: one may be left after the end of its launcher. It may still be
/// saving; if it does more, only a request to stop ends this.
fn wait_for_others(request: &Request, signals: &mut Signals, console: &mut Console) {
    const PATIENCE: Duration = Duration::from_secs(5);
    const PAUSE: Duration = Duration::from_millis(20);
    let (began, mut is_told) = (Instant::now(), false);
    while let Some(holder) = RunDirectory::holder(&request.run) {
        let is_late = began.elapsed() > PATIENCE;
        if is_late && !is_told {
            let run = shell::path(&request.run);
            console.message(&format!("supervise: the command has ended, but {holder} still trains in {run}"));
            is_told = true;
        }
        if signals.wait_for(PAUSE).is_some() {
            if is_late {
                return;
            }
            thread::sleep(PAUSE);
        }
    }
}

/// Prints and records a restart.
fn tell(
    history: &History,
    failure: &Failure,
    (request, after, words): (&Request, &Traces, &[OsString]),
    pause: Duration,
    console: &mut Console,
) {
    let ended = format!("attempt {} {}{}", history.attempt(), failure.how, reached(after));
    let command = request::shown(words);
    let cause = failure.cause().map(|cause| format!(": {cause}")).unwrap_or_default();
    console.message(&format!("supervise: {ended}{cause}; starting again in {pause:?}: {command}"));
    if after.is_run
        && let Err(error) = Traces::record_restart(&request.run, &history.restart(failure, after, pause))
    {
        let file = request.run.join("restarts.jsonl");
        console.message(&format!("warning: {}: cannot record the restart: {error}", file.display()));
    }
}

fn reached(after: &Traces) -> String {
    let saved = after.saved.map(|step| format!(", where the newest checkpoint is step {step}")).unwrap_or_default();
    if after.is_run { format!(" at step {}{saved}", after.step()) } else { " before its first step".to_owned() }
}

/// Tells why the run is not started again, and how to continue it.
fn give_up(request: &Request, failure: &Failure, after: &Traces, why: &str, console: &mut Console) -> ExitCode {
    let how = format!("the last attempt {}{}", failure.how, reached(after));
    let error = failure.error.as_ref().map(|error| format!(": {error}")).unwrap_or_default();
    console.message(&format!("error: supervise gives up: {why}; {how}{error}"));
    let command = request::shown(&request.again(after.is_run));
    console.message(&format!("to continue, once the cause is removed: train supervise -- {command}"));
    ExitCode::from(1)
}
