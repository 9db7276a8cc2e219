//! `train`: starts a run from a configuration, resumes one, or uses its trained model.

mod check;
mod eval;
mod find_lr;
mod hooks;
mod init;
mod init_from;
mod memory;
mod on_device;
mod opening;
mod output;
mod piped;
mod plan;
mod predict;
mod prove;
mod ranks;
mod reference;
mod request;
mod sample;
mod summary;
mod supervise;
mod sweep;
mod until;
mod warnings;
mod which;

use std::io::{self, Stdout, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Result;
use clap::{ArgGroup, CommandFactory, Parser, Subcommand};
use rekindle::command_line::{Completions, Manual};
use rekindle::distributed::Launched;
use rekindle::duration::duration;
use rekindle::train::resume::{ResumeOptions, Resumed};
use rekindle::train::{
    Console, Control, Progress, Run, Setting, Sink, Sinks, TrainError, file_size_limit_is_an_error, from_file, joining,
};
use rekindle::trained::TrainedError;
use rekindle::{shell, stdout, threads};

use self::hooks::with_hooks;
use self::init_from::InitFrom;
use self::on_device::OnDevice;
use self::output::Output;
use self::ranks::{Ended, Ranks};
use self::summary::summarize;
use self::until::Until;

/// Train a model so that the run survives being killed: after a resume it has the same bits as without the
/// interruption.
#[derive(Parser)]
#[command(version, help_template = HELP, after_help = EXIT_CODES, args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
#[command(group = ArgGroup::new("start").args(["resume", "init_from"]))]
struct Arguments {
    /// The configuration of a new run, a TOML file
    #[arg(required_unless_present = "resume", conflicts_with = "resume")]
    config: Option<PathBuf>,
    /// Continue a run: its directory, checkpoint or URL.
    #[arg(long, value_name = "PATH")]
    resume: Option<PathBuf>,
    #[command(flatten)]
    init_from: InitFrom,
    /// Refuse a damaged newest checkpoint (--resume), or weights that do not match (--init-from).
    #[arg(long, requires = "start")]
    strict: bool,
    /// The run directory, or a URL; `runs/` and CONFIG's name if not given.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Change a setting, as `optimizer.lr=0.01`; may be given again.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    settings: Vec<String>,
    #[command(flatten)]
    device: OnDevice,
    /// Start the commands of `[hooks]`.
    #[arg(long, conflicts_with = "plan")]
    hooks: bool,
    /// Save and stop before this time is over, as `2h`; --resume continues.
    #[arg(long, value_name = "TIME", value_parser = duration)]
    max_time: Option<Duration>,
    #[command(flatten)]
    until: Until,
    /// Show the run, its memory and time; train nothing.
    #[arg(long, conflicts_with = "resume")]
    plan: bool,
    /// With --plan, the mean time between failures, as `6h`; or a day.
    #[arg(long, value_name = "TIME", requires = "plan", value_parser = duration)]
    failures_every: Option<Duration>,
    #[command(flatten)]
    output: Output,
    #[command(subcommand)]
    command: Option<Command>,
}

impl Arguments {
    /// Returns all changes of the configuration. Those of --set come last, and so are stronger.
    fn all_settings(&self) -> Result<Vec<Setting>, TrainError> {
        let mut settings = self.init_from.settings(self.strict)?;
        settings.extend(self.device.with(&self.settings)?);
        Ok(settings)
    }
}

#[derive(Subcommand)]
enum Command {
    /// Find a learning rate: where does the loss fall fastest?
    FindLr(find_lr::FindLr),
    /// Run it, again with kills at random moments, and compare every bit.
    Prove(prove::Prove),
    /// Start a run, and start it again when it is killed or fails.
    Supervise(supervise::Supervise),
    /// Make many runs with other settings, and find the best.
    Sweep(sweep::Sweep),
    /// Evaluate a trained model on the run's rows, or on others.
    Eval(eval::Eval),
    /// Predict classes with their probabilities, or values, for new rows.
    Predict(predict::Predict),
    /// Generate text from a prompt.
    Sample(sample::Sample),
    /// Write a commented configuration for data.
    Init(init::Init),
    /// Show how a run reads a configuration, and likely mistakes in it.
    Check(check::Check),
    /// Print every key of a configuration, or its JSON schema.
    Reference(reference::Reference),
    /// Print a script that completes the words of `train` in a shell.
    Completions(Completions),
    /// Write the manual pages of `train`.
    Man(Manual),
}

const HELP: &str = "\
{about-with-newline}
{usage-heading} {usage}

Examples:
  train init data.csv                 # writes a first configuration
  train config.toml                   # trains, in runs/config
  train --resume runs/config          # continues after a stop or a kill
  train supervise -- train config.toml

{all-args}{after-help}";

const EXIT_CODES: &str = "Exit codes: 0 done; 1 the run failed; 2 the request is wrong; \
                          128 and the number of a signal (130 SIGINT, 143 SIGTERM): stopped by it, after saving. A \
                          second signal, a second or more after the first, stops at once without saving, with 1.";

fn main() -> ExitCode {
    let launched = Launched::here().filter(|launched| launched.world > 1);
    let settled = settle_threads(launched);
    let limit = file_size_limit_is_an_error();
    memory::keep_freed();
    let arguments = request::parse(launched.is_some_and(|launched| launched.rank > 0));
    if launched.is_some() && (arguments.command.is_some() || arguments.plan) {
        return refused(launched, "several processes compute only a run; start this command without a launcher");
    }
    let ranks = match Ranks::join(launched) {
        Ok(ranks) => ranks,
        Err(reason) => return refused(launched, &reason),
    };
    if ranks.communicator().rank() > 0 {
        let ended = match threads::start() {
            Ok(()) => ranks::follow(&arguments, &ranks),
            Err(_) => Ended::alone(2),
        };
        return ranks.leave(ended);
    }
    let mut console = arguments.output.console();
    warnings::show(console.lines());
    if let Some(Command::Supervise(arguments)) = &arguments.command {
        return supervise::run(arguments, &settled, &mut console).unwrap_or_else(|error| failed(&error, &mut console));
    }
    if let Some(Command::Sweep(arguments)) = &arguments.command {
        return sweep::run(arguments, &settled, &mut console).unwrap_or_else(|error| failed(&error, &mut console));
    }
    if let Err(error) = threads::start() {
        console.message(&format!("error: {error}"));
        return ExitCode::from(2);
    }
    if let Err(error) = limit {
        console.message(&format!("warning: a limit on the size of files would end this process: {error}"));
    }
    let done = |()| ExitCode::SUCCESS;
    match &arguments.command {
        Some(Command::FindLr(arguments)) => {
            return find_lr::test_range(arguments, &mut console).unwrap_or_else(|error| failed(&error, &mut console));
        }
        Some(Command::Eval(arguments)) => return used(eval::evaluate(arguments, &mut console).map(done), &mut console),
        Some(Command::Predict(arguments)) => return used(predict::predict(arguments, &mut console), &mut console),
        Some(Command::Sample(arguments)) => {
            return used(sample::sample(arguments, &mut console).map(done), &mut console);
        }
        Some(Command::Init(arguments)) => {
            return init::write(arguments, &mut console).map(done).unwrap_or_else(|error| failed(&error, &mut console));
        }
        Some(Command::Check(arguments)) => {
            return check::check(arguments).map(done).unwrap_or_else(|error| failed(&error, &mut console));
        }
        Some(Command::Reference(arguments)) => {
            return reference::print(arguments).map(done).unwrap_or_else(|error| failed(&error, &mut console));
        }
        Some(Command::Completions(shell)) => {
            return used(
                print(&String::from_utf8_lossy(&shell.script(Arguments::command().name("train")))).map(done),
                &mut console,
            );
        }
        Some(Command::Man(manual)) => {
            let written = manual.write(Arguments::command().name("train")).map_err(anyhow::Error::from);
            return written
                .and_then(|told| Ok(print(&told)?))
                .map(done)
                .unwrap_or_else(|error| failed(&error, &mut console));
        }
        Some(Command::Prove(arguments)) => {
            return prove::run(arguments, &mut console).unwrap_or_else(|error| failed(&error, &mut console));
        }
        Some(Command::Supervise(_) | Command::Sweep(_)) | None => {}
    }
    if let (true, Some(config)) = (arguments.plan, &arguments.config) {
        return plan::plan(config, &arguments, &console).unwrap_or_else(|error| failed(&error, &mut console));
    }
    let ended = keep(&arguments, &ranks, &mut console);
    ranks.leave(ended)
}

/// Computes the run as the process that keeps it.
fn keep(arguments: &Arguments, ranks: &Ranks, console: &mut Console) -> Ended {
    let control = match listening(console) {
        Ok(control) => control,
        Err(error) => {
            console.message(&format!("error: {error}"));
            return Ended::alone(2);
        }
    };
    arguments.max_time.iter().for_each(|time| control.limit_time(*time));
    ranks.give_up_with(&control);
    match prepare(arguments, ranks, control) {
        Ok(Resumed { run, messages }) => {
            messages.iter().for_each(|message| console.message(message));
            if console.shows_progress() {
                opening::plan(&run).iter().for_each(|line| console.message(line));
            }
            let mut run = arguments.until.limit(with_hooks(run, arguments.hooks, console));
            ranks.lines().iter().chain(&opening::lines(&run)).for_each(|line| console.message(line));
            memory::return_freed();
            let code = train(&mut run, arguments.output.records(), console);
            let together = ranks::is_together(&run);
            if !together && code > 128 {
                console.message(
                    "note: the other processes had not come to that step; if nobody has asked to stop, one was lost",
                );
            }
            Ended { code, together, waits: false }
        }
        Err(error) => {
            console.message(&format!("error: {error}"));
            Ended::together(ranks::code_of(&error))
        }
    }
}

/// Says in the first of the launched processes why they do not begin.
fn refused(launched: Option<Launched>, reason: &str) -> ExitCode {
    if launched.is_none_or(|launched| launched.rank == 0) {
        ranks::say(reason);
    }
    ExitCode::from(2)
}

/// Returns the exit code of using a model. A reader that closes the pipe early is not an error.
fn used(ended: Result<ExitCode, TrainedError>, console: &mut Console) -> ExitCode {
    ended.unwrap_or_else(|error| match &error {
        TrainedError::Stdout { source } if source.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        error => {
            console.message(&format!("error: {error}"));
            ExitCode::from(if error.is_input_error() { 2 } else { 1 })
        }
    })
}

/// Prints a result. A reader that closes the pipe early is not an error.
fn print(text: &str) -> Result<(), TrainedError> {
    match write_out(text) {
        Err(TrainedError::Stdout { source }) if source.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        printed => printed,
    }
}

/// Writes all of `text` to stdout and flushes it.
fn write_out(text: &str) -> Result<(), TrainedError> {
    let mut out = out()?.lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(|source| TrainedError::Stdout { source })
}

/// Returns stdout, if it is not closed.
fn out() -> Result<Stdout, TrainedError> {
    stdout::stdout().map_err(|source| TrainedError::Stdout { source })
}

/// Prints why there is no result, and returns the exit code.
fn failed(error: &anyhow::Error, console: &mut Console) -> ExitCode {
    console.message(&format!("error: {error}"));
    let is_input_error = match error.downcast_ref() {
        Some(error) => TrainedError::is_input_error(error),
        None => error.downcast_ref().is_none_or(TrainError::is_input_error),
    };
    ExitCode::from(if is_input_error { 2 } else { 1 })
}

/// Returns the exit code after a clean stop by a signal.
fn stopped_by(signal: usize) -> ExitCode {
    ExitCode::from(u8::try_from(128 + signal).unwrap_or(1))
}

/// Candle adds tensors on its own threads, which wait for each other in busy loops: on a loaded machine this took three
/// quarters of the processor's time. Operations that benefit from several threads use rayon's here. Candle also counts
/// the cores again for each product, by reading system files, unless their number is set. Returns the variables that
/// are set now.
fn settle_threads(launched: Option<Launched>) -> Vec<&'static str> {
    let all = candle_core::utils::get_num_threads();
    let cores = std::thread::available_parallelism().map_or(all, |available| all.min(available.get()));
    let cores = launched.map_or(cores, |launched| launched.threads(cores, all));
    let mut settled = Vec::new();
    for (variable, threads) in [("CANDLE_NUM_THREADS", 1), ("RAYON_NUM_THREADS", cores)] {
        if std::env::var_os(variable).is_none() {
            // SAFETY: `main` calls this first, when no other thread exists that could read the environment.
            unsafe { std::env::set_var(variable, threads.to_string()) };
            settled.push(variable);
        }
    }
    settled
}

/// Creates a control that signals use, and that prints answers on the console.
fn listening(console: &Console) -> Result<Control, TrainedError> {
    Control::from_signals(console.voice()).map_err(|source| TrainedError::Signals { source })
}

/// Prepares the requested run for training, together with the other processes.
fn prepare(arguments: &Arguments, ranks: &Ranks, control: Control) -> Result<Resumed, TrainError> {
    // The same in every process, so all of them end here if a setting is wrong.
    let settings = arguments.all_settings()?;
    let communicator = ranks.communicator();
    match (&arguments.resume, &arguments.config) {
        (Some(path), _) => {
            let (out, strict) = (arguments.out.as_deref(), arguments.strict);
            joining::resume(path, ResumeOptions { settings: &settings, out, strict }, communicator, control)
        }
        (None, Some(path)) => {
            let out = arguments.out.clone().unwrap_or_else(|| default_out(path));
            let run = joining::start(|| from_file(path, &settings), &out, communicator, control)?;
            Ok(Resumed { run, messages: Vec::new() })
        }
        (None, None) => unreachable!("the parser requires one of the two"),
    }
}

/// Trains, prints a summary, and returns the exit code.
fn train(run: &mut Run, mut records: Option<impl Sink>, console: &mut Console) -> u8 {
    let (first_step, began) = (run.session().step(), Instant::now());
    let mut progress = Progress::from_environment();
    let mut sinks = Sinks(vec![&mut progress, console]);
    if let Some(records) = &mut records {
        sinks.0.push(records);
    }
    match run.train(&mut sinks) {
        Ok(outcome) => {
            summarize(run, &outcome, first_step, began, console);
            ranks::code_after(&outcome)
        }
        Err(error) => {
            console.message(&format!("error: {error}"));
            // The first error contains its own remedy; after the others the checkpoints no longer belong to this
            // process.
            let says_it_all = matches!(
                error,
                TrainError::NotFinite { .. }
                    | TrainError::TakenOver { .. }
                    | TrainError::Displaced { .. }
                    | TrainError::LockLost { .. }
            );
            if let Some(last) = run.last_checkpoint().filter(|_| !says_it_all) {
                console.message(&format!("the last checkpoint is {}", last.display()));
                console.message(&format!("to continue from there: train --resume {}", shell::path(run.path())));
            }
            1
        }
    }
}

fn default_out(config: &Path) -> PathBuf {
    Path::new("runs").join(config.file_stem().unwrap_or(config.as_os_str()))
}
