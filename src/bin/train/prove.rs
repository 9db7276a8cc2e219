//! `train prove`: tests that a run survives being killed, bit for bit.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Args;
use rekindle::figures::counted;
use rekindle::proof::{Event, Plan, Program, ProofError, prove};
use rekindle::train::{Console, Interval, Sink, Stake, from_file};

use crate::on_device::OnDevice;
use crate::{listening, print, stopped_by};

/// Arguments of `train prove`.
#[derive(Args)]
#[command(after_help = CONTRACT)]
pub struct Prove {
    /// The configuration of a run, a TOML file.
    #[arg(required_unless_present = "command", conflicts_with = "command")]
    config: Option<PathBuf>,
    /// Number of kills.
    #[arg(long, value_name = "N", allow_negative_numbers = true, default_value_t = 20)]
    kills: u32,
    /// Seed of the times of the kills.
    #[arg(long, value_name = "SEED", default_value_t = 0)]
    seed: u64,
    /// Numbers of threads, such as `1,2,4`: the uninterrupted run uses the first, each later process the next.
    #[arg(long, value_name = "LIST", value_delimiter = ',', value_parser = number_of_threads)]
    threads: Vec<NonZeroUsize>,
    /// A launcher, such as `mpirun -n 2`; an empty one starts one process. May be given again: the uninterrupted run
    /// uses the first, each later start the next.
    #[arg(long = "launch", value_name = "LAUNCHER", conflicts_with = "command")]
    launchers: Vec<String>,
    /// Folder of the two runs; by default `runs/` and the name of the configuration with `-proof`.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Change a setting, such as `train.epochs=5`; may be given again.
    #[arg(long = "set", value_name = "KEY=VALUE", conflicts_with = "command")]
    settings: Vec<String>,
    #[command(flatten)]
    device: OnDevice,
    /// Test your own program: a shell command, with `{out}` for the run directory.
    #[arg(long, value_name = "COMMAND", conflicts_with = "device")]
    command: Option<String>,
    /// Files of a run that may differ, such as `events.*`; may be given again.
    #[arg(long, value_name = "PATTERN")]
    ignore: Vec<String>,
}

const CONTRACT: &str = "\
The run is made twice: once without interruption, and once with SIGKILL at random moments, started again after each \
kill. Then all files are compared, except those about their process: manifests, timing.jsonl, outcome.json, \
restarts.jsonl, lock, and hidden files.

With --launch, all processes of a start are killed at once. A run with `train.accumulate = 4` is proved to have the \
same bits in 1, 2 and 4 processes by `--launch '' --launch 'mpirun -n 2' --launch 'mpirun -n 4'`.

Your own program (--command) is started again with the same command until it exits with 0. It must resume the run in \
{out} by itself, and write Rekindle checkpoints into {out} or into {out}/checkpoints; its log is {out}/log.jsonl, one \
line of JSON with a `step` for each update. Or it writes checkpoints of another trainer anywhere in {out}, in any format \
that `inspect` reads: then counters, rates, schedules, weights and optimizer states are compared through its readers, \
and text files by lines. Other files in {out} must not depend on the clock, or must be named with --ignore. With rekindle::train::Progress it can report its phase, for the table; RAYON_NUM_THREADS is set as --threads \
says.

Exit codes: 0 every bit identical; 1 not identical, both runs are kept; 2 the request is wrong, or the program fails \
without being killed; 128 and the number of a signal (130 SIGINT, 143 SIGTERM): stopped by it. After 2 and after a \
signal no files are left. If this program is itself killed, Linux kills the run that it started; on other systems that \
run continues.";

fn number_of_threads(text: &str) -> Result<NonZeroUsize, String> {
    text.trim().parse().map_err(|_| "give numbers of at least 1, such as `1,2,4`".to_owned())
}

/// Runs the test: progress goes to stderr, the result to stdout.
pub fn run(arguments: &Prove, console: &mut Console) -> Result<ExitCode> {
    let plan = plan(arguments)?;
    let control = listening(console)?;
    // The child processes do not receive the signals of this program, because each is in a separate process group: the
    // test stops them.
    control.put_at_stake(Stake {
        in_order: "stopping the run and removing the test's files".to_owned(),
        at_once: format!("the test's files are left in {}", plan.out.display()),
        save: String::new(),
    });
    console.count("kill", plan.kills.into());
    let signal = || control.stop_requested().and_then(|signal| i32::try_from(signal).ok());
    let mut made = 0;
    let proof = prove(&plan, &signal, &mut |event| {
        if matches!(event, Event::Comparing) {
            // Both runs are complete and kept.
            control.nothing_at_stake();
        }
        made += u64::from(matches!(event, Event::Killed(_) | Event::Missed));
        show(&event, made, console);
    });
    console.clear();
    match proof {
        Ok(proof) => {
            print(&proof.to_string())?;
            Ok(if proof.is_identical() { ExitCode::SUCCESS } else { ExitCode::from(1) })
        }
        Err(ProofError::Stopped { signal }) => {
            console.message(&ProofError::Stopped { signal }.to_string());
            Ok(stopped_by(signal.unsigned_abs() as usize))
        }
        Err(error) => Err(error.into()),
    }
}

fn plan(arguments: &Prove) -> Result<Plan> {
    let (program, saves_by_the_clock, name) = match (&arguments.command, &arguments.config) {
        (Some(command), _) => (Program::Command(command.clone()), false, "command"),
        (None, config) => {
            let config = config.clone().unwrap_or_default();
            let read = from_file(&config, &arguments.device.with(&arguments.settings)?)?;
            let by_the_clock = matches!(read.checkpoint.every, Interval::Minutes(_) | Interval::Auto);
            let executable =
                std::env::current_exe().context("this program's file cannot be found to start it again")?;
            let settings = arguments.device.texts(&arguments.settings);
            let program = Program::Train { executable, config, settings };
            (program, by_the_clock, "")
        }
    };
    let stem = arguments.config.as_deref().and_then(Path::file_stem).map(|stem| stem.to_string_lossy().into_owned());
    let out = arguments.out.clone().unwrap_or_else(|| free_name(&stem.unwrap_or_else(|| name.to_owned())));
    Ok(Plan {
        program,
        kills: arguments.kills,
        seed: arguments.seed,
        threads: arguments.threads.clone(),
        launchers: arguments.launchers.clone(),
        out,
        ignore: arguments.ignore.clone(),
        saves_by_the_clock,
    })
}

/// Returns a free directory under `runs`: an earlier result is not replaced.
fn free_name(name: &str) -> PathBuf {
    rekindle::free_name::of(&Path::new("runs").join(format!("{name}-proof")))
}

/// Shows the progress, if stderr is a terminal.
fn show(event: &Event<'_>, made: u64, console: &mut Console) {
    match event {
        Event::Uninterrupted => console.at(made, "the uninterrupted run"),
        Event::Measured { steps, seconds } => {
            console.message(&format!("the uninterrupted run took {} and {seconds:.1} s", counted(*steps, "step")));
            console.at(made, "the run with kills");
        }
        Event::Killed(kill) => {
            let phase = kill.phase.map_or("running", |phase| phase.word());
            console.at(made, &format!("the last at step {}, {phase}", kill.step));
        }
        Event::Missed => console.at(made, "the process had ended before the last kill"),
        Event::Finishing => console.at(made, "the killed run continues to its end"),
        Event::Comparing => console.at(made, "comparing"),
    }
}
