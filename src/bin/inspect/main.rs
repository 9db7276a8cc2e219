//! `inspect`: examines schedules, checkpoints and runs, and prunes old checkpoints.

mod average;
mod diff;
mod export;
mod import;
mod log;
mod lr;
mod peer;
mod plot;
mod prune;
mod report;
mod request;
mod serve;
mod sweep;
mod verify;
mod watch;

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::anyhow;
use clap::{CommandFactory, Parser, Subcommand};
use rekindle::checkpoint::Folder;
use rekindle::command_line::{Completions, Manual};
use rekindle::peers::PeerError;
use rekindle::peers::import::ImportError;
use rekindle::report::{RunStatus, Runs};
use rekindle::train::{TrainError, file_size_limit_is_an_error, resume};
use rekindle::{stdout, store, threads};

/// Show the status of a run: step, current and next rates, optimizer, tensors, integrity.
#[derive(Parser)]
#[command(version, args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
#[command(help_template = HELP)]
#[command(after_help = "Exit codes: 0 done; 1 the inspected files are bad; 2 the request is wrong.")]
struct Cli {
    /// A run directory, a folder of checkpoints, or one checkpoint, here or at a URL; a folder of runs, which are
    /// listed; or the checkpoint of another trainer, such as a `.pt` of PyTorch
    #[arg(required = true)]
    path: Option<PathBuf>,
    /// Print JSON, for programs
    #[arg(long)]
    json: bool,
    /// Read whole tensors from an object store, or of another trainer, for their statistics
    #[arg(long)]
    stats: bool,
    /// Show statistics of every tensor, instead of a line for each layer
    #[arg(long)]
    tensors: bool,
    #[command(subcommand)]
    command: Option<Command>,
}

const HELP: &str = "\
{about-with-newline}
{usage-heading} {usage}

Examples:
  inspect runs                       # all runs in a folder
  inspect runs/digits                # one run
  inspect watch runs/digits          # its curves, live in the terminal
  inspect verify runs/digits         # every byte of every checkpoint

{all-args}{after-help}";

#[derive(Subcommand)]
enum Command {
    /// Follow a run in the terminal: curves, progress, time left
    Watch(watch::Watch),
    /// Check every byte of one checkpoint, or of all in a run
    Verify(verify::Verify),
    /// Show where two runs or two checkpoints differ
    Diff(diff::Diff),
    /// Show the rates of a schedule before it runs
    Lr(lr::Lr),
    /// Draw the loss, or other numbers, of runs
    Plot(plot::Plot),
    /// Write a page for the browser about runs, with everything in one file
    Report(report::Report),
    /// Write a run's log as CSV, Parquet or JSON lines
    Log(log::Log),
    /// Show the trials of a sweep, the best first, or draw them
    Sweep(sweep::Sweep),
    /// Show runs in the browser, as they go
    Serve(serve::Serve),
    /// Make a run of another trainer's checkpoint, which `train --resume` continues
    Import(import::Import),
    /// Write a run as another trainer resumes it, or its model for other programs
    Export(export::Export),
    /// Average the weights of several checkpoints
    Average(average::Average),
    /// Delete the checkpoints of a run that no rule keeps
    Prune(prune::Prune),
    /// Keep a checkpoint from ever being deleted
    Pin(prune::Pin),
    /// Allow a pinned checkpoint to be deleted again
    Unpin(prune::Pin),
    /// Print a script that completes the words of `inspect` in a shell
    Completions(Completions),
    /// Write the manual pages of `inspect`
    Man(Manual),
}

fn main() -> ExitCode {
    let cli = request::parse();
    if let Err(error) = file_size_limit_is_an_error() {
        drop(writeln!(io::stderr(), "warning: a limit on the size of files would end this process: {error}"));
    }
    if let Err(error) = threads::start() {
        drop(writeln!(io::stderr(), "error: {error}"));
        return ExitCode::from(2);
    }
    let answer = match (&cli.command, &cli.path) {
        (Some(Command::Watch(arguments)), _) => watch::watch(arguments).map(|()| Answer::good(String::new())),
        (Some(Command::Lr(lr)), _) => lr::show(lr).map(|()| Answer::good(String::new())),
        (Some(Command::Plot(plot)), _) => plot::draw(plot).map(|()| Answer::good(String::new())),
        (Some(Command::Report(report)), _) => report::write(report).map(|()| Answer::good(String::new())),
        (Some(Command::Log(log)), _) => log::write(log).map(|()| Answer::good(String::new())),
        (Some(Command::Sweep(arguments)), _) => sweep::show(arguments).map(|()| Answer::good(String::new())),
        (Some(Command::Serve(arguments)), _) => serve::serve(arguments).map(|()| Answer::good(String::new())),
        (Some(Command::Verify(verify)), _) => verify::verify(verify),
        (Some(Command::Diff(arguments)), _) => diff::diff(arguments),
        (Some(Command::Import(arguments)), _) => import::import(arguments),
        (Some(Command::Export(arguments)), _) => export::export_run(arguments),
        (Some(Command::Average(arguments)), _) => average::average(arguments),
        (Some(Command::Prune(arguments)), _) => prune::prune(arguments),
        (Some(Command::Pin(arguments)), _) => prune::pin(arguments),
        (Some(Command::Unpin(arguments)), _) => prune::unpin(arguments),
        (Some(Command::Completions(shell)), _) => {
            Ok(Answer::good(String::from_utf8_lossy(&shell.script(Cli::command().name("inspect"))).into_owned()))
        }
        (Some(Command::Man(manual)), _) => {
            manual.write(Cli::command().name("inspect")).map(Answer::good).map_err(Into::into)
        }
        (None, Some(path)) => show(path, &cli).map(Answer::good),
        (None, None) => unreachable!("the parser requires one of the two"),
    };
    match answer.and_then(|answer| print(answer.text.as_bytes()).map(|()| answer.is_good)) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            // stderr may be closed; the exit code still shows the failure.
            drop(writeln!(io::stderr(), "error: {error}"));
            ExitCode::from(if is_damage(&error) { 1 } else { 2 })
        }
    }
}

/// Whether the inspected files exist and are bad.
fn is_damage(error: &anyhow::Error) -> bool {
    let peer = match error.downcast_ref() {
        Some(ImportError::Peer(error)) => Some(error),
        _ => error.downcast_ref::<PeerError>(),
    };
    matches!(error.downcast_ref(), Some(TrainError::Checkpoint(error)) if error.is_damage())
        || peer.is_some_and(PeerError::is_damage)
}

/// Output text, and whether the inspected files are good.
struct Answer {
    text: String,
    is_good: bool,
}

impl Answer {
    fn good(text: String) -> Self {
        Self { text, is_good: true }
    }
}

/// Shows the trials of a sweep, the status of another trainer's run, a table of runs in a folder, or the status of one run.
fn show(path: &Path, cli: &Cli) -> anyhow::Result<String> {
    if rekindle::sweep::is_at(path) {
        return sweep::told(path, cli.json);
    }
    if let Some(peer) = peer::open(path)? {
        return peer::show(peer, cli);
    }
    let Some(runs) = Runs::in_folder(path) else { return show_standing(path, cli) };
    Ok(if cli.json { serde_json::to_string_pretty(&runs)? + "\n" } else { runs.to_string() })
}

/// Reads all of a checkpoint on a local disk, but only the requested parts of one in an object store.
fn show_standing(path: &Path, cli: &Cli) -> anyhow::Result<String> {
    let (standing, messages) = if cli.stats || !store::is_url(path) {
        let (checkpoint, messages) = resume::newest_at(path)?;
        let standing = RunStatus::of(&checkpoint);
        let standing = match resume::folder_of(path)? {
            Some(folder) => standing.beside(&Folder::new(folder))?,
            None => standing,
        };
        (standing, messages)
    } else {
        let (outline, messages) = resume::newest_outline_at(path)?;
        (RunStatus::of_outline(&outline), messages)
    };
    for message in messages {
        drop(writeln!(io::stderr(), "{message}"));
    }
    let standing = standing.in_its_run();
    Ok(match (cli.json, cli.tensors) {
        (true, _) => serde_json::to_string_pretty(&standing)? + "\n",
        (false, true) => format!("{standing:#}"),
        (false, false) => standing.to_string(),
    })
}

/// Prints to stdout. A reader that closes the pipe early is not an error.
fn print(bytes: &[u8]) -> anyhow::Result<()> {
    if bytes.is_empty() {
        return Ok(());
    }
    let out = stdout::stdout().map(|out| out.lock());
    let written = out.and_then(|mut out| out.write_all(bytes).and_then(|()| out.flush()));
    match written {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result.map_err(|error| anyhow!("the result cannot be written to stdout: {error}")),
    }
}
