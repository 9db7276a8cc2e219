//! The tested program as processes that are started, killed and restarted.

use std::fs::{self, File, OpenOptions};
#[cfg(target_os = "linux")]
use std::io;
use std::num::NonZeroUsize;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, kill_process_group, test_kill_process, test_kill_process_group};

use super::error::ProofError;
use crate::shell;
use crate::train::Progress;

/// A program to test.
#[derive(Clone, Debug)]
pub enum Program {
    /// `train` with a configuration.
    Train {
        /// The program.
        executable: PathBuf,
        /// The configuration.
        config: PathBuf,
        /// Settings that change the configuration, in the form of `--set`.
        settings: Vec<String>,
    },
    /// A shell command in which `{out}` is replaced by the run directory. When restarted, it must continue where it was
    /// killed; its checkpoints are in the run directory or in `checkpoints` there.
    Command(String),
}

impl Program {
    /// The placeholder for the run directory in a command.
    pub const OUT: &str = "{out}";

    pub(super) fn check(&self) -> Result<(), ProofError> {
        match self {
            Self::Command(command) if !command.contains(Self::OUT) => {
                Err(ProofError::NoPlace { command: command.clone() })
            }
            _ => Ok(()),
        }
    }

    fn command(&self, run: &Path, launcher: &str) -> Command {
        let launched = |program: &Path| {
            let mut words = launcher.split_whitespace();
            let Some(first) = words.next() else { return Command::new(program) };
            let mut command = Command::new(first);
            command.args(words).arg(program);
            command
        };
        match self {
            Self::Train { executable, .. } if run.join("config.toml").exists() => {
                let mut command = launched(executable);
                command.arg("--resume").arg(run);
                command
            }
            Self::Train { executable, config, settings } => {
                let mut command = launched(executable);
                command.arg(config).arg("--out").arg(run);
                command.args(settings.iter().flat_map(|setting| ["--set", setting]));
                command
            }
            Self::Command(text) => {
                let mut command = Command::new("sh");
                command.arg("-c").arg(text.replace(Self::OUT, &quoted(run)));
                command
            }
        }
    }

    /// Starts it in the run directory `run`. Its output is appended to the file `said`; it reports progress to
    /// `progress`.
    pub(super) fn start(
        &self,
        run: &Path,
        said: &Path,
        progress: Option<&Path>,
        (threads, launcher): (Option<NonZeroUsize>, &str),
    ) -> Result<Running, ProofError> {
        let mut command = self.command(run, launcher);
        let stdout = OpenOptions::new().create(true).append(true).open(said).map_err(ProofError::io("write", said))?;
        let stderr = stdout.try_clone().map_err(ProofError::io("write", said))?;
        command.stdin(Stdio::null()).stdout(stdout).stderr(stderr).process_group(0);
        command.env_remove(Progress::VARIABLE);
        if let Some(path) = progress {
            File::create(path).map_err(ProofError::io("write", path))?;
            command.env(Progress::VARIABLE, path);
        }
        if let Some(threads) = threads {
            command.env("RAYON_NUM_THREADS", threads.to_string());
        }
        #[cfg(target_os = "linux")]
        dies_with_us(&mut command);
        let began = Instant::now();
        let program = command.get_program().display().to_string();
        let child = command.spawn().map_err(|error| ProofError::NotStarted { program, error })?;
        Ok(Running { child, began, threads })
    }
}

/// On Linux, makes the system kill the process if this one ends without having killed it, for example by `kill -9`. Its
/// child processes continue in that case, and on other systems the process does too.
#[cfg(target_os = "linux")]
fn dies_with_us(command: &mut Command) {
    let parent = rustix::process::getpid();
    let before_exec = move || {
        rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
        // This process may have ended before that.
        if rustix::process::getppid() == Some(parent) { Ok(()) } else { Err(io::ErrorKind::NotFound.into()) }
    };
    // SAFETY: between fork and exec only three system calls are made; nothing is allocated and no lock is taken.
    unsafe { command.pre_exec(before_exec) };
}

/// Quotes a path for the shell. The program may change its directory, so the path is absolute.
fn quoted(path: &Path) -> String {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    shell::path(&path)
}

/// A process with its children, as one process group. It is killed on drop.
pub(super) struct Running {
    child: Child,
    began: Instant,
    pub threads: Option<NonZeroUsize>,
}

impl Running {
    /// Returns how long it has been running.
    pub fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    /// Returns its exit status if it has ended.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>, ProofError> {
        self.child.try_wait().map_err(|error| ProofError::NotStarted { program: "the program".to_owned(), error })
    }

    /// Sends SIGKILL and waits until all processes are gone. Returns the exit status if it did not end by this signal.
    pub fn kill(mut self) -> Result<Option<ExitStatus>, ProofError> {
        if let Some(status) = self.ended()? {
            return Ok(Some(status));
        }
        self.end_group();
        Ok(self.ended()?.filter(|status| status.signal() != Some(Signal::KILL.as_raw())))
    }

    fn end_group(&mut self) {
        const PATIENCE: Duration = Duration::from_secs(2);
        let group = Pid::from_child(&self.child);
        // A launcher starts each process in another group. They are listed before anything is killed, while it is known
        // whose children they are, and killed after the group: a shell that sees its child killed ends with an exit code.
        let others = descendants(group);
        // All three fail only if there is nothing left to kill or to wait for.
        let _ = kill_process_group(group, Signal::KILL);
        for &process in &others {
            let _ = kill_process(process, Signal::KILL);
        }
        let _ = self.child.wait();
        let began = Instant::now();
        let is_left = || {
            test_kill_process_group(group).is_ok() || others.iter().any(|&process| test_kill_process(process).is_ok())
        };
        while is_left() && began.elapsed() < PATIENCE {
            sleep(Duration::from_micros(200));
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            self.end_group();
        }
    }
}

/// Returns the processes that `ancestor` has started, those that they have started, and so on, where the system lists
/// them.
fn descendants(ancestor: Pid) -> Vec<Pid> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let numbers = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let parents: Vec<(i32, i32)> = numbers
        .filter_map(|number| {
            let stat = fs::read_to_string(format!("/proc/{number}/stat")).ok()?;
            // The name of the program, in parentheses, may have blanks.
            let parent = stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()?;
            Some((number, parent))
        })
        .collect();
    let mut found = vec![ancestor.as_raw_nonzero().get()];
    let mut next = 0;
    while let Some(&parent) = found.get(next) {
        found.extend(parents.iter().filter(|(_, of)| *of == parent).map(|(number, _)| *number));
        next += 1;
    }
    found.into_iter().skip(1).filter_map(Pid::from_raw).collect()
}

/// Describes in words how a process ended.
pub(super) fn describe(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit code {code}"),
        (None, Some(signal)) => format!("signal {signal}"),
        (None, None) => status.to_string(),
    }
}
