//! `train prove`: shows that a run survives being killed, bit for bit.

use std::io::{self, IsTerminal, Write};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Args;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use rekindle::proof::{Event, Plan, Program, ProofError, prove};
use rekindle::train::{Every, from_file};

use crate::settings;

/// What `train prove` takes.
#[derive(Args)]
#[command(after_help = CONTRACT)]
pub struct Prove {
    /// The configuration of a run, a TOML file.
    #[arg(required_unless_present = "command", conflicts_with = "command")]
    config: Option<PathBuf>,
    /// How often the run is killed.
    #[arg(long, value_name = "N", allow_negative_numbers = true, default_value_t = 20)]
    kills: u32,
    /// Decides at which moments.
    #[arg(long, value_name = "SEED", default_value_t = 0)]
    seed: u64,
    /// Numbers of threads, such as `1,2,4`: the uninterrupted run has the first, and each process after it the next.
    #[arg(long, value_name = "LIST", value_delimiter = ',', value_parser = number_of_threads)]
    threads: Vec<NonZeroUsize>,
    /// Where the two runs go; by default `runs/` and the name of the configuration with `-proof`.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Change a setting, such as `train.epochs=5`; may be given again.
    #[arg(long = "set", value_name = "KEY=VALUE", conflicts_with = "command")]
    settings: Vec<String>,
    /// Prove it of a program of your own: a command of the shell, with `{out}` for the run directory.
    #[arg(long, value_name = "COMMAND")]
    command: Option<String>,
    /// Files of a run that need not be the same, such as `events.*`; may be given again.
    #[arg(long, value_name = "PATTERN")]
    ignore: Vec<String>,
}

const CONTRACT: &str = "\
The run is made twice: once to its end, and once under SIGKILL, started again after each kill. Then every file is \
compared, but those that tell of their process: manifests, timing.jsonl, lock, and what is hidden.

A program of your own (--command) is started anew with the same command until it exits with 0. It must take up the \
run in {out} by itself, and write its checkpoints as Rekindle does, into {out} or into {out}/checkpoints; a log goes \
to {out}/log.jsonl, one line of JSON with a `step` for each update. Whatever else it writes to {out} must not depend on \
the clock, or be named with --ignore. With rekindle::train::Progress it can tell what it is doing, for the table; \
RAYON_NUM_THREADS is set for it as --threads says.

Exit codes: 0 proved; 1 not proved, both runs are kept; 2 the request is wrong, or the program fails without being \
killed; 130 or 143 stopped by SIGINT or SIGTERM. After 2, 130 and 143 nothing is left behind.";

fn number_of_threads(text: &str) -> Result<NonZeroUsize, String> {
    text.trim().parse().map_err(|_| "give numbers from 1 on, such as `1,2,4`".to_owned())
}

/// Carries out the proof: progress goes to stderr, what was found to stdout.
pub fn run(arguments: &Prove) -> Result<ExitCode> {
    let plan = plan(arguments)?;
    let (stop, is_over) = stop_signal()?;
    let mut screen = Screen::new(plan.kills);
    let signal = || i32::try_from(stop.load(Ordering::Relaxed)).ok().filter(|&signal| signal != 0);
    let proof = prove(&plan, &signal, &mut |event| {
        is_over.store(matches!(event, Event::Comparing), Ordering::Relaxed);
        screen.show(&event);
    });
    screen.bar.finish_and_clear();
    match proof {
        Ok(proof) => {
            // A reader that has gone away has seen enough; the exit code still tells.
            let _ = write!(io::stdout(), "{proof}");
            Ok(if proof.is_proved() { ExitCode::SUCCESS } else { ExitCode::from(1) })
        }
        Err(ProofError::Stopped { signal }) => {
            let _ = writeln!(io::stderr(), "{}", ProofError::Stopped { signal });
            Ok(ExitCode::from(u8::try_from(128 + signal).unwrap_or(1)))
        }
        Err(error) => Err(error.into()),
    }
}

fn plan(arguments: &Prove) -> Result<Plan> {
    let (program, saves_by_the_clock, name) = match (&arguments.command, &arguments.config) {
        (Some(command), _) => (Program::Command(command.clone()), false, "command"),
        (None, config) => {
            let config = config.clone().unwrap_or_default();
            let read = from_file(&config, &settings(&arguments.settings)?)?;
            let by_the_clock = matches!(read.checkpoint.every, Every::Minutes(_));
            let executable = std::env::current_exe().context("this program cannot be found to be started again")?;
            let program = Program::Train { executable, config, settings: arguments.settings.clone() };
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
        out,
        ignore: arguments.ignore.clone(),
        saves_by_the_clock,
    })
}

/// A directory under `runs` that is not taken: an earlier proof stays as it is.
fn free_name(name: &str) -> PathBuf {
    let base = Path::new("runs").join(format!("{name}-proof"));
    let numbered = (2..).map(|n: u32| PathBuf::from(format!("{}-{n}", base.display())));
    std::iter::once(base.clone()).chain(numbered).find(|path| !path.exists()).unwrap_or(base)
}

/// The number of the signal that has asked this program to stop; 0 for none. Its children do not get the signal, for
/// each is in a process group of its own: they are stopped by the proof. Once the flag beside it is set, there are none
/// any more, and a signal ends this program at once.
fn stop_signal() -> io::Result<(Arc<AtomicUsize>, Arc<AtomicBool>)> {
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
    let (stop, is_over) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
    for signal in [SIGHUP, SIGINT, SIGTERM] {
        signal_hook::flag::register_conditional_default(signal, Arc::clone(&is_over))?;
        signal_hook::flag::register_usize(signal, Arc::clone(&stop), usize::try_from(signal).unwrap_or_default())?;
    }
    Ok((stop, is_over))
}

/// Shows how far a proof is, where stderr is a terminal.
struct Screen {
    bar: ProgressBar,
}

impl Screen {
    fn new(kills: u32) -> Self {
        if !io::stderr().is_terminal() {
            return Self { bar: ProgressBar::hidden() };
        }
        let style = ProgressStyle::with_template("kill {pos}/{len} {bar:24} {msg} | {elapsed_precise}");
        let style = style.unwrap_or_else(|_| ProgressStyle::default_bar());
        let target = ProgressDrawTarget::stderr_with_hz(10);
        let bar = ProgressBar::with_draw_target(Some(kills.into()), target).with_style(style);
        bar.enable_steady_tick(Duration::from_millis(500));
        Self { bar }
    }

    fn show(&mut self, event: &Event<'_>) {
        match event {
            Event::Uninterrupted => self.bar.set_message("the uninterrupted run"),
            Event::Measured { steps, seconds } => {
                let line = format!("the uninterrupted run took {steps} steps and {seconds:.1} s");
                self.bar.suspend(|| drop(writeln!(io::stderr(), "{line}")));
                self.bar.set_message("the run under kills");
            }
            Event::Killed(kill) => {
                let phase = kill.phase.map_or("running", |phase| phase.word());
                self.bar.set_message(format!("the last at step {}, {phase}", kill.step));
                self.bar.inc(1);
            }
            Event::Missed => self.bar.inc(1),
            Event::Finishing => self.bar.set_message("the killed run goes on to its end"),
            Event::Comparing => self.bar.set_message("comparing"),
        }
    }
}
