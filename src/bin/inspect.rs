//! Looks at schedules, checkpoints and runs, and changes nothing.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand, ValueEnum};
use rekindle::schedule::{RunLength, Trajectory, read_metrics, read_schedule};

#[derive(Parser)]
#[command(version, about)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Show the rates of a schedule before it runs
    Lr(Lr),
}

/// What `inspect lr` takes.
#[derive(Args)]
struct Lr {
    /// A schedule: a line such as 'warmup(10) -> cosine(90)', a JSON table, or the path of a TOML file
    spec: String,
    /// Base rate of each parameter group
    #[arg(long, value_delimiter = ',', default_value = "1", allow_negative_numbers = true)]
    base_lr: Vec<f64>,
    /// How many updates to show; shares such as "10%" are shares of it
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u64).range(..=10_000_000))]
    steps: u64,
    /// Updates in an epoch, for schedules that count epochs
    #[arg(long, default_value_t = 1)]
    steps_per_epoch: u64,
    /// JSON array of metrics, of which number t is handed over after update t
    #[arg(long)]
    metrics: Option<PathBuf>,
    /// How to print
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

#[derive(Clone, Copy, ValueEnum)]
enum Format {
    /// Aligned columns for people
    Table,
    /// Comma-separated values, all digits
    Csv,
    /// {"lrs": [[rate of group 0, …], …]}, all digits
    Json,
}

fn main() -> ExitCode {
    let Cli { command } = Cli::parse();
    let output = match command {
        Command::Lr(lr) => show_rates(&lr),
    };
    match output.and_then(|text| print(&text)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn show_rates(lr: &Lr) -> anyhow::Result<String> {
    let schedule = read_schedule(&lr.spec)?;
    let metrics = lr.metrics.as_deref().map(read_metrics).transpose()?.unwrap_or_default();
    let run = RunLength { total_steps: Some(lr.steps), steps_per_epoch: lr.steps_per_epoch };
    let trajectory = Trajectory::new(&schedule, &lr.base_lr, run, lr.steps, &metrics)?;
    Ok(match lr.format {
        Format::Table => trajectory.to_table(),
        Format::Csv => trajectory.to_csv(),
        Format::Json => trajectory.to_json()?,
    })
}

/// Prints to stdout. A reader that has seen enough and closed the pipe is no error.
fn print(text: &str) -> anyhow::Result<()> {
    match io::stdout().lock().write_all(text.as_bytes()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => Ok(result?),
    }
}
