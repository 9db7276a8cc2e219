//! `train sweep`: makes many runs of a configuration with other settings, and finds the best.

mod runner;

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use rekindle::figures::counted;
use rekindle::shell;
use rekindle::sweep::{Directory, Outcome, Plan, Progress};
use rekindle::train::{Console, Sink};

use self::runner::{Room, Runner};
use crate::supervise::process::{Signals, name};
use crate::{print, stopped_by};

/// Arguments of `train sweep`.
#[derive(Args)]
#[command(after_help = RULES)]
pub struct Sweep {
    /// The file of the sweep, a TOML file.
    #[arg(required_unless_present = "resume", conflicts_with = "resume")]
    sweep: Option<PathBuf>,
    /// Continue the sweep in this directory or at this URL, with the configurations of its beginning.
    #[arg(long, value_name = "DIR")]
    resume: Option<PathBuf>,
    /// Directory of the sweep, or a URL; by default `runs/` and the name of the file.
    #[arg(long, value_name = "DIR", conflicts_with = "resume")]
    out: Option<PathBuf>,
    /// How many trials run at once, which share the cores; by default as the file says.
    #[arg(long, value_name = "N")]
    parallel: Option<NonZeroUsize>,
}

const RULES: &str = "\
Examples:
  train sweep sweep.toml
  train sweep --resume runs/sweep
  inspect sweep runs/sweep

Each trial is a run in DIR/trials, of a complete configuration in DIR/configs. In the end DIR has best.toml, the \
configuration of the best trial, trials.csv and sweep.svg. A trial that fails is recorded with its error, and the others \
go on. Ctrl-C and SIGTERM save and stop all trials. A sweep that was stopped or killed at any moment ends as one that \
was not, whatever number of trials runs at once: the same command, or --resume DIR, continues it.

Exit codes: 0 done; 1 no trial has a result; 2 the request is wrong; 128 and the number of a signal: stopped by it, \
after saving.";

/// Makes the trials and shows their outcome. `settled` are the variables that this process has added to the environment
/// for itself.
pub fn run(arguments: &Sweep, settled: &[&str], console: &mut Console) -> Result<ExitCode> {
    let (directory, plan) = open(arguments)?;
    let wanted = arguments.parallel.map_or(plan.parallel, NonZeroUsize::get);
    let (room, note) = Room::of(wanted, plan.trials());
    note.iter().for_each(|note| console.message(note));
    let mut signals = Signals::listen()?;
    let progress = Progress::of(&directory, plan)?;
    let (trials, done) = (progress.plan().trials(), progress.ended());
    if done > 0 {
        console.message(&format!("{done} of {} have ended before", counted(trials as u64, "trial")));
    }
    console.count("trial", trials as u64);
    let mut runner = Runner::new(&directory, progress, settled, room);
    let ended = runner.run(&mut signals, console);
    console.clear();
    ended?;
    let done = runner.ended();
    if let Some(signal) = signals.asked().filter(|_| done < trials) {
        let path = shell::path(directory.path());
        console.message(&format!(
            "{}: stopped after {done} of {}; to continue: train sweep --resume {path}",
            name(signal),
            counted(trials as u64, "trial")
        ));
        return Ok(stopped_by(signal.unsigned_abs() as usize));
    }
    conclude(&directory, console)
}

fn open(arguments: &Sweep) -> Result<(Directory, Plan)> {
    Ok(match (&arguments.resume, &arguments.sweep) {
        (Some(path), _) => Directory::resume(path)?,
        (None, file) => {
            let file = file.as_deref().unwrap_or(Path::new(""));
            let out = arguments.out.clone().unwrap_or_else(|| crate::default_out(file));
            Directory::begin(file, &out)?
        }
    })
}

/// Writes the files of the outcome, and prints the table.
fn conclude(directory: &Directory, console: &mut Console) -> Result<ExitCode> {
    let outcome = Outcome::of(directory.path())?;
    let best = outcome.write(directory)?;
    print(&outcome.to_string())?;
    match (best, outcome.best_run()) {
        (Some(config), Some(run)) => {
            let [config, run] = [&config, &run].map(|path| shell::path(path));
            console.message(&format!("its configuration: {config}; its run: {run}"));
            console.message(&format!("the picture: {}", shell::path(&directory.path().join("sweep.svg"))));
            Ok(ExitCode::SUCCESS)
        }
        _ => {
            let folder = shell::path(&directory.path().join("trials"));
            console.message(&format!("error: no trial has a result; {folder} has what each of them said"));
            Ok(ExitCode::from(1))
        }
    }
}
