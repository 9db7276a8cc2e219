//! The supervised process, and the signals that are passed on to it.

use std::ffi::OsString;
use std::io;
use std::process::{Child, Command, ExitStatus};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rekindle::threads;
use rekindle::train::is_default;
use rustix::process::{Pid, Signal, kill_process};
use signal_hook::consts::{SIGCHLD, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2};
use signal_hook::iterator::SignalsInfo;
use signal_hook::iterator::exfiltrator::origin::WithOrigin;
use signal_hook::low_level::siginfo::Cause;
use signal_hook::low_level::signal_name;

/// Signals that ask the run to stop.
const STOPPING: [i32; 4] = [SIGHUP, SIGINT, SIGQUIT, SIGTERM];

/// Signals that ask it to save.
const SAVING: [i32; 2] = [SIGUSR1, SIGUSR2];

/// A signal to this process.
pub struct Heard {
    signal: i32,
    /// Whether the terminal has sent it, to all processes of its foreground group.
    is_for_all: bool,
}

/// The signals to this process, in order.
pub struct Signals {
    heard: Receiver<Heard>,
    /// The first one that asked to stop.
    asked: Option<i32>,
}

impl Signals {
    /// Begins to listen. A signal that is ignored stays ignored, also by the supervised process.
    pub fn listen() -> Result<Self> {
        let all = STOPPING.into_iter().chain(SAVING).filter(|&signal| is_default(signal)).chain([SIGCHLD]);
        let mut signals = SignalsInfo::<WithOrigin>::new(all).context("signals cannot be listened to")?;
        let (send, heard) = mpsc::channel();
        let work = move || {
            for origin in signals.forever() {
                let is_for_all = matches!(origin.cause, Cause::Kernel);
                if send.send(Heard { signal: origin.signal, is_for_all }).is_err() {
                    return;
                }
            }
        };
        threads::builder("signals").spawn(work).map_err(|error| threads::cannot_start("that hears signals", &error))?;
        Ok(Self { heard, asked: None })
    }

    /// Returns the first signal that asked to stop.
    pub fn asked(&self) -> Option<i32> {
        self.asked
    }

    /// Waits for the next signal, at most for this time.
    pub fn hear(&mut self, patience: Duration) -> Option<Heard> {
        let heard = self.heard.recv_timeout(patience).ok()?;
        self.note(&heard);
        Some(heard)
    }

    /// Waits while there is no process, and returns the signal that asked to stop, before or meanwhile.
    pub fn wait_for(&mut self, pause: Duration) -> Option<i32> {
        let began = Instant::now();
        while self.asked.is_none() {
            match self.heard.recv_timeout(pause.saturating_sub(began.elapsed())) {
                Ok(heard) => self.note(&heard),
                Err(RecvTimeoutError::Timeout) => break,
                // Cannot happen: the thread lives as long as this.
                Err(RecvTimeoutError::Disconnected) => {
                    std::thread::sleep(pause.saturating_sub(began.elapsed()));
                    break;
                }
            }
        }
        self.asked
    }

    fn note(&mut self, heard: &Heard) {
        if STOPPING.contains(&heard.signal) {
            self.asked.get_or_insert(heard.signal);
        }
    }
}

/// A running command.
pub struct Process {
    child: Child,
}

impl Process {
    /// Starts a command, without the variables `settled` of this process. It has the same stdin, stdout and stderr. On
    /// Linux it gets a SIGTERM if this process is killed.
    pub fn start(words: &[OsString], settled: &[&str]) -> Result<Self> {
        Self::start_with(words, settled, |_| ())
    }

    /// As [`Process::start`], after `prepare` has changed streams or variables of the command.
    pub fn start_with(words: &[OsString], settled: &[&str], prepare: impl FnOnce(&mut Command)) -> Result<Self> {
        let (program, arguments) = words.split_first().context("the command has no words")?;
        let mut command = Command::new(program);
        command.args(arguments);
        for variable in settled {
            command.env_remove(variable);
        }
        prepare(&mut command);
        #[cfg(target_os = "linux")]
        stops_with_us(&mut command);
        let child = command.spawn().map_err(|error| cannot_start(program, &error))?;
        Ok(Self { child })
    }

    /// Waits for its end, and passes signals on until then.
    pub fn wait(mut self, signals: &mut Signals) -> Result<ExitStatus> {
        /// A SIGCHLD tells of the end at once. This is how long it takes if that is lost.
        const LOOK: Duration = Duration::from_secs(10);
        loop {
            if let Some(status) = self.ended()? {
                return Ok(status);
            }
            if let Some(heard) = signals.hear(LOOK) {
                self.pass_on(&heard);
            }
        }
    }

    /// Returns its exit status if it has ended.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>> {
        self.child.try_wait().context("cannot wait for the command")
    }

    /// Asks it to save and stop.
    pub fn stop(&self) {
        self.pass_on(&Heard { signal: SIGTERM, is_for_all: false });
    }

    /// Passes a signal on. The process has not been waited for, so its number is still its own.
    pub fn pass_on(&self, heard: &Heard) {
        if heard.is_for_all || heard.signal == SIGCHLD {
            return;
        }
        if let Some(signal) = Signal::from_named_raw(heard.signal) {
            // It fails only if the process has just ended.
            let _ = kill_process(Pid::from_child(&self.child), signal);
        }
    }
}

fn cannot_start(program: &OsString, error: &io::Error) -> anyhow::Error {
    let remedy = match error.kind() {
        io::ErrorKind::NotFound => "; check its name and PATH",
        io::ErrorKind::PermissionDenied => "; check that it is a program",
        _ => "",
    };
    anyhow::anyhow!("cannot start `{}`: {error}{remedy}", program.display())
}

/// Makes the system send SIGTERM to the process if this one is killed, so that it does not train on unnoticed.
#[cfg(target_os = "linux")]
fn stops_with_us(command: &mut Command) {
    use std::os::unix::process::CommandExt;

    let parent = rustix::process::getpid();
    let before_exec = move || {
        rustix::process::set_parent_process_death_signal(Some(Signal::TERM))?;
        // This process may have ended before that.
        if rustix::process::getppid() == Some(parent) { Ok(()) } else { Err(io::ErrorKind::BrokenPipe.into()) }
    };
    // SAFETY: between fork and exec only three system calls are made; nothing is allocated and no lock is taken.
    unsafe { command.pre_exec(before_exec) };
}

/// Returns the name of a signal.
pub fn name(signal: i32) -> String {
    signal_name(signal).map_or_else(|| format!("signal {signal}"), str::to_owned)
}
