//! `inspect`: looks at schedules, checkpoints and runs, and, asked to prune, clears old checkpoints away.

mod prune;

use std::fs;
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use clap::{Args, Parser, Subcommand, ValueEnum};
use rekindle::checkpoint::Checkpoint;
use rekindle::report::chart::{Chart, Mark};
use rekindle::report::{LrPlan, Standing, pictures};
use rekindle::schedule::{RunLength, Trajectory, read_metrics};
use rekindle::train::{TrainError, resume};

/// Show where a run stands: step, rates now and next, optimizer, tensors, integrity.
#[derive(Parser)]
#[command(version, about, args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
#[command(after_help = "Exit codes: 0 done; 1 the thing asked about is bad; 2 the request is wrong.")]
struct Cli {
    /// A run directory, a folder of checkpoints, or one checkpoint
    #[arg(required = true)]
    path: Option<PathBuf>,
    /// Print JSON, for programs
    #[arg(long)]
    json: bool,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Check every byte of one checkpoint, or of all in a run
    Verify(Verify),
    /// Show the rates of a schedule before it runs
    Lr(Lr),
    /// Delete the checkpoints of a run that no rule keeps
    Prune(prune::Prune),
    /// Keep a checkpoint from ever being deleted
    Pin(prune::Pin),
    /// Let a pinned checkpoint be deleted again
    Unpin(prune::Pin),
}

/// What `inspect verify` takes.
#[derive(Args)]
struct Verify {
    /// A run directory, a folder of checkpoints, or one checkpoint
    path: PathBuf,
}

/// What `inspect lr` takes.
#[derive(Args)]
struct Lr {
    /// A schedule: a line such as 'warmup(10) -> cosine(90)', a JSON table or a TOML file; or a run, by its
    /// configuration, its directory or one of its checkpoints
    spec: String,
    /// Another one, to be laid over the first with --diff
    #[arg(requires = "diff")]
    other: Option<String>,
    /// Show two plans together
    #[arg(long, requires = "other")]
    diff: bool,
    /// Base rate of each parameter group [default: the run's, or 1]
    #[arg(long, value_delimiter = ',', allow_negative_numbers = true)]
    base_lr: Option<Vec<f64>>,
    /// How many updates to show, of which shares such as "10%" are taken where no run says more [default: all, or 100]
    #[arg(long, value_parser = clap::value_parser!(u64).range(..=MOST_STEPS))]
    steps: Option<u64>,
    /// Updates in an epoch, for schedules that count epochs [default: the run's, or 1]
    #[arg(long)]
    steps_per_epoch: Option<u64>,
    /// JSON array of metrics, of which number t is handed over after update t
    #[arg(long)]
    metrics: Option<PathBuf>,
    /// How to show it [default: plot on a terminal, else table]
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// Draw the rate on a logarithmic axis
    #[arg(long)]
    log: bool,
    /// Write to this file instead of stdout
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// More steps than anybody reads.
const MOST_STEPS: u64 = 10_000_000;

#[derive(Clone, Copy, ValueEnum)]
enum Format {
    /// Aligned columns for people
    Table,
    /// Comma-separated values, all digits
    Csv,
    /// {"lrs": [[rate of group 0, …], …]}, all digits
    Json,
    /// A plot in braille dots, for the terminal
    Plot,
    /// A picture in vectors
    Svg,
    /// A picture in pixels
    Png,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let answer = match (&cli.command, &cli.path) {
        (Some(Command::Lr(lr)), _) => show_rates(lr).map(|()| Answer::good(String::new())),
        (Some(Command::Verify(verify)), _) => verify_all(&verify.path),
        (Some(Command::Prune(arguments)), _) => prune::prune(arguments),
        (Some(Command::Pin(arguments)), _) => prune::pin(arguments),
        (Some(Command::Unpin(arguments)), _) => prune::unpin(arguments),
        (None, Some(path)) => show_standing(path, cli.json).map(Answer::good),
        (None, None) => unreachable!("the parser requires one of the two"),
    };
    match answer.and_then(|answer| print(answer.text.as_bytes()).map(|()| answer.is_good)) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            // stderr may be gone; the exit code still tells.
            drop(writeln!(io::stderr(), "error: {error}"));
            ExitCode::from(if is_damage(&error) { 1 } else { 2 })
        }
    }
}

/// Whether the thing asked about is there, and bad.
fn is_damage(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref(), Some(TrainError::Checkpoint(error)) if error.is_damage())
}

/// What is printed, and whether the thing asked about is good.
struct Answer {
    text: String,
    is_good: bool,
}

impl Answer {
    fn good(text: String) -> Self {
        Self { text, is_good: true }
    }
}

fn show_standing(path: &Path, json: bool) -> anyhow::Result<String> {
    let (checkpoint, messages) = resume::newest_at(path)?;
    for message in messages {
        drop(writeln!(io::stderr(), "{message}"));
    }
    let standing = Standing::of(&checkpoint);
    Ok(if json { serde_json::to_string_pretty(&standing)? + "\n" } else { standing.to_string() })
}

fn verify_all(path: &Path) -> anyhow::Result<Answer> {
    let mut answer = Answer::good(String::new());
    for path in resume::all_at(path)? {
        let line = match Checkpoint::verify(&path) {
            Ok(manifest) => {
                let bytes: u64 = manifest.files.iter().map(|file| file.bytes).sum();
                format!("{}: ok, {} files, {bytes} bytes", path.display(), manifest.files.len())
            }
            Err(error) => {
                answer.is_good = false;
                format!("{}: BAD: {error}", path.display())
            }
        };
        answer.text += &(line + "\n");
    }
    Ok(answer)
}

/// A plan followed over its steps.
struct Followed {
    plan: LrPlan,
    run: RunLength,
    base_lrs: Vec<f64>,
    trajectory: Trajectory,
}

/// Reads a plan and follows it; `usual` are the base rates where neither the user nor the plan has any.
fn follow(lr: &Lr, spec: &str, usual: &[f64]) -> anyhow::Result<Followed> {
    let plan = LrPlan::read(spec)?;
    let metrics = lr.metrics.as_deref().map(read_metrics).transpose()?.unwrap_or_default();
    let total_steps = plan.run.and_then(|run| run.total_steps);
    let steps = lr.steps.or(total_steps).unwrap_or(100).min(MOST_STEPS);
    let run_steps_per_epoch = plan.run.map(|run| run.steps_per_epoch);
    let run = RunLength {
        total_steps: total_steps.or(Some(steps)),
        steps_per_epoch: lr.steps_per_epoch.or(run_steps_per_epoch).unwrap_or(1),
    };
    let base_lrs = lr.base_lr.as_ref().or(plan.base_lrs.as_ref()).cloned().unwrap_or_else(|| usual.to_vec());
    let trajectory = Trajectory::new(&plan.schedule, &base_lrs, run, steps, &metrics)?;
    Ok(Followed { plan, run, base_lrs, trajectory })
}

fn show_rates(lr: &Lr) -> anyhow::Result<()> {
    let first = follow(lr, &lr.spec, &[1.0])?;
    let second = lr.other.as_deref().map(|spec| follow(lr, spec, &first.base_lrs)).transpose()?;
    let both = second.as_ref().map(|second| first.trajectory.beside(&second.trajectory));
    let trajectory = both.as_ref().unwrap_or(&first.trajectory);
    let format = lr.format.unwrap_or(if io::stdout().is_terminal() { Format::Plot } else { Format::Table });
    let chart = || chart(lr, &first, second.as_ref(), trajectory);
    let shown = match format {
        Format::Table => trajectory.to_table().into_bytes(),
        Format::Csv => trajectory.to_csv().into_bytes(),
        Format::Json => trajectory.to_json()?.into_bytes(),
        Format::Plot => chart().to_braille(100, 20).into_bytes(),
        Format::Svg => chart().to_svg().into_bytes(),
        Format::Png if lr.output.is_none() && io::stdout().is_terminal() => {
            anyhow::bail!("a PNG on the terminal is of no use; name a file with --output")
        }
        Format::Png => chart().to_png()?,
    };
    match &lr.output {
        Some(path) => fs::write(path, shown).with_context(|| format!("{} cannot be written", path.display())),
        None => print(&shown),
    }
}

/// The rates as a chart: phases shaded where there is one plan, the current step marked where there is a checkpoint.
fn chart(lr: &Lr, first: &Followed, second: Option<&Followed>, trajectory: &Trajectory) -> Chart {
    let names = |followed: &Followed, name: &str| -> Vec<String> {
        let groups = followed.trajectory.lrs.first().map_or(0, Vec::len);
        (0..groups).map(|group| if groups == 1 { name.to_owned() } else { format!("{name} group {group}") }).collect()
    };
    let title = first.plan.schedule.to_string();
    let Some(second) = second else {
        let mut chart = pictures::of_trajectory(&title, trajectory, &[], lr.log);
        let steps = trajectory.lrs.len() as u64;
        chart.phases = pictures::phases(&first.plan.schedule, &first.run, steps);
        let mark = |step: u64| Mark { x: step as f64, label: format!("step {step}") };
        chart.marks = first.plan.step.map(mark).into_iter().collect();
        return chart;
    };
    let other = lr.other.as_deref().unwrap_or_default();
    let names: Vec<String> = [names(first, &lr.spec), names(second, other)].concat();
    pictures::of_trajectory(&format!("{title} and {}", second.plan.schedule), trajectory, &names, lr.log)
}

/// Prints to stdout. A reader that has seen enough and closed the pipe is no error.
fn print(bytes: &[u8]) -> anyhow::Result<()> {
    match io::stdout().lock().write_all(bytes) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => Ok(result?),
    }
}
